"""The power values of single meters, for queries that are finer than rollups."""

from typing import Protocol

from domain.telemetry.load_history import MeterPowers
from domain.time_series.windows import TimeWindow


class MeterPowersView(Protocol):
    """Synchronous. Reaches back as far as raw readings are retained."""

    def meter_powers(self, facility_id: str, window: TimeWindow) -> list[MeterPowers]:
        """For each meter with readings from a day before `window` to its end: its usable power values from
        LOOK_BACK_S (domain.telemetry.facility_rollups) before the window to its end. Raises
        TelemetryStoreUnavailable."""
        ...
