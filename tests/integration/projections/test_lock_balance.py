"""Processes that follow projections share them: the one that holds all gives some to one that comes later."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from adapters.postgres.coordination import lock_balance
from adapters.postgres.coordination.exclusive_lock import COUNT_BY_HOLDER
from adapters.postgres.coordination.lock_balance import LockBalance
from adapters.postgres.read_model.projector import Projector
from interfaces.workers.project.log_follower import LogFollower
from projections.registry import PROJECTIONS
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.sample_values import NOW
from tests.servers import Database

WITHIN_S = 60.0
FOLLOWED = PROJECTIONS[:6]


def held(database: Database) -> dict[str, int]:
    with psycopg.connect(database.app_dsn) as connection:
        rows = connection.execute(COUNT_BY_HOLDER.encode(), ("projection ",)).fetchall()
    return {str(holder): int(count) for holder, count in rows}


def until(database: Database, condition: Callable[[dict[str, int]], bool]) -> float:
    """Returns the seconds that it took."""
    began = time.monotonic()
    while not condition(held(database)):
        assert time.monotonic() - began < WITHIN_S, held(database)
        time.sleep(0.1)
    return time.monotonic() - began


@contextmanager
def process(database: Database, name: str) -> Iterator[None]:
    """A project worker; its end frees its locks."""
    stop, balance = threading.Event(), LockBalance("projection ", name)
    threads = [
        threading.Thread(target=LogFollower(one).run, args=(stop,))
        for one in (
            Projector(
                projection,
                dsn=database.app_dsn,
                alerts=FakeAlertRegistry(),
                clock=FakeClock(NOW),
                balance=balance,
            )
            for projection in FOLLOWED
        )
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(WITHIN_S)


def test_projections_spread_over_processes_that_come_and_go(database: Database) -> None:
    count = len(FOLLOWED)
    with process(database, "one"):
        until(database, lambda now: now == {"one": count})
        with process(database, "two"):
            took_s = until(database, lambda now: now == {"one": count // 2, "two": count // 2})
            sys.stdout.write(f"{count // 2} of {count} projections moved within {took_s:.1f} s (aim: 15 s)\n")
            with process(database, "three"):
                until(database, lambda now: Counter(now.values()) == Counter({count // 3: 3}))
        until(database, lambda now: now == {"one": count})


def test_a_lock_without_a_taker_stays_for_a_minute(database: Database) -> None:
    """The other process hangs: each release would delay the projection."""
    now = [0.0]
    balance = LockBalance("projection ", "one", monotonic=lambda: now[0])
    with (
        psycopg.connect(database.app_dsn, application_name="projection a/one", autocommit=True) as own,
        psycopg.connect(database.app_dsn, application_name="projection a/hangs"),
    ):
        for number in range(3):
            own.execute("SELECT pg_try_advisory_lock(%s)", (number,))

        def gives_back(name: str, after_s: float) -> bool:
            now[0] += after_s
            return balance.gives_back(name, own)

        assert not gives_back("a", 0.0), "not at once"
        assert gives_back("a", lock_balance.EVERY_S)
        assert not gives_back("a", lock_balance.EVERY_S), "it is back"
        assert not gives_back("b", lock_balance.EVERY_S)
        assert gives_back("b", lock_balance.UNWANTED_S)
