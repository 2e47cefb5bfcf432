"""What readings are rolled up to: power and energy of facilities by minute, quarter-hour and hour, in UTC."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from domain.telemetry.facility_rollups import RollupSeries
from domain.time_series.windows import TimeWindow

STEPS_S = (60, 900, 3600)


class CorrectedInterval(msgspec.Struct, frozen=True, kw_only=True):
    """A quarter-hour of a facility that became another after it had been settled, or was settled long after its end.

    None: the mean or the energy is not known.
    """

    correction_id: int
    """Rises; the order in which they became true."""
    facility_id: str
    starts_at: datetime
    old_mean_kw: float | None
    new_mean_kw: float | None
    old_kwh: float | None
    new_kwh: float | None
    corrected_at: datetime


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """What one round of settling did, in quarter-hours of facilities."""

    quarters: int = 0
    corrected: int = 0
    more: bool = False
    """Whether others were left for their many readings: they are due at once."""


class TelemetryRollups(Protocol):
    """Synchronous. Every method raises TelemetryStoreUnavailable when the store cannot answer.

    Readers see each stored reading at once: quarter-hours with news in them are computed when somebody asks. Settling
    writes them down once nothing more is to be expected, and again after late and corrected readings.
    """

    def rollups(self, facility_id: str, window: TimeWindow, step_s: int) -> RollupSeries:
        """The rollups that lie in `window`, of 60, 900 or 3,600 s, in order; a step without any reading is left out.

        Raises NotAligned for another step.
        """
        ...

    def settle(self, partition: int, *, limit: int) -> Settled:
        """Write down at most `limit` quarter-hours of the partition's facilities that are over and have news.

        Fewer where these have more readings than one transaction may hold.
        """
        ...

    def corrections_after(self, correction_id: int, *, limit: int) -> Sequence[CorrectedInterval]:
        """What was corrected since, the oldest first."""
        ...
