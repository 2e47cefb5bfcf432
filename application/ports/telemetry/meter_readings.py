"""The single readings of a facility's meters, as they count."""

from typing import Protocol

from domain.telemetry.reading_arrays import MeterReadings
from domain.time_series.windows import TimeWindow


class MeterReadingsView(Protocol):
    """Synchronous. Reaches back as far as single readings are retained."""

    def meter_readings(self, facility_id: str, window: TimeWindow) -> list[MeterReadings]:
        """The readings in `window` of each meter that has some there, of any quality, whether the portfolio
        lists it or not; by meter id. Raises TelemetryStoreUnavailable."""
        ...
