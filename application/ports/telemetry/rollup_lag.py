"""The delay of rollup finalization: dirty quarter-hours that are over and not finalized yet."""

from datetime import datetime
from typing import Protocol

import msgspec


class FinalizingDelay(msgspec.Struct, frozen=True, kw_only=True):
    """The quarter-hour that has waited longest, and the number that wait."""

    facility_id: str
    starts_at: datetime
    waits_s: float
    """Wall seconds since it could have been finalized: it was over, and its readings had arrived."""
    waiting: int


class FinalizingLag(Protocol):
    """Synchronous."""

    def longest_wait(self, now: datetime, *, wall_s_per_s: float) -> FinalizingDelay | None:
        """None where nothing waits. `wall_s_per_s` is the length in wall seconds of one second of the clock
        of `now`.

        Raises TelemetryStoreUnavailable.
        """
        ...
