"""After a restore no position is used twice, and the index of times does not end before those that are left out."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.audit.stream_log import PostgresStreamLog
from adapters.postgres.ledger.store import PostgresLedgerStore
from adapters.postgres.ledger.stream_map_tables import TABLES
from application.ports.ledger.store import LedgerUnavailable
from domain.ledger.entries import DEMAND_RESPONSE, LOGS
from tests.servers import Database

AT = "2026-07-14T21:00:00Z"


def append(owner: psycopg.Connection[Any], log: str) -> int:
    row = owner.execute(
        f"INSERT INTO gridproof.{TABLES[log]} (originator_id, originator_version, topic, state)"
        " VALUES (%s, 1, 'made-up.v1', %s) RETURNING notification_id".encode(),
        (uuid4(), f'{{"recorded_at":"{AT}"}}'.encode()),
    ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("log", LOGS)
def test_positions_go_on_above_those_that_are_left_out(database: Database, log: str) -> None:
    with psycopg.connect(database.owner_dsn, autocommit=True) as owner:
        store = PostgresLedgerStore(lambda: nullcontext(owner))
        first = append(owner, log)
        store.skip_positions(log, first + 500)
        assert append(owner, log) == first + 501
        store.skip_positions(log, first + 400)
        assert append(owner, log) == first + 502


def test_the_index_of_times_covers_what_is_left_out(database: Database) -> None:
    with (
        psycopg.connect(database.owner_dsn, autocommit=True) as owner,
        ConnectionPool[Any](database.app_dsn, min_size=1, max_size=1) as pool,
    ):
        store = PostgresLedgerStore(lambda: nullcontext(owner))
        before = append(owner, DEMAND_RESPONSE)
        store.skip_positions(DEMAND_RESPONSE, before + 1_000_000)
        assert append(owner, DEMAND_RESPONSE) == before + 1_000_001
        later = datetime(2026, 7, 14, 22, tzinfo=UTC)
        assert PostgresStreamLog(pool).prefix_end(later) == before + 1_000_001


def test_only_the_owner_may_leave_positions_out(database: Database) -> None:
    with (
        ConnectionPool[Any](database.app_dsn, min_size=1, max_size=1) as pool,
        pytest.raises((LedgerUnavailable, psycopg.errors.InsufficientPrivilege)),
    ):
        PostgresLedgerStore(pool.connection).skip_positions(DEMAND_RESPONSE, 500)
