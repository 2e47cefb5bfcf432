"""Standbys that are lost, replicas that are behind, and a replaced server are alerted until they are right again."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from application.ports.operations.database_server import ServerIdentity, Standbys
from application.ports.operations.system_state import QueuesUnavailable
from interfaces.workers.watch.replication_monitor import Problems, ReplicationMonitor
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.operations.database_server import FakeDatabaseServer
from tests.open_alerts import begin_alert
from tests.sample_values import NOW

TWO, ONE, NONE = (Standbys(attached=n, synchronous=n > 0) for n in (2, 1, 0))


@dataclass
class Watched:
    standbys: int | None = None
    server: FakeDatabaseServer = field(default_factory=FakeDatabaseServer)
    alerts: FakeAlertRegistry = field(default_factory=FakeAlertRegistry)
    behind: dict[str, str] | None = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.monitor = ReplicationMonitor(
            server=self.server,
            alerts=self.alerts,
            clock=FakeClock(NOW),
            standbys=self.standbys,
            replicas=[self.replicas],
        )

    async def replicas(self) -> Problems:
        if self.behind is None:
            raise QueuesUnavailable("NATS is away")
        return dict(self.behind)

    def check(self) -> set[str]:
        """The open alerts after two checks."""
        for _ in range(2):
            asyncio.run(self.monitor.check())
        return {f"{alert.name} {alert.subject}" for alert in self.alerts.listed()}


def test_a_server_that_never_had_a_standby_is_not_alerted() -> None:
    assert Watched().check() == set()


def test_a_lost_standby_is_alerted_until_as_many_are_attached_as_were() -> None:
    watched = Watched()
    watched.server.attached = TWO
    assert watched.check() == set()
    watched.server.attached = ONE
    assert watched.check() == {"standby_lost database"}
    watched.server.attached = NONE
    assert watched.check() == {"standby_lost database", "no_synchronous_standby database"}
    watched.server.attached = TWO
    assert watched.check() == set()


def test_standbys_for_which_no_commit_waits_are_alerted_until_one_does() -> None:
    watched = Watched()
    watched.server.attached = Standbys(attached=1, synchronous=False)
    assert watched.check() == {"no_synchronous_standby database"}
    watched.server.attached = ONE
    assert watched.check() == set()


def test_the_setting_says_how_many_there_should_be() -> None:
    assert Watched(standbys=1).check() == {"standby_lost database", "no_synchronous_standby database"}
    unwanted = Watched(standbys=0)
    unwanted.server.attached = Standbys(attached=1, synchronous=False)
    assert unwanted.check() == set()


def test_what_holds_for_a_single_check_is_not_alerted() -> None:
    watched = Watched()
    watched.server.attached = ONE
    watched.check()
    for attached in (NONE, ONE, NONE, ONE):
        watched.server.attached = attached
        asyncio.run(watched.monitor.check())
    assert watched.alerts.listed(include_cleared=True) == []


def test_a_replaced_server_that_takes_writes_is_alerted_until_it_is_stopped() -> None:
    watched = Watched()
    watched.server.old_primaries = [ServerIdentity(address="10.0.0.1:5432", timeline=1)]
    assert watched.check() == {"older_timeline 10.0.0.1:5432"}
    watched.server.old_primaries = []
    assert watched.check() == set()


@pytest.mark.parametrize("subject", ["read replica", "stream TELEMETRY"])
def test_a_replica_that_is_not_current_is_alerted_until_it_is(subject: str) -> None:
    watched = Watched()
    watched.behind = {subject: "1 of 3 replicas are current"}
    assert watched.check() == {f"replica_not_current {subject}"}
    watched.behind = {}
    assert watched.check() == set()


def test_a_nats_that_is_away_hides_no_other_alert() -> None:
    watched = Watched(standbys=1)
    watched.behind = None
    assert watched.check() == {"standby_lost database", "no_synchronous_standby database"}


def test_what_could_not_be_looked_at_ends_no_alert() -> None:
    watched = Watched()
    watched.behind = {"stream TELEMETRY": "1 of 3 replicas are current"}
    assert watched.check() == {"replica_not_current stream TELEMETRY"}
    watched.behind = None
    assert watched.check() == {"replica_not_current stream TELEMETRY"}
    watched.behind = {}
    assert watched.check() == set()


def test_its_alerts_end_also_below_many_others() -> None:
    watched = Watched(standbys=1)
    watched.check()
    for number in range(300):
        begin_alert(watched.alerts, "bms_breaker_open", f"fac-{number:05}", "x", at=NOW + timedelta(hours=1))
    watched.server.attached = ONE
    watched.check()
    assert watched.alerts.open_by_name() == {"bms_breaker_open": 300}


def test_a_new_monitor_clears_what_an_earlier_one_raised() -> None:
    watched = Watched(standbys=1)
    watched.check()
    watched.server.attached = ONE
    watched.__post_init__()
    assert watched.check() == set()
