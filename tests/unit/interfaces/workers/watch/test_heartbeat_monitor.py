"""Silent workers, locks of the dead, and connections that run short."""

import asyncio
from dataclasses import dataclass, field

import pytest

from application.ports.operations.heartbeats import SILENT_S, ConnectionUse, Process
from interfaces.workers.watch.heartbeat_monitor import FORGOTTEN_S, HeartbeatMonitor
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.operations.heartbeats import FakeHeartbeats

RELAY, SECOND, PROJECT = Process("relay", "a", 1), Process("relay", "b", 1), Process("project", "a", 2)
BUDGET = 30


@dataclass
class Rig:
    heartbeats: FakeHeartbeats = field(default_factory=FakeHeartbeats)
    alerts: FakeAlertRegistry = field(default_factory=FakeAlertRegistry)
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.monitor = HeartbeatMonitor(
            self.heartbeats,
            lambda worker: BUDGET,
            self.alerts,
            self.clock,
            monotonic=lambda: self.heartbeats.now_s,
        )

    def beat(self, *processes: Process, backends: tuple[int, ...] = ()) -> None:
        for process in processes:
            self.heartbeats.beat(process, backends=backends, dependencies={})

    def after(self, seconds: float) -> set[tuple[str, str]]:
        """The open alerts after a check at that time from now."""
        self.heartbeats.now_s += seconds
        self.clock.advance(seconds=seconds)
        asyncio.run(self.monitor.check())
        return {(alert.name, alert.subject) for alert in self.alerts.listed()}


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.beat(RELAY, SECOND, PROJECT)
    assert rig.after(0) == set()
    return rig


def test_a_worker_of_which_no_process_reports_is_an_alert_until_one_does(rig: Rig) -> None:
    rig.after(SILENT_S - 1)
    rig.beat(SECOND)
    assert rig.after(1) == {("worker_silent", "project")}
    rig.beat(PROJECT)
    assert rig.after(1) == set()


def test_a_worker_whose_processes_ended_by_themselves_is_not_silent(rig: Rig) -> None:
    rig.heartbeats.end(PROJECT)
    rig.after(SILENT_S - 1)
    rig.beat(RELAY)
    assert rig.after(1) == set()


def test_a_worker_that_nobody_starts_again_is_forgotten(rig: Rig) -> None:
    rig.after(SILENT_S)
    rig.beat(RELAY)
    assert rig.after(1) == {("worker_silent", "project")}
    rig.heartbeats.now_s += FORGOTTEN_S
    rig.beat(RELAY)
    assert rig.after(1) == set()


def test_a_system_that_was_just_started_is_given_time_and_old_alerts_end(rig: Rig) -> None:
    rig.after(SILENT_S)
    rig.restart()
    rig.heartbeats.now_s += 3_600
    rig.beat(RELAY)
    assert ("worker_silent", "project") in rig.after(0), "what is open stays"
    rig.beat(RELAY, PROJECT)
    assert rig.after(SILENT_S / 2) <= {("worker_silent", "project"), ("worker_silent", "relay")}
    rig.beat(RELAY, PROJECT)
    assert rig.after(SILENT_S / 2) == set()


def test_locks_of_a_silent_process_are_an_alert_until_they_are_free(rig: Rig) -> None:
    rig.beat(RELAY, backends=(41, 42))
    rig.heartbeats.locks = {41: 2, 42: 1, 77: 5}
    rig.after(SILENT_S - 1)
    rig.beat(SECOND, PROJECT, backends=(77,))
    assert rig.after(1) == {("turn_held_by_dead", "relay on a, pid 1")}
    [alert] = rig.alerts.listed()
    assert "its database sessions hold 3 locks" in alert.detail
    rig.heartbeats.locks = {77: 5}
    assert rig.after(1) == set()


def test_a_server_process_that_a_living_session_has_now_is_not_of_the_dead(rig: Rig) -> None:
    rig.beat(RELAY, backends=(41,))
    rig.heartbeats.locks = {41: 2}
    rig.after(SILENT_S - 1)
    rig.beat(SECOND, PROJECT, backends=(41,))
    assert rig.after(1) == set()


def test_connections_that_run_short_are_an_alert_until_they_do_not(rig: Rig) -> None:
    rig.heartbeats.use = ConnectionUse(used=81, most=100)
    assert rig.after(1) == {("connections_short", "postgresql")}
    rig.heartbeats.use = ConnectionUse(used=80, most=100)
    assert rig.after(1) == set()
    rig.heartbeats.use = ConnectionUse(used=10, most=3 * BUDGET - 1)
    assert rig.after(1) == {("connections_short", "postgresql")}
    [alert] = rig.alerts.listed()
    assert alert.detail == "the processes that run may open 90 connections, and the server allows 89"
    rig.heartbeats.end(SECOND)
    assert rig.after(1) == set()
