"""A login that the page asked for: changed, recorded and ended, also after an interruption."""

from typing import Any
from uuid import uuid4

import pytest

from application.operations.host_logins import NO_BROKER, carry_out_login
from application.ports.access.meter_logins import MeterLoginRefused
from application.ports.operations.host_tasks import CreateMeterLogin, LoginWork, RevokeMeterLogin
from application.ports.operations.unavailable import OperationsUnavailable
from tests.fakes.clock import FakeClock
from tests.fakes.operations.act_log import FakeActLog
from tests.fakes.operations.host_tasks import FakeHostTasks


class Users:
    """Logins in memory, with the rules of the embedded broker's."""

    def __init__(self, **logins: str) -> None:
        self.logins = logins

    def facility_ids(self) -> list[str]:
        return sorted(self.logins)

    def add(self, facility_id: str, password_hash: str) -> None:
        if self.logins.setdefault(facility_id, password_hash) != password_hash:
            raise MeterLoginRefused(f"{facility_id} has a login already")

    def revoke(self, facility_id: str) -> None:
        if self.logins.pop(facility_id, None) is None:
            raise MeterLoginRefused(f"{facility_id} has no login")

    def mqtt_port(self) -> int | None:
        return 1883


class Host:
    def __init__(self, users: Users | None) -> None:
        self.users, self.acts, self.tasks = users, FakeActLog(), FakeHostTasks()

    def ask(self, work: LoginWork) -> Any:
        task_id = uuid4()
        self.tasks.add(task_id, work, by="admin:k", trace_id="0" * 32)
        return task_id

    def carry_out(self, task_id: Any) -> Any:
        task = self.tasks.tasks[task_id]
        assert isinstance(task.work, LoginWork)
        carry_out_login(
            task, task.work, users=self.users, acts=self.acts, clock=FakeClock(), tasks=self.tasks
        )
        return self.tasks.tasks[task_id]

    @property
    def recorded(self) -> list[tuple[str, str, str]]:
        return [(type(one).__name__, one.facility_id, one.actor) for one in self.acts.recorded.values()]


NEW = CreateMeterLogin(facility_id="a", password_hash="hash")


def test_a_login_is_made_and_recorded_with_the_key_of_the_request() -> None:
    host = Host(users := Users())
    assert host.carry_out(host.ask(NEW)).state == "done"
    assert users.logins == {"a": "hash"}
    assert host.recorded == [("MeterLoginCreated", "a", "admin:k")]
    assert "hash" not in repr([*host.acts.recorded.values()])
    assert host.carry_out(host.ask(RevokeMeterLogin(facility_id="a"))).state == "done"
    assert (users.logins, host.recorded[-1][0]) == ({}, "MeterLoginRevoked")


@pytest.mark.parametrize("work", [NEW, RevokeMeterLogin(facility_id="b")])
def test_what_the_broker_refuses_is_not_recorded(work: LoginWork) -> None:
    host = Host(Users(a="another"))
    task = host.carry_out(host.ask(work))
    assert (task.state, "login" in task.problem, host.recorded) == ("refused", True, [])


@pytest.mark.parametrize("work", [NEW, RevokeMeterLogin(facility_id="b")])
@pytest.mark.parametrize("at", ["record", "end"])
def test_what_was_interrupted_is_done_and_recorded_once_by_the_next_round(
    work: LoginWork, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(users := Users(b="old"))
    task_id = host.ask(work)

    def fails(*_args: Any, **_others: Any) -> None:
        raise OperationsUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(host.acts if at == "record" else host.tasks, at, fails)
        with pytest.raises(OperationsUnavailable):
            host.carry_out(task_id)
    assert host.carry_out(task_id).state == "done"
    assert len(host.recorded) == 1
    assert users.logins == ({"a": "hash", "b": "old"} if work is NEW else {})


def test_without_a_broker_of_its_own_the_host_refuses() -> None:
    host = Host(None)
    assert host.carry_out(host.ask(NEW)).problem == NO_BROKER
