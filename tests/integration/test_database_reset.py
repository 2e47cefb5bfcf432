"""Data that a test leaves in its database is not visible to the next test with that database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest

from tests import servers
from tests.servers import Database, PostgresServer

EVENTS = "gridproof.demand_response_events"
RECORD = f"INSERT INTO {EVENTS} VALUES (gen_random_uuid(), 1, 'made-up', 'x') RETURNING notification_id"
SEEDS = "SELECT array_agg(h::text ORDER BY h::text) FROM gridproof.ledger_heads h"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with servers.postgres_server() as own:
        yield own


def oid(database: Database) -> object:
    return query_value(database, "SELECT oid FROM pg_database WHERE datname = current_database()")


def query_value(database: Database, query: str) -> object:
    with psycopg.connect(database.admin_dsn) as connection:
        row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]


def execute(database: Database, *statements: str) -> None:
    with psycopg.connect(database.admin_dsn) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def test_rows_partitions_and_sequences_of_one_test_are_reset_for_the_next(server: PostgresServer) -> None:
    with servers.fresh_database(server) as first:
        place, seeds = oid(first), query_value(first, SEEDS)
        assert query_value(first, RECORD) == 1
        assert query_value(first, RECORD) == 2
        execute(
            first,
            "SELECT gridproof.prepare_readings_day('2001-01-01')",
            "UPDATE gridproof.ledger_heads SET size = 7",
        )
    with servers.fresh_database(server) as second:
        assert oid(second) == place
        assert second.name != first.name
        assert query_value(second, f"SELECT count(*) FROM {EVENTS}") == 0
        assert query_value(second, RECORD) == 1
        assert query_value(second, SEEDS) == seeds
        assert query_value(second, "SELECT count(*) FROM pg_class WHERE relname LIKE '%2001%'") == 0


@pytest.mark.parametrize(
    "alteration",
    [
        f"DROP INDEX {EVENTS}_notification_id_idx",
        f"ALTER TABLE {EVENTS} ALTER notification_id DROP IDENTITY",
        f"ALTER TABLE {EVENTS} ADD COLUMN more text",
        f"GRANT UPDATE ON {EVENTS} TO gridproof_app",
        "REVOKE EXECUTE ON FUNCTION pg_try_advisory_lock(int, int) FROM PUBLIC",
        "CREATE FUNCTION gridproof.more() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "DROP TABLE gridproof.alerts CASCADE",
        "CREATE SCHEMA more",
        (
            "DO $$ BEGIN EXECUTE 'CREATE OR REPLACE VIEW gridproof.meter_readings AS '"
            " || rtrim(pg_get_viewdef('gridproof.meter_readings'::regclass), ';') || ' LIMIT 1'; END $$"
        ),
        "ALTER DEFAULT PRIVILEGES IN SCHEMA gridproof GRANT UPDATE ON TABLES TO gridproof_app",
    ],
)
def test_a_permanently_altered_database_is_not_reused(server: PostgresServer, alteration: str) -> None:
    with servers.fresh_database(server) as altered:
        place = oid(altered)
        execute(altered, alteration)
    with servers.fresh_database(server) as other:
        assert oid(other) != place


def test_remaining_sessions_are_terminated(server: PostgresServer) -> None:
    with ExitStack() as left_open:
        with servers.fresh_database(server) as first:
            connection = left_open.enter_context(psycopg.connect(first.app_dsn))
            connection.execute(RECORD.encode())
        with servers.fresh_database(server) as second:
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
            with pytest.raises(psycopg.OperationalError, match="does not exist"):
                psycopg.connect(first.app_dsn)
            assert query_value(second, f"SELECT count(*) FROM {EVENTS}") == 0
