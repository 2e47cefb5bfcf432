"""A telemetry transaction begins together with its time-outs, and returns its connection unchanged."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from psycopg_pool import ConnectionPool

from adapters.postgres.telemetry.transaction import telemetry_transaction
from application.ports.telemetry.store import ReadingsRefused, TelemetryStoreUnavailable
from tests.servers import Database

NOTE = (
    "INSERT INTO unsettled_quarters (partition, facility_id, starts_at) VALUES (0, %s, '2026-07-14T10:00Z')"
)


@pytest.fixture
def pool(database: Database) -> Iterator[ConnectionPool[Any]]:
    """A pool of one connection, so that the next user gets the same connection."""
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=1) as pool:
        yield pool


def noted(pool: ConnectionPool[Any]) -> list[str]:
    with pool.connection() as conn:
        assert not conn.autocommit
        assert conn.execute("SHOW statement_timeout").fetchone() == ("0",)
        return [row[0] for row in conn.execute("SELECT facility_id FROM unsettled_quarters")]


def test_a_block_is_one_bounded_transaction(pool: ConnectionPool[Any]) -> None:
    with telemetry_transaction(pool, partitions=[3], waits="5s") as conn:
        assert conn.info.transaction_status == TransactionStatus.INTRANS
        assert conn.execute("SHOW statement_timeout").fetchone() == ("1min",)
        assert conn.execute("SHOW lock_timeout").fetchone() == ("5s",)
        held = conn.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        )
        assert held.fetchone() == (1,)
        conn.execute(NOTE, ("fac-1",))
    assert noted(pool) == ["fac-1"]


def test_a_block_that_fails_is_rolled_back(pool: ConnectionPool[Any]) -> None:
    def noting(then: Exception | str) -> None:
        with telemetry_transaction(pool) as conn:
            conn.execute(NOTE, ("fac-1",))
            if isinstance(then, Exception):
                raise then
            conn.execute(then.encode())

    with pytest.raises(KeyError):
        noting(KeyError("of the caller's own"))
    assert noted(pool) == []
    with pytest.raises(ReadingsRefused):
        noting("SELECT 1 / 0")
    assert noted(pool) == []
    with pytest.raises(TelemetryStoreUnavailable):
        noting("SELECT pg_terminate_backend(pg_backend_pid())")
    assert noted(pool) == []


def test_a_transaction_that_cannot_be_committed_raises_and_is_rolled_back(
    database: Database, pool: ConnectionPool[Any]
) -> None:
    def lost_before_its_end() -> None:
        with telemetry_transaction(pool) as conn, psycopg.connect(database.app_dsn, autocommit=True) as other:
            conn.execute(NOTE, ("fac-1",))
            other.execute("SELECT pg_terminate_backend(%s)", (conn.info.backend_pid,))

    with pytest.raises(TelemetryStoreUnavailable):
        lost_before_its_end()
    assert noted(pool) == []


def test_a_pool_that_only_reads_writes_nothing(database: Database) -> None:
    def only_reads(connection: psycopg.Connection[Any]) -> None:
        connection.read_only = True

    with (
        ConnectionPool[Any](database.app_dsn, min_size=1, max_size=1, configure=only_reads) as pool,
        pytest.raises(TelemetryStoreUnavailable, match="read-only"),
        telemetry_transaction(pool) as conn,
    ):
        conn.execute(NOTE, ("fac-1",))
