"""Pooled connections that died while they were idle are replaced, for every cause."""

import time
from typing import Any

import psycopg
import psycopg_pool.pool
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.connection.pool import PostgresPool, check_idle
from adapters.postgres.event_store.event_store import PostgresEventStore
from application.event_store.demand_response import DemandResponse
from tests.servers import Database, PostgresServer

OTHERS = "FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"


def terminate_all(database: Database) -> None:
    """Terminate every session until all have ended, also one that a pool was just opening."""
    with psycopg.connect(database.admin_dsn, autocommit=True) as connection:
        while connection.execute(
            f"SELECT pg_terminate_backend(pid) {OTHERS}".encode(), (database.name,)
        ).fetchone():
            time.sleep(0.01)


def answers(pool: ConnectionPool[Any]) -> bool:
    with pool.connection() as connection:
        return bool(connection.execute("SELECT 1").fetchone() == (1,))


def test_connections_terminated_by_the_server_are_not_handed_out(database: Database) -> None:
    with PostgresPool(database.app_dsn, min_size=3, max_size=3, timeout=30) as pool:
        pool.wait()
        for _ in range(3):
            terminate_all(database)
            assert all(answers(pool) for _ in range(6))


def test_many_dead_connections_are_replaced_without_a_pause(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waited(seconds: float) -> None:
        raise AssertionError(f"the pool paused for {seconds} s")

    store = PostgresEventStore(DemandResponse, database.app_dsn)
    try:
        with PostgresPool(database.app_dsn, min_size=4, max_size=4, timeout=30) as pool:
            pool.wait()
            assert store.find_reply("scope", "key") is None
            monkeypatch.setattr(psycopg_pool.pool, "sleep", waited)
            terminate_all(database)
            assert all(answers(pool) for _ in range(8))
            assert store.find_reply("scope", "key") is None
    finally:
        store.close()


def test_a_killed_server_is_used_again_after_its_restart(
    database: Database, postgres_server: PostgresServer
) -> None:
    with PostgresPool(database.app_dsn, min_size=2, max_size=2, timeout=60) as pool:
        pool.wait()
        postgres_server.kill()
        postgres_server.start()
        assert all(answers(pool) for _ in range(4))


def test_the_event_store_continues_reading_over_new_connections(database: Database) -> None:
    store = PostgresEventStore(DemandResponse, database.app_dsn)
    try:
        for _ in range(3):
            assert store.find_reply("scope", "key") is None
            assert store.load_many(object, []) == {}  # type: ignore[type-var]
            terminate_all(database)
    finally:
        store.close()


def test_the_idle_check_passes_a_live_connection_and_closes_a_dead_one(database: Database) -> None:
    with psycopg.connect(database.app_dsn, autocommit=True) as connection:
        check_idle(connection)
        terminate_all(database)
        with pytest.raises(psycopg.OperationalError, match="while it was idle"):
            check_idle(connection)
        assert connection.closed
