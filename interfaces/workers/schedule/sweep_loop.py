"""SweepLoop: runs a sweep for lost work periodically, and raises the alert for what was issued again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from application.operations.alert_switch import AlertSwitch
from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry
from interfaces.workers.loops.periodic import PeriodicCheck

ALERT = "work_reissued"
SWEEP_EVERY_S = 10.0
"""Clock seconds; at least LEAST_WALL_S on the wall."""
LEAST_WALL_S = 0.5
ALERT_FOR_S = 900.0
"""Clock seconds for which the alert stays open after the last work that was issued again."""
NAMED = 5
"""How many facilities or utilities an alert names."""


@dataclass
class SweepLoop:
    """One process sweeps at a time: the one that holds `lock`."""

    sweep: Callable[[], Awaitable[Mapping[str, int]]]
    """Issues lost work again; returns facility or utility -> how much."""
    work: str
    """What it issues again, in the words of the alert."""
    subject: str
    """The subject of the alert."""
    lock: str
    alerts: AlertRegistry
    clock: Clock
    _reissued_at: datetime | None = None

    @property
    def periodic(self) -> PeriodicCheck:
        switch = AlertSwitch(self.alerts, self.clock, ALERT, self.subject)
        return PeriodicCheck(
            f"sweeper of lost {self.work}",
            partial(self._round, switch),
            every_s=max(LEAST_WALL_S, self.clock.wall_seconds(SWEEP_EVERY_S)),
            lock=self.lock,
            reset=switch.forget,
        )

    async def _round(self, switch: AlertSwitch) -> None:
        reissued = await self.sweep()
        now = self.clock.now()
        if reissued:
            self._reissued_at = now
        last = self._reissued_at
        is_recent = last is not None and (now - last).total_seconds() < ALERT_FOR_S
        detail = self._detail(reissued) if reissued else "issued again a while ago"
        await switch.turn(on=is_recent, detail=detail)

    def _detail(self, reissued: Mapping[str, int]) -> str:
        number = f"{sum(reissued.values())} {self.work}"
        return f"{number} had no outcome, and the work queue had lost them: {_listed(sorted(reissued))}"


def _listed(names: Iterable[str]) -> str:
    first = list(names)
    more = len(first) - NAMED
    return ", ".join(first[:NAMED]) + (f" and {more} more" if more > 0 else "")
