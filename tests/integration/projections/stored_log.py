"""A log that is created in memory and copied into PostgreSQL in the format of the event store."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.read_model.row_table import layout_of
from application.event_store.demand_response import DemandResponse
from application.event_store.event_mapper import encode_state
from application.ports.event_store.event_log import LogEntry
from projections.registry import projection_named
from tests.sample_values import trusted_snapshots

NOW = datetime(2026, 7, 14, 23, 0, tzinfo=UTC)

_INSERT = """
INSERT INTO gridproof.demand_response_events
    (originator_id, originator_version, topic, state, notification_id)
OVERRIDING SYSTEM VALUE VALUES (%s, %s, %s, %s, %s)
"""


class StoppedClock:
    """A clock that always returns the same time. Durations are real."""

    def now(self) -> datetime:
        return NOW

    def wall_seconds(self, clock_seconds: float) -> float:
        return clock_seconds


def store_entries(admin_dsn: str, entries: Iterable[LogEntry]) -> None:
    """Store entries with their positions, including gaps, and announce them. Only the superuser can set
    positions."""
    rows = [
        (
            entry.domain_event.originator_id,
            entry.domain_event.originator_version,
            entry.topic,
            encode_state(entry.domain_event),
            entry.position,
        )
        for entry in entries
    ]
    with psycopg.connect(admin_dsn) as connection:
        connection.cursor().executemany(_INSERT, rows)
        connection.execute("NOTIFY demand_response_events")


def event_log(app_dsn: str) -> PostgresEventStore:
    return PostgresEventStore(DemandResponse, app_dsn, snapshots=trusted_snapshots())


def pool(app_dsn: str) -> ConnectionPool[psycopg.Connection[tuple[Any, ...]]]:
    return ConnectionPool(app_dsn, min_size=1, max_size=4, open=True, timeout=10)


def stem_of(name: str) -> str:
    """The stem of a read model's table, `rm_<stem>`."""
    return layout_of(projection_named(name)).stem


def stored_rows(admin_dsn: str, name: str) -> list[tuple[Any, ...]]:
    """Every row of a read model, of any generation, with all columns except the generation."""
    with psycopg.connect(admin_dsn) as connection:
        return connection.execute(
            f"SELECT to_jsonb(stored) - 'generation' FROM gridproof.rm_{stem_of(name)} AS stored ORDER BY key"
        ).fetchall()
