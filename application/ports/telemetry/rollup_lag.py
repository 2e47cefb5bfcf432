"""How far settling is behind: quarter-hours with news in them that are over, and not written down yet."""

from datetime import datetime
from typing import Protocol

import msgspec


class SettlingBehind(msgspec.Struct, frozen=True, kw_only=True):
    """The quarter-hour that has waited longest, and how many wait."""

    facility_id: str
    starts_at: datetime
    waits_s: float
    """Wall seconds since it could have been settled: it was over then, and its news had come."""
    waiting: int


class FinalizingLag(Protocol):
    """Synchronous."""

    def longest_wait(self, now: datetime, *, wall_s_per_s: float) -> SettlingBehind | None:
        """None where nothing waits. `wall_s_per_s` is how long a second of the clock that says `now` takes on the wall.

        Raises TelemetryStoreUnavailable.
        """
        ...
