"""What single meters said of their power, for those who look closer than rollups do."""

from typing import Protocol

from domain.telemetry.load_history import MeterPowers
from domain.time_series.windows import TimeWindow


class MeterPowersView(Protocol):
    """Synchronous. As old as raw readings are kept."""

    def meter_powers(self, facility_id: str, window: TimeWindow) -> list[MeterPowers]:
        """Of each meter that said anything from a day before `window` to its end: its usable powers from LOOK_BACK_S
        (domain.telemetry.facility_rollups) before the window to its end. Raises TelemetryStoreUnavailable."""
        ...
