"""Pooled connections that died while they were idle are replaced, whatever ended them."""

import time
from typing import Any

import psycopg
import psycopg_pool.pool
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.connection.pool import FastReconnectPool, check_idle
from adapters.postgres.event_store.event_store import PostgresEventStore
from application.event_store.demand_response import DemandResponse
from tests.servers import Database, PostgresServer

OTHERS = "FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"


def terminate_all(database: Database) -> None:
    """The sessions have ended when this returns."""
    with psycopg.connect(database.admin_dsn, autocommit=True) as connection:
        connection.execute(f"SELECT pg_terminate_backend(pid) {OTHERS}".encode(), (database.name,))
        while connection.execute(f"SELECT 1 {OTHERS}".encode(), (database.name,)).fetchone():
            time.sleep(0.01)


def answers(pool: ConnectionPool[Any]) -> bool:
    with pool.connection() as connection:
        return bool(connection.execute("SELECT 1").fetchone() == (1,))


def test_connections_that_the_server_ended_are_not_handed_out(database: Database) -> None:
    with FastReconnectPool(database.app_dsn, min_size=3, max_size=3, timeout=30) as pool:
        pool.wait()
        for _ in range(3):
            terminate_all(database)
            assert all(answers(pool) for _ in range(6))


def test_however_many_died_with_their_server_nobody_waits_between_one_and_the_next(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waited(seconds: float) -> None:
        raise AssertionError(f"a pause of {seconds} s, and twice as long after the next")

    store = PostgresEventStore(DemandResponse, database.app_dsn)
    try:
        with FastReconnectPool(database.app_dsn, min_size=4, max_size=4, timeout=30) as pool:
            pool.wait()
            assert store.find_reply("scope", "key") is None
            monkeypatch.setattr(psycopg_pool.pool, "sleep", waited)
            terminate_all(database)
            assert all(answers(pool) for _ in range(8))
            assert store.find_reply("scope", "key") is None
    finally:
        store.close()


def test_a_server_that_was_killed_and_came_back_is_used_again(
    database: Database, postgres_server: PostgresServer
) -> None:
    with FastReconnectPool(database.app_dsn, min_size=2, max_size=2, timeout=60) as pool:
        pool.wait()
        postgres_server.kill()
        postgres_server.start()
        assert all(answers(pool) for _ in range(4))


def test_the_event_store_reads_on_over_fresh_connections(database: Database) -> None:
    store = PostgresEventStore(DemandResponse, database.app_dsn)
    try:
        for _ in range(3):
            assert store.find_reply("scope", "key") is None
            assert store.load_many(object, []) == {}  # type: ignore[type-var]
            terminate_all(database)
    finally:
        store.close()


def test_a_connection_in_good_order_passes(database: Database) -> None:
    with psycopg.connect(database.app_dsn, autocommit=True) as connection:
        check_idle(connection)
        terminate_all(database)
        with pytest.raises(psycopg.OperationalError, match="while it was idle"):
            check_idle(connection)
        assert connection.closed
