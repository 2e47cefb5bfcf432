"""A position that stands still while the log grows raises an alert, also of a process that ends again and again."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from application.commands.program import AgreeProgram
from interfaces.bootstrap.monitors import position_monitor
from interfaces.bootstrap.stores import open_stores
from interfaces.settings.settings import Settings
from interfaces.workers.watch.position_monitor import (
    LEAST_STILL_WALL_S,
    OBSERVER,
    RELAY,
    STILL_S,
    Position,
    PositionMonitor,
    alerts_of_projection,
)
from projections.registry import PROJECTIONS
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.sample_values import CONTEXT, NOW, program_entry
from tests.servers import Database

FACILITIES = alerts_of_projection("facilities")


@dataclass
class Sessions:
    """LockSessions."""

    found: dict[str, str]

    def holders(self, names: Sequence[str]) -> dict[str, str]:
        return {name: self.found[name] for name in names if name in self.found}


@dataclass
class Rig:
    """A monitor whose time moves by `step_s` of clock and wall at each check."""

    step_s: float = 5.0
    wall_per_clock_s: float = 1.0
    positions: dict[str, Position] = field(default_factory=dict)
    holders: dict[str, str] = field(default_factory=dict)
    wall_s: float = 0.0

    def __post_init__(self) -> None:
        self.clock, self.alerts = FakeClock(NOW), FakeAlertRegistry()
        self.monitor = PositionMonitor(
            readers={reader.lock: reader for reader in (RELAY, FACILITIES)},
            positions=lambda: self.positions,
            sessions=Sessions(self.holders),
            alerts=self.alerts,
            clock=self.clock,
            monotonic=lambda: self.wall_s,
        )

    def checks(self, count: int) -> list[tuple[str, str]]:
        """Check `count` times; returns the open alerts."""

        async def scenario() -> None:
            for _ in range(count):
                await self.monitor.check()
                self.clock.moment += timedelta(seconds=self.step_s)
                self.wall_s += self.step_s * self.wall_per_clock_s

        asyncio.run(scenario())
        return sorted((alert.name, alert.subject) for alert in self.alerts.listed())

    def at(self, lock: str, position: int, head: int, *, holder: str | None, **options: Any) -> None:
        self.positions[lock] = Position(position, head, **options)
        if holder is None:
            self.holders.pop(lock, None)
        else:
            self.holders[lock] = holder


CHECKS = int(STILL_S // 5) + 2


def test_a_relay_that_works_and_does_not_advance_is_stalled_until_it_moves() -> None:
    r = Rig()
    r.at(RELAY.lock, 883, 905, holder="a")
    assert r.checks(2) == []
    r.at(RELAY.lock, 883, 912, holder="a")
    assert r.checks(CHECKS) == [("relay_stalled", "relay")]
    r.at(RELAY.lock, 884, 912, holder="a")
    assert r.checks(1) == []


def test_a_relay_at_the_head_stands_still_without_an_alert() -> None:
    r = Rig()
    r.at(RELAY.lock, 905, 905, holder="a")
    assert r.checks(4 * CHECKS) == []


def test_a_relay_that_moves_slowly_has_no_alert() -> None:
    r = Rig()
    for position in range(20):
        r.at(RELAY.lock, position, 100, holder="a")
        assert r.checks(3) == []


def test_a_relay_that_ends_again_and_again_is_reported_as_stopped() -> None:
    r, last = Rig(), list[tuple[str, str]]()
    for number in range(CHECKS):
        r.at(RELAY.lock, 638, 660, holder=f"process {number}")
        last = r.checks(1)
    assert last == [("relay_stopped", "relay process")]


def test_a_relay_that_does_not_run_is_reported_as_stopped() -> None:
    r = Rig()
    r.at(RELAY.lock, 638, 660, holder=None)
    assert r.checks(CHECKS) == [("relay_stopped", "relay process")]
    r.at(RELAY.lock, 660, 660, holder="b")
    assert r.checks(1) == []


def test_one_reconnect_of_a_stalled_relay_is_no_crash_loop() -> None:
    r = Rig()
    r.at(RELAY.lock, 638, 660, holder="a")
    r.checks(2)
    r.at(RELAY.lock, 638, 660, holder="b")
    assert r.checks(CHECKS) == [("relay_stalled", "relay")]


def test_a_projection_whose_process_ends_again_and_again_is_stopped_and_a_stuck_one_lags() -> None:
    r = Rig()
    r.at(RELAY.lock, 5, 5, holder="a")
    r.at(FACILITIES.lock, 3, 5, holder=None)
    assert r.checks(CHECKS) == [("projection_stopped", "facilities process")]
    r.at(FACILITIES.lock, 4, 5, holder="p")
    assert r.checks(1) == []
    assert r.checks(CHECKS) == [("projection_lag", "facilities position")]


def test_a_projection_that_reported_its_stop_has_that_alert_only() -> None:
    r = Rig()
    r.at(FACILITIES.lock, 3, 5, holder="p", is_stopped=True)
    assert r.checks(CHECKS) == []


def test_on_a_fast_clock_a_position_may_stand_still_for_some_real_seconds() -> None:
    """At 60 times the speed 30 s of the clock are half a second, which no relay needs to keep."""
    r = Rig(wall_per_clock_s=1 / 60)
    r.at(RELAY.lock, 883, 905, holder="a")
    assert r.checks(CHECKS) == []
    assert r.checks(int(LEAST_STILL_WALL_S * 60 // 5) + 1) == [("relay_stalled", "relay")]


def test_a_monitor_clears_what_an_earlier_one_raised() -> None:
    r = Rig()
    r.alerts.state("relay_stalled", {"relay": "before"}, observer=OBSERVER, at=NOW)
    r.at(RELAY.lock, 905, 905, holder="a")
    assert r.checks(1) == []


def test_the_wired_monitor_sees_that_neither_relay_nor_projections_run(database: Database) -> None:
    clock = FakeClock(NOW)
    stores = open_stores(Settings(database_url=database.app_dsn), clock=clock)
    try:
        stores.bus.handle(AgreeProgram(entry=program_entry()), CONTEXT)
        monitor = position_monitor(stores)
        wall_s = 0.0
        monitor.monotonic = lambda: wall_s

        async def check() -> None:
            await monitor.check()

        asyncio.run(check())
        assert stores.alerts().listed() == []
        clock.moment, wall_s = NOW + timedelta(seconds=STILL_S), LEAST_STILL_WALL_S
        asyncio.run(check())
        raised = {(alert.name, alert.subject) for alert in stores.alerts().listed()}
        assert raised == {("relay_stopped", "relay process")} | {
            ("projection_stopped", f"{projection.name} process") for projection in PROJECTIONS
        }
    finally:
        stores.close()
