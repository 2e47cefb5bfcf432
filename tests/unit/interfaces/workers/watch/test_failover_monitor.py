"""A failover of the database is alerted during a DR event, and only then."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from application.commands.dr_event import CancelDREvent
from application.ports.operations.unavailable import OperationsUnavailable
from domain.dr_event import DREventStatus
from interfaces.workers.watch.failover_monitor import ALERT, FailoverMonitor
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.operations.database_server import FakeDatabaseServer
from tests.fakes.read_models import FakeReadModels
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID, UTILITY_EVENT


@dataclass
class Watched:
    there: InProcessSystem
    server: FakeDatabaseServer = field(default_factory=FakeDatabaseServer)
    alerts: FakeAlertRegistry = field(default_factory=FakeAlertRegistry)

    def __post_init__(self) -> None:
        self.watch = self.fresh()

    def fresh(self) -> FailoverMonitor:
        return FailoverMonitor(
            server=self.server,
            dr_events=self._models().dr_events,
            alerts=self.alerts,
            clock=self.there.scenario.clock,
        )

    def check(self) -> list[str]:
        """The details of the alert after a check."""
        self.watch.dr_events = self._models().dr_events
        self.watch.check()
        return [alert.detail for alert in self.alerts.listed() if alert.name == ALERT]

    def _models(self) -> FakeReadModels:
        return FakeReadModels(self.there.scenario.store.read_after(0, 10_000))


def during(status: DREventStatus) -> Watched:
    watched = Watched(InProcessSystem.accepted("fac-001").until(status))
    assert watched.check() == []
    return watched


@pytest.mark.parametrize("status", ["preparing", "active"])
def test_a_failover_during_a_dr_event_is_alerted_with_both_servers(status: DREventStatus) -> None:
    watched = during(status)
    watched.server.fail_over()
    [detail] = watched.check()
    assert detail == (
        f"10.0.0.1:5432 on timeline 1 is now 10.0.0.2:5432 on timeline 2; under way: {UTILITY_EVENT}"
    )
    assert watched.check() == [detail], "alerted as long as the DR event is under way"


def test_the_alert_names_only_some_of_many_dr_events(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = during("active")
    watched.server.fail_over()
    read = 0

    def all_rows(_: object, *, status: DREventStatus) -> Iterator[SimpleNamespace]:
        nonlocal read
        for number in range(5_000):
            read += 1
            yield SimpleNamespace(utility_event_id=f"{status}-{number}")

    monkeypatch.setattr("interfaces.workers.watch.failover_monitor.all_rows", all_rows)
    [detail] = watched.check()
    assert detail.endswith("preparing-8, preparing-9 and others")
    assert (len(detail) < 300, read) == (True, 11)


def test_the_alert_clears_once_no_dr_event_is_under_way() -> None:
    watched = during("active")
    watched.server.fail_over()
    assert watched.check() != []
    watched.there.do(CancelDREvent(dr_event_id=DR_EVENT_ID, reason="the heat wave is over"))
    assert watched.check() == []


@pytest.mark.parametrize("status", ["scheduled", "completed"])
def test_a_failover_without_a_dr_event_under_way_is_not_alerted(status: DREventStatus) -> None:
    watched = during(status)
    watched.server.fail_over()
    assert watched.check() == []


def test_a_database_that_returns_on_the_same_server_is_not_a_failover() -> None:
    watched = during("active")
    watched.server.is_away = True
    with pytest.raises(OperationsUnavailable):
        watched.check()
    watched.server.is_away = False
    assert watched.check() == []


def test_an_alert_that_could_not_be_written_is_written_at_the_next_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched = during("active")
    watched.server.fail_over()

    def away(*_: object, **__: object) -> None:
        raise OperationsUnavailable("the register is away")

    with monkeypatch.context() as without_register:
        without_register.setattr(watched.alerts, "state", away)
        with pytest.raises(OperationsUnavailable):
            watched.check()
    assert len(watched.check()) == 1


def test_a_new_monitor_clears_an_alert_that_no_longer_applies() -> None:
    watched = during("active")
    watched.server.fail_over()
    assert watched.check() != []
    watched.there.until("completed")
    watched.watch = watched.fresh()
    assert watched.check() == []
