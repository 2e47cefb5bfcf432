"""Aggregates are loaded by index lookups, even if the statement was planned on a small table."""

import time
from collections.abc import Sequence
from uuid import UUID, uuid4

import psycopg

from adapters.postgres.event_store.loaders import StreamLoader
from tests.integration.event_store.stored_events import TABLE
from tests.servers import Database

PLANNED_FOR_GOOD_AFTER = 6
"""After this many runs PostgreSQL may use a generic plan for a prepared statement."""


def test_loading_an_aggregate_never_scans_the_whole_log(database: Database) -> None:
    loader = StreamLoader(database.app_dsn, events_table=TABLE)
    try:
        for _ in range(PLANNED_FOR_GOOD_AFTER):
            loader.load([uuid4() for _ in range(50)])
        fill(database, [uuid4() for _ in range(5_000)])
        before = scanned(database)
        for _ in range(PLANNED_FOR_GOOD_AFTER):
            loader.load([uuid4() for _ in range(50)])
    finally:
        loader.close()
    assert scanned(database) == before


def fill(database: Database, stream_ids: Sequence[UUID]) -> None:
    with psycopg.connect(database.app_dsn) as connection:
        connection.execute(
            f"INSERT INTO gridproof.{TABLE} (originator_id, originator_version, topic, state)"
            " SELECT id, 1, 'facility.registered.v1', '' FROM unnest(%s::uuid[]) AS id",
            (list(stream_ids),),
        )


def scanned(database: Database) -> int:
    """Rows of the log that were read by sequential scans so far, once every ended session has reported its
    statistics."""
    time.sleep(1.1)  # sessions report their statistics once a second
    with psycopg.connect(database.owner_dsn, autocommit=True) as connection:
        row = connection.execute(
            "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = %s", (TABLE,)
        ).fetchone()
    assert row is not None
    return int(row[0])
