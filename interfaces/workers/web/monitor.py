"""WebMonitor: raises the alerts of a web process about its clients."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry, every_open_alert
from interfaces.web.authentication.failures import AuthenticationFailures
from interfaces.workers.loops.periodic import PeriodicCheck

CHECK_EVERY_S = 15.0
"""Wall seconds."""
FAILURES, MOST_SUBJECTS = "authentication_failures", 20
UNSEEN_S = 4 * CHECK_EVERY_S
"""An alert that no process raised for so long is over. One process does not know what others see."""


@dataclass
class WebMonitor:
    """One runs in each web process; what several processes see is one alert."""

    failures: AuthenticationFailures
    alerts: AlertRegistry
    clock: Clock

    async def run(self, stop: asyncio.Event) -> None:
        await PeriodicCheck("web monitor", self.check, every_s=CHECK_EVERY_S).run(stop)

    async def check(self) -> None:
        """Raises OperationsUnavailable."""
        over_limit = self.failures.over_limit()  # on the event loop, which counts
        await asyncio.to_thread(partial(self._report_failures, over_limit))

    def _report_failures(self, over_limit: Mapping[str, int]) -> None:
        now = self.clock.now()
        worst = sorted(over_limit, key=lambda network: -over_limit[network])[:MOST_SUBJECTS]
        for network in set(self._unseen(now)) - set(worst):
            self.alerts.clear(FAILURES, network, at=now)
        for network in worst:
            detail = (
                f"{over_limit[network]} failed authentications in a minute, {self.failures.most_in_window} "
                f"are allowed; {len(over_limit)} addresses are over the limit"
            )
            self.alerts.raise_alert(FAILURES, network, detail, at=now)

    def _unseen(self, now: datetime) -> list[str]:
        """The subjects of open alerts that no process has raised lately."""
        if not self.alerts.open_by_name().get(FAILURES):
            return []
        return [
            alert.subject
            for alert in every_open_alert(self.alerts)
            if alert.name == FAILURES
            and self.clock.wall_seconds((now - alert.last_seen_at).total_seconds()) > UNSEEN_S
        ]
