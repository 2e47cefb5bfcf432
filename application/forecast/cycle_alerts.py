"""The alerts of forecast cycles.

Degraded forecasts are reported by the forecast monitor, where a DR event is near.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from functools import partial

import structlog

from application.forecast.cycle_report import CycleReport
from application.ports.clock import Clock
from application.ports.operations.alerts import SILENT_S, AlertRegistry
from domain.forecast import CYCLE

_log = structlog.get_logger(__name__)

CONFLICTS, FORECASTS = "forecast_conflicts", "forecasts"
UNAVAILABLE = "weather_unavailable"
"""Its subject is a weather cell."""
NO_WEATHER = "weather service"
"""The subject where none is set, so that no weather cell has weather."""
CONFLICT_CYCLES = 96
CONFLICT_SHARE = 0.001


class ConflictShare:
    """The share of forecasts of the last day that were refused as conflicts."""

    def __init__(self) -> None:
        self._cycles: deque[tuple[int, int]] = deque(maxlen=CONFLICT_CYCLES)

    def after(self, report: CycleReport) -> str | None:
        """Add the cycle of `report`. Returns the alert's detail where the share is too high, else None."""
        self._cycles.append((len(report.has_forecast()), len(report.conflicts)))
        total, refused = (sum(column) for column in zip(*self._cycles, strict=True))
        return f"{refused} of {total} forecasts were refused" if refused > CONFLICT_SHARE * total else None


class ForecastAlerts:
    """The statements of whole cycles: one of some facilities alone does not see whether anything else is wrong.

    If the register is unavailable, this is logged, and the next cycle states it.
    """

    def __init__(self, alerts: AlertRegistry, clock: Clock) -> None:
        self._alerts = alerts
        self._clock = clock
        self._holds_s = clock.wall_seconds(2 * CYCLE.total_seconds()) + SILENT_S

    async def state(self, name: str, stated: Mapping[str, str]) -> None:
        """It holds until the next cycle, which may have nothing to say of `name`, is over."""
        state = partial(self._alerts.state, observer="forecast cycle", holds_s=self._holds_s)
        details = {subject: detail[:500] for subject, detail in stated.items()}
        try:
            await asyncio.to_thread(state, name, details, at=self._clock.now())
        except Exception as error:  # noqa: BLE001 - a failed alert must not stop forecasts
            _log.warning("alert not recorded", alert=name, open=len(stated), error=str(error))
