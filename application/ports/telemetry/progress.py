"""What must change together while telemetry is stored, kept for stores that have no transactions of their own.

Such a store takes the rows first: writing the same rows again does no harm. What follows from them is told here, at
once and last; whoever dies in between has stored rows that nobody knows of, and the log hands them out again.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

import msgspec

from application.ports.telemetry.rollups import CorrectedInterval

Quarter = tuple[str, datetime]
"""A facility and the start of one of its quarter-hours."""


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """A quarter-hour that became another after it was settled; None: not known."""

    facility_id: str
    starts_at: datetime
    old_mean_kw: float | None
    new_mean_kw: float | None
    old_kwh: float | None
    new_kwh: float | None


class PartitionProgress(Protocol):
    """Of one partition, inside a block of TelemetryProgress.moving."""

    def note(self, quarters: Sequence[Quarter]) -> None:
        """These have news in them."""
        ...

    def move(self, stream_seq: int) -> None:
        """Stored up to there; it never moves back."""
        ...

    def due(self, started_before: datetime, *, limit: int) -> list[Quarter]:
        """Those with news in them that started then or before, the oldest first."""
        ...

    def settled(self, quarters: Sequence[Quarter], corrected: Sequence[Correction], *, at: datetime) -> None:
        """These have no more news in them, and some became others."""
        ...


class TelemetryProgress(Protocol):
    """Synchronous. Every method raises TelemetryStoreUnavailable."""

    def position(self, partition: int) -> int:
        """The last sequence stored, 0 before the first."""
        ...

    def moving(self, partition: int) -> AbstractContextManager[PartitionProgress]:
        """The only block of all processes that writes or settles `partition`. What it tells holds once it has ended
        without an error, all of it at once."""
        ...

    def unsettled(
        self, facility_ids: Sequence[str], starts_from: datetime, ends_at: datetime
    ) -> list[Quarter]:
        """The facilities' quarter-hours with news in them that start in a time."""
        ...

    def corrections_after(self, correction_id: int, *, limit: int) -> list[CorrectedInterval]:
        """The oldest first."""
        ...
