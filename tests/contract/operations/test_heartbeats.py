"""The contract of Heartbeats: PostgreSQL's and the fake's."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.operations.heartbeats import PostgresHeartbeats
from application.ports.operations.heartbeats import MISSED_BEAT_S, SILENT_S, Heartbeats, Process
from tests.fakes.operations.heartbeats import FakeHeartbeats
from tests.servers import Database

RELAY, OTHER = Process("relay", "host-1", 7), Process("relay", "host-2", 7)


class Beating(NamedTuple):
    heartbeats: Heartbeats
    pass_time: Callable[[float], None]
    session: int
    """A server process that exists."""

    def admit(self, process: Process, *backends: int, most: int = 2) -> bool:
        """Whether a process is admitted on a server that allows connections to `most` of them."""
        each = self.heartbeats.connection_use().most // most
        room = self.heartbeats.admit(
            process, backends=backends, budget_of={"relay": each}.__getitem__, reserved=0
        )
        return room.fits


@pytest.fixture(params=["fake", "postgres"])
def beating(request: pytest.FixtureRequest) -> Iterator[Beating]:
    if request.param == "fake":
        fake = FakeHeartbeats()

        def advance(seconds: float) -> None:
            fake.now_s += seconds

        fake.sessions = {5}
        yield Beating(fake, advance, 5)
        return
    database = request.getfixturevalue("database")

    def age(seconds: float) -> None:
        with psycopg.connect(database.owner_dsn) as connection:
            connection.execute(
                "UPDATE gridproof.process_heartbeats SET seen_at = seen_at - make_interval(secs => %s)",
                (seconds,),
            )

    with (
        ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool,
        psycopg.connect(database.app_dsn) as session,
    ):
        yield Beating(PostgresHeartbeats(pool), age, session.info.backend_pid)


def test_the_last_heartbeat_of_each_process_is_listed_with_its_age(beating: Beating) -> None:
    heartbeats, pass_time, _ = beating
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
    heartbeats, pass_time, _ = beating
    heartbeats.beat(RELAY, backends=[], dependencies={})
    pass_time(100.0)
    heartbeats.beat(OTHER, backends=[], dependencies={})
    heartbeats.forget(older_than_s=90.0)
    assert [one.process for one in heartbeats.listed()] == [OTHER]


def test_processes_are_admitted_until_their_budgets_fill_what_the_server_allows(beating: Beating) -> None:
    assert beating.admit(RELAY)
    assert beating.admit(OTHER)
    assert not beating.admit(Process("relay", "host-3", 7))
    assert beating.admit(RELAY), "it is there already"
    assert [one.process for one in beating.heartbeats.listed()] == [RELAY, OTHER]
    beating.heartbeats.end(OTHER)
    assert beating.admit(Process("relay", "host-3", 7))


def test_a_process_without_a_session_counts_until_it_misses_a_heartbeat(beating: Beating) -> None:
    assert beating.admit(RELAY, most=1)
    beating.pass_time(MISSED_BEAT_S / 2)
    assert not beating.admit(OTHER, most=1)
    beating.pass_time(MISSED_BEAT_S / 2)
    assert beating.admit(OTHER, most=1)


def test_a_silent_process_counts_while_the_server_keeps_a_session_for_it(beating: Beating) -> None:
    assert beating.admit(RELAY, beating.session, most=1)
    beating.pass_time(MISSED_BEAT_S)
    assert not beating.admit(OTHER, most=1)
    beating.pass_time(SILENT_S - MISSED_BEAT_S)
    assert beating.admit(OTHER, most=1)


def test_a_heartbeat_of_a_clock_that_was_put_right_takes_no_place_and_is_forgotten(beating: Beating) -> None:
    assert beating.admit(RELAY, beating.session, most=1)
    beating.pass_time(-3_600.0)
    assert beating.admit(OTHER, most=1)
    beating.heartbeats.forget(older_than_s=86_400.0)
    assert [one.process for one in beating.heartbeats.listed()] == [OTHER]


def test_of_processes_that_begin_at_once_no_more_are_admitted_than_fit(database: Database) -> None:
    with (
        ConnectionPool[Any](database.app_dsn, min_size=1, max_size=8) as pool,
        ThreadPoolExecutor(8) as threads,
    ):
        heartbeats = PostgresHeartbeats(pool)
        each = heartbeats.connection_use().most // 3

        def admitted(pid: int) -> bool:
            process = Process("relay", "host", pid)
            return heartbeats.admit(process, backends=[], budget_of=lambda _: each, reserved=0).fits

        assert sum(threads.map(admitted, range(8))) == len(heartbeats.listed()) == 3


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
