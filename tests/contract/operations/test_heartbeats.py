"""The contract of Heartbeats: PostgreSQL's and the fake's."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.operations.heartbeats import PostgresHeartbeats
from application.ports.operations.heartbeats import Heartbeats, Process
from tests.fakes.operations.heartbeats import FakeHeartbeats
from tests.servers import Database

RELAY, OTHER = Process("relay", "host-1", 7), Process("relay", "host-2", 7)


class Beating(NamedTuple):
    heartbeats: Heartbeats
    pass_time: Callable[[float], None]


@pytest.fixture(params=["fake", "postgres"])
def beating(request: pytest.FixtureRequest) -> Iterator[Beating]:
    if request.param == "fake":
        fake = FakeHeartbeats()

        def advance(seconds: float) -> None:
            fake.now_s += seconds

        yield Beating(fake, advance)
        return
    database = request.getfixturevalue("database")

    def age(seconds: float) -> None:
        with psycopg.connect(database.owner_dsn) as connection:
            connection.execute(
                "UPDATE gridproof.process_heartbeats SET seen_at = seen_at - make_interval(secs => %s)",
                (seconds,),
            )

    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        yield Beating(PostgresHeartbeats(pool), age)


def test_the_last_heartbeat_of_each_process_is_listed_with_its_age(beating: Beating) -> None:
    heartbeats, pass_time = beating
    heartbeats.beat(RELAY, backends=[5], dependencies={"nats": None})
    heartbeats.beat(OTHER, backends=[], dependencies={})
    pass_time(100.0)
    heartbeats.beat(RELAY, backends=[9, 8], dependencies={"nats": "ConnectionRefusedError"})
    first, second = heartbeats.listed()
    assert (first.process, first.backends, first.dependencies) == (
        RELAY,
        (8, 9),
        {"nats": "ConnectionRefusedError"},
    )
    assert (second.process, second.backends, second.dependencies) == (OTHER, (), {})
    assert first.age_s < 60.0
    assert 100.0 <= second.age_s < 160.0


def test_a_process_that_ends_by_itself_is_not_listed(beating: Beating) -> None:
    heartbeats = beating.heartbeats
    for process in (RELAY, OTHER):
        heartbeats.beat(process, backends=[], dependencies={})
    heartbeats.end(RELAY)
    heartbeats.end(RELAY)
    assert [one.process for one in heartbeats.listed()] == [OTHER]


def test_old_heartbeats_are_forgotten(beating: Beating) -> None:
    heartbeats, pass_time = beating
    heartbeats.beat(RELAY, backends=[], dependencies={})
    pass_time(100.0)
    heartbeats.beat(OTHER, backends=[], dependencies={})
    heartbeats.forget(older_than_s=90.0)
    assert [one.process for one in heartbeats.listed()] == [OTHER]


def test_the_locks_of_server_processes_are_counted(database: Database) -> None:
    with (
        ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool,
        psycopg.connect(database.app_dsn, autocommit=True) as holder,
        psycopg.connect(database.app_dsn, autocommit=True) as idle,
    ):
        holder.execute("SELECT pg_advisory_lock(1), pg_advisory_lock(2)")
        pids = [holder.info.backend_pid, idle.info.backend_pid]
        heartbeats = PostgresHeartbeats(pool)
        assert heartbeats.locks_held(pids) == {holder.info.backend_pid: 2}
        assert heartbeats.locks_held([]) == {}
        use = heartbeats.connection_use()
        assert 3 <= use.used < use.most
        with psycopg.connect(database.app_dsn):
            assert heartbeats.connection_use().used >= use.used
