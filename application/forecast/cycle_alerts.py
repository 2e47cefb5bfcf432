"""The alerts of forecast cycles. Several processes run cycles, so each reads the open alerts before it clears
any.

Degraded forecasts are reported by the forecast monitor, where a DR event is near.
"""

import asyncio
from collections import deque
from collections.abc import Collection, Mapping
from datetime import datetime

import structlog

from application.forecast.cycle_report import CycleReport
from application.ports.operations.alerts import AlertRegistry, every_open_alert

_log = structlog.get_logger(__name__)

Named = tuple[str, str]
"""An alert's name and subject."""


CONFLICTS: Named = ("forecast_conflicts", "forecasts")
UNAVAILABLE = "weather_unavailable"
"""Its subject is a weather cell."""
NO_WEATHER: Named = (UNAVAILABLE, "weather service")
"""None is set, so no weather cell has weather."""
CONFLICT_CYCLES = 96
CONFLICT_SHARE = 0.001


class ConflictShare:
    """The share of forecasts of the last day that were refused as conflicts."""

    def __init__(self) -> None:
        self._cycles: deque[tuple[int, int]] = deque(maxlen=CONFLICT_CYCLES)

    def after(self, report: CycleReport) -> str | None:
        """Add the cycle of `report`. Returns the alert's detail where the share is too high, else None."""
        self._cycles.append((len(report.has_forecast()) + len(report.conflicts), len(report.conflicts)))
        total, refused = (sum(column) for column in zip(*self._cycles, strict=True))
        return f"{refused} of {total} forecasts were refused" if refused > CONFLICT_SHARE * total else None


class ForecastAlerts:
    """Updates the alerts. If the register is unavailable, this is logged and repeated at the next cycle."""

    def __init__(self, alerts: AlertRegistry) -> None:
        self._alerts = alerts

    async def update(self, *, wrong: Mapping[Named, str], right: Collection[Named], at: datetime) -> None:
        """Raise the alerts in `wrong` with their details, and clear those in `right` that are open."""
        try:
            await asyncio.to_thread(self._update, wrong, right, at)
        except Exception as error:  # noqa: BLE001 - a failed alert must not stop forecasts
            _log.warning("alerts not recorded", wrong=len(wrong), right=len(right), error=str(error))

    def _update(self, wrong: Mapping[Named, str], right: Collection[Named], at: datetime) -> None:
        for (name, subject), detail in wrong.items():
            self._alerts.raise_alert(name, subject, detail[:500], at=at)
        for alert in every_open_alert(self._alerts):
            if (alert.name, alert.subject) in right and (alert.name, alert.subject) not in wrong:
                self._alerts.clear(alert.name, alert.subject, at=at)
