"""The contract of HostTasks: PostgreSQL's and the fake's."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec
import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.operations.host_tasks import PostgresHostTasks
from application.ports.operations.host_tasks import (
    CheckHistory,
    CreateMeterLogin,
    HistoryTaskOpen,
    HostTasks,
    RevokeMeterLogin,
    TakeBackHistory,
    UploadedFile,
    Work,
)
from tests.fakes.operations.host_tasks import FakeHostTasks

FILE = UploadedFile(upload_id=uuid4(), name="load.csv", size=12, sha256="ab" * 32)


class Host(NamedTuple):
    tasks: HostTasks
    pass_time: Callable[[float], None]


@pytest.fixture(params=["fake", "postgres"])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    if request.param == "fake":
        fake = FakeHostTasks()

        def advance(seconds: float) -> None:
            fake.age_s += seconds

        yield Host(fake, advance)
        return
    database = request.getfixturevalue("database")

    def age(seconds: float) -> None:
        with psycopg.connect(database.owner_dsn) as connection:
            for column, table in (("seen_at", "host_state"), ("ended_at", "host_tasks")):
                connection.execute(
                    f"UPDATE gridproof.{table} SET {column} = {column} - make_interval(secs => %s)".encode(),
                    (seconds,),
                )

    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        yield Host(PostgresHostTasks(pool), age)


def add(tasks: HostTasks, work: Work) -> Any:
    task_id = uuid4()
    tasks.add(task_id, work, by="admin:k", trace_id="0" * 32)
    return task_id


def test_a_task_is_read_with_its_work_and_progress(host: Host) -> None:
    tasks = host.tasks
    task_id = add(tasks, CheckHistory(file=FILE))
    waiting = tasks.find(task_id)
    assert waiting is not None
    assert (waiting.work, waiting.requested_by, waiting.state) == (
        CheckHistory(file=FILE),
        "admin:k",
        "waiting",
    )
    tasks.begin(task_id)
    tasks.note_progress(task_id, "storing", 50, 200)
    running = tasks.find(task_id)
    assert running is not None
    assert (running.state, running.attempts, running.phase, running.done, running.total) == (
        "running",
        1,
        "storing",
        50,
        200,
    )
    tasks.end(task_id, result=msgspec.Raw(b'{"rows":7}'))
    ended = tasks.find(task_id)
    assert ended is not None
    assert (ended.state, msgspec.json.decode(ended.result or b"null")) == ("done", {"rows": 7})
    tasks.end(task_id, problem="too late")
    assert tasks.find(task_id) == ended
    assert tasks.find(uuid4()) is None


def test_one_file_of_past_readings_is_worked_on_at_a_time_and_logins_beside_it(host: Host) -> None:
    tasks = host.tasks
    assert tasks.newest_history() is None
    first = add(tasks, CheckHistory(file=FILE))
    with pytest.raises(HistoryTaskOpen):
        add(tasks, TakeBackHistory(import_id=uuid4(), reason="x"))
    login = add(tasks, RevokeMeterLogin(facility_id="fac-001"))
    assert [one.task_id for one in tasks.open_tasks()] == [first, login]
    tasks.end(first, problem="no such column")
    second = add(tasks, TakeBackHistory(import_id=uuid4(), reason="x"))
    assert [one.task_id for one in tasks.open_tasks()] == [login, second]
    newest = tasks.newest_history()
    assert newest is not None
    assert newest.task_id == second


def test_the_hash_of_a_password_leaves_a_task_that_is_done(host: Host) -> None:
    task_id = add(host.tasks, CreateMeterLogin(facility_id="fac-001", password_hash="$2a$04$x"))
    host.tasks.end(task_id)
    done = host.tasks.find(task_id)
    assert done is not None
    assert done.work == CreateMeterLogin(facility_id="fac-001")


def test_the_host_says_which_logins_it_has_and_when(host: Host) -> None:
    assert host.tasks.state() is None
    host.tasks.show_state(mqtt_port=1883, meter_logins=["fac-001"])
    host.pass_time(100.0)
    state = host.tasks.state()
    assert state is not None
    assert (state.mqtt_port, state.meter_logins, 100.0 <= state.age_s < 160.0) == (1883, ("fac-001",), True)
    host.tasks.show_state(mqtt_port=None, meter_logins=None)
    state = host.tasks.state()
    assert state is not None
    assert state.meter_logins is None


def test_tasks_that_ended_long_ago_are_forgotten(host: Host) -> None:
    done = add(host.tasks, RevokeMeterLogin(facility_id="fac-001"))
    host.tasks.end(done)
    host.pass_time(90_000)
    host.tasks.forget(timedelta(days=2))
    assert host.tasks.find(done) is not None
    waiting = add(host.tasks, RevokeMeterLogin(facility_id="fac-002"))
    host.tasks.forget(timedelta(days=1))
    assert (host.tasks.find(done), host.tasks.find(waiting) is None) == (None, False)
