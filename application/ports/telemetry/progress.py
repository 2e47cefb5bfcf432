"""Telemetry progress for stores that have no transactions: the data that must change together.

Such a store writes the rows first; writing the same rows again does no harm. Progress is recorded last, in
one transaction. A process that dies in between has stored rows without recording them, and the log delivers
them again.
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
    """A quarter-hour that changed after it was finalized; None: not available."""

    facility_id: str
    starts_at: datetime
    old_mean_kw: float | None
    new_mean_kw: float | None
    old_kwh: float | None
    new_kwh: float | None


class PartitionProgress(Protocol):
    """The progress of one partition, inside a block of TelemetryProgress.moving."""

    def mark_dirty(self, quarters: Sequence[Quarter]) -> None:
        """Mark these quarter-hours as dirty: they have readings that are not in their rollups yet."""
        ...

    def move(self, stream_seq: int) -> None:
        """Record that everything up to `stream_seq` is stored. A position never moves back."""
        ...

    def due(self, started_before: datetime, *, limit: int) -> list[Quarter]:
        """Dirty quarter-hours that started at `started_before` or earlier, the oldest first."""
        ...

    def finalized(
        self, quarters: Sequence[Quarter], corrected: Sequence[Correction], *, at: datetime
    ) -> None:
        """Mark these quarter-hours as finalized, with the corrections among them."""
        ...


class TelemetryProgress(Protocol):
    """Synchronous. Every method raises TelemetryStoreUnavailable."""

    def position(self, partition: int) -> int:
        """The last stored sequence; 0 before the first."""
        ...

    def moving(self, partition: int) -> AbstractContextManager[PartitionProgress]:
        """The only block, over all processes, that writes or finalizes `partition`. Its changes take effect
        together when the block ends without an error."""
        ...

    def dirty_quarters(
        self, facility_ids: Sequence[str], starts_from: datetime, ends_at: datetime
    ) -> list[Quarter]:
        """The facilities' dirty quarter-hours that start within a time range."""
        ...

    def corrections_after(self, correction_id: int, *, limit: int) -> list[CorrectedInterval]:
        """The oldest first."""
        ...
