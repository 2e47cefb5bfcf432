"""WebMonitor: states the alerts of a web process about its clients."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry
from interfaces.web.authentication.failures import AuthenticationFailures
from interfaces.workers.loops.observer import this_process
from interfaces.workers.loops.periodic import PeriodicCheck

CHECK_EVERY_S = 15.0
"""Wall seconds."""
FAILURES, MOST_SUBJECTS = "authentication_failures", 20


@dataclass
class WebMonitor:
    """One runs in each web process; what several processes see is one alert."""

    failures: AuthenticationFailures
    alerts: AlertRegistry
    clock: Clock
    observer: str = field(default_factory=this_process)

    async def run(self, stop: asyncio.Event) -> None:
        await PeriodicCheck("web monitor", self.check, every_s=CHECK_EVERY_S).run(stop)

    async def check(self) -> None:
        """Raises OperationsUnavailable."""
        over_limit = self.failures.over_limit()  # on the event loop, which counts
        worst = sorted(over_limit, key=lambda network: -over_limit[network])[:MOST_SUBJECTS]
        stated = {
            network: f"{over_limit[network]} failed authentications in a minute, {self.failures.most_in_window} "
            f"are allowed; {len(over_limit)} addresses are over the limit"
            for network in worst
        }
        at = self.clock.now()
        await asyncio.to_thread(self.alerts.state, FAILURES, stated, observer=self.observer, at=at)
