"""Rollups of readings: power and energy of facilities by minute, quarter-hour and hour, in UTC."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from domain.telemetry.facility_rollups import RollupSeries
from domain.time_series.windows import TimeWindow

STEPS_S = (60, 900, 3600)


class CorrectedInterval(msgspec.Struct, frozen=True, kw_only=True):
    """A quarter-hour of a facility that changed after it was finalized, or was finalized long after its end.

    None: the mean or the energy is not available.
    """

    correction_id: int
    """Rises in the order in which the corrections took effect."""
    facility_id: str
    starts_at: datetime
    old_mean_kw: float | None
    new_mean_kw: float | None
    old_kwh: float | None
    new_kwh: float | None
    corrected_at: datetime


class FinalizeResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one finalizing round, in quarter-hours of facilities."""

    quarters: int = 0
    corrected: int = 0
    more: bool = False
    """Whether some were left out because of their many readings: they are due at once."""


class TelemetryRollups(Protocol):
    """Synchronous. Every method raises TelemetryStoreUnavailable when the store cannot answer.

    Readers see each stored reading at once: dirty quarter-hours are computed on request. Finalizing stores
    the rollups once no more readings are expected, and again after late and corrected readings.
    """

    def rollups(self, facility_id: str, window: TimeWindow, step_s: int) -> RollupSeries:
        """The rollups within `window`, of 60, 900 or 3,600 s, in order. A step without readings is left out.

        Raises NotAligned for another step.
        """
        ...

    def finalize(self, partition: int, *, limit: int) -> FinalizeResult:
        """Store the rollups of at most `limit` dirty quarter-hours of the partition that are over.

        Fewer where these have more readings than one transaction may hold.
        """
        ...

    def corrections_after(self, correction_id: int, *, limit: int) -> Sequence[CorrectedInterval]:
        """Corrections after `correction_id`, the oldest first."""
        ...
