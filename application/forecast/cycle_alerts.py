"""The alerts of forecast cycles. Several processes run cycles, so each looks at what is open before it clears.

Degraded forecasts are told by `forecast_watch`, where a DR event is near.
"""

import asyncio
from collections import deque
from collections.abc import Collection, Mapping
from datetime import datetime

import structlog

from application.forecast.cycle_report import CycleReport
from application.ports.operations.alerts import AlertRegistry

_log = structlog.get_logger(__name__)
MOST_OPEN = 10_000

Named = tuple[str, str]
"""An alert's name and subject."""


CONFLICTS: Named = ("forecast_conflicts", "forecasts")
CONFLICT_CYCLES = 96
CONFLICT_SHARE = 0.001


class ConflictShare:
    """How many forecasts of the last day were refused, since another was there."""

    def __init__(self) -> None:
        self._cycles: deque[tuple[int, int]] = deque(maxlen=CONFLICT_CYCLES)

    def after(self, report: CycleReport) -> str | None:
        """With the cycle of `report`: the alert's detail where it is too many, else None."""
        self._cycles.append((len(report.has_forecast()) + len(report.conflicts), len(report.conflicts)))
        total, refused = (sum(column) for column in zip(*self._cycles, strict=True))
        return f"{refused} of {total} forecasts were refused" if refused > CONFLICT_SHARE * total else None


class ForecastAlerts:
    """A register that is away is logged, and told at the next cycle."""

    def __init__(self, alerts: AlertRegistry) -> None:
        self._alerts = alerts

    async def tell(self, *, wrong: Mapping[Named, str], right: Collection[Named], at: datetime) -> None:
        """Raise what is `wrong`, with its detail, and clear of what is `right` that which is open."""
        try:
            await asyncio.to_thread(self._tell, wrong, right, at)
        except Exception as error:  # noqa: BLE001 - an alert that cannot be told must not stop forecasts
            _log.warning("alerts not told", wrong=len(wrong), right=len(right), error=str(error))

    def _tell(self, wrong: Mapping[Named, str], right: Collection[Named], at: datetime) -> None:
        for (name, subject), detail in wrong.items():
            self._alerts.raise_alert(name, subject, detail[:500], at=at)
        for alert in self._alerts.listed(limit=MOST_OPEN):
            if (alert.name, alert.subject) in right and (alert.name, alert.subject) not in wrong:
                self._alerts.clear(alert.name, alert.subject, at=at)
