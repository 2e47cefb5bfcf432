"""WebMonitor: raises the alerts of a web process, about its clients and the disk below its data folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from socket import gethostname

from prometheus_client import Gauge

from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry
from interfaces.web.authentication.failures import AuthenticationFailures
from interfaces.workers.loops.periodic import PeriodicCheck

CHECK_EVERY_S = 15.0
"""Wall seconds."""
DISK = "disk_filling"
DISK_USED = Gauge("gridproof_disk_used_ratio", "Used share of the disk below the data folder, from 0 to 1")
"""Set by the check of WebMonitor: on a network file system that hangs, asking would stop the event loop."""
FAILURES, MOST_SUBJECTS = "authentication_failures", 20
UNSEEN_S = 4 * CHECK_EVERY_S
"""An alert that no process raised for so long is over. One process does not know what others see."""


@dataclass
class WebMonitor:
    """One runs in each web process; what several processes see is one alert."""

    failures: AuthenticationFailures
    alerts: AlertRegistry
    clock: Clock
    disk_used: Callable[[], float] | None = None
    """The used share of the disk, from 0 to 1; None: this process stores nothing on a disk."""
    disk_full_share: float = 0.8

    async def run(self, stop: asyncio.Event) -> None:
        await PeriodicCheck("web monitor", self.check, every_s=CHECK_EVERY_S).run(stop)

    async def check(self) -> None:
        """Raises OperationsUnavailable; the gauge of the disk needs no database."""
        if self.disk_used is not None:
            await asyncio.to_thread(self._report_disk, self.disk_used)
        over_limit = self.failures.over_limit()  # on the event loop, which counts
        await asyncio.to_thread(partial(self._report_failures, over_limit))

    def _report_disk(self, disk_used: Callable[[], float]) -> None:
        share = disk_used()
        DISK_USED.set(share)
        now, subject = self.clock.now(), gethostname()
        if share > self.disk_full_share:
            detail = f"{share:.0%} of the disk below the data folder is used"
            self.alerts.raise_alert(DISK, subject, detail, at=now)
        else:
            self.alerts.clear(DISK, subject, at=now)

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
            for alert in self.alerts.listed()
            if alert.name == FAILURES
            and self.clock.wall_seconds((now - alert.last_seen_at).total_seconds()) > UNSEEN_S
        ]
