"""What the system uses: processor time, memory, sessions, and what it has stored, at a moment."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from interfaces.bootstrap.connection_budget import kind_of
from tests.bench.capacity.telemetry_log import log_size
from tests.patience import END_S

if TYPE_CHECKING:
    from tests.bench.capacity.setup import CapacitySetup

SAMPLE_EVERY_S = 5.0
_SESSIONS = """
SELECT application_name, count(*) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND application_name NOT IN ('capacity run', 'gridproof doctor')
GROUP BY application_name
"""
_TABLES = """
SELECT relname, pg_total_relation_size(oid) FROM pg_class
WHERE relnamespace = 'gridproof'::regnamespace AND relkind IN ('r', 'm') AND NOT relispartition
UNION ALL
SELECT root.relname, sum(pg_total_relation_size(part.relid))
FROM pg_class AS root, pg_partition_tree(root.oid) AS part
WHERE root.relnamespace = 'gridproof'::regnamespace AND root.relkind = 'p' AND NOT root.relispartition AND part.isleaf
GROUP BY root.relname
"""
_COUNTS = """
SELECT (SELECT count(*) FROM gridproof.demand_response_events),
    (SELECT count(*) FROM gridproof.forecasts_events),
    (SELECT coalesce(sum(cardinality(ts)), 0) FROM gridproof.stored_chunks),
    pg_current_wal_lsn() - '0/0'::pg_lsn, pg_database_size(current_database())
"""
GROUPS = (
    ("readings", r"reading_chunks|recent_readings|readings"),
    ("rollups", r"rollups|meter_days|unsettled_quarters|interval_readings|current_values|temperatures"),
    ("forecasts", r"forecast"),
    ("ledger", r"ledger"),
    ("log", r"demand_response|idempotency_keys|recorded_times"),
    ("read models", r"rm_"),
)


@dataclass(frozen=True)
class Usage:
    """At one moment."""

    at_s: float
    """Monotonic."""
    cpu_s: dict[str, float]
    """Process or server -> processor time so far."""
    table_bytes: dict[str, int]
    """Group of tables -> bytes with indexes."""
    domain_events: int
    forecast_records: int
    readings: int
    wal_bytes: int
    archived_wal_bytes: int
    """Compressed, in the folder of the backups."""
    database_bytes: int
    stream_bytes: int
    """Of the telemetry log."""
    stream_messages: int


def usage_of(setup: CapacitySetup, connection: psycopg.Connection[tuple[object, ...]]) -> Usage:
    tables: Counter[str] = Counter()
    cpu_s = setup.cpu_s()
    for name, size in connection.execute(_TABLES).fetchall():
        tables[_group(str(name))] += int(str(size))
    [row] = connection.execute(_COUNTS).fetchall()
    domain_events, records, readings, wal, database = (int(str(value)) for value in row)
    messages, stored = log_size(str(setup.system.settings.nats_url))
    return Usage(
        at_s=time.monotonic(),
        cpu_s=cpu_s,
        table_bytes=dict(tables),
        domain_events=domain_events,
        forecast_records=records,
        readings=readings,
        wal_bytes=wal,
        archived_wal_bytes=size_of(setup.backup_dir / "wal"),
        database_bytes=database,
        stream_bytes=stored,
        stream_messages=messages,
    )


@dataclass
class Peaks:
    """The largest values of all samples."""

    sessions: dict[str, int] = field(default_factory=dict)
    """Kind -> sessions, of the sample with the most."""
    held_mb: dict[str, float] = field(default_factory=dict)
    """Process or server -> memory, MiB."""

    @property
    def total_sessions(self) -> int:
        return sum(self.sessions.values())

    def note(self, sessions: dict[str, int], held_mb: dict[str, float]) -> None:
        if sum(sessions.values()) > self.total_sessions:
            self.sessions = sessions
        for name, mb in held_mb.items():
            self.held_mb[name] = max(mb, self.held_mb.get(name, 0.0))


@contextmanager
def sampling(setup: CapacitySetup) -> Iterator[Peaks]:
    """Sample during the block."""
    peaks, stop = Peaks(), threading.Event()

    def sample() -> None:
        with opened(setup) as connection:
            while not stop.wait(SAMPLE_EVERY_S):
                peaks.note(_sessions(connection), setup.held_mb())

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        stop.set()
        thread.join(END_S)


@contextmanager
def opened(setup: CapacitySetup) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """The superuser's connection to the application's database; its sessions are not counted."""
    with psycopg.connect(
        setup.system.admin_url, dbname="gridproof", application_name="capacity run", autocommit=True
    ) as connection:
        yield connection


def _sessions(connection: psycopg.Connection[tuple[object, ...]]) -> dict[str, int]:
    kinds: Counter[str] = Counter()
    for name, count in connection.execute(_SESSIONS).fetchall():
        kinds[kind_of(str(name)) or str(name)] += int(str(count))
    return dict(kinds)


def _group(table: str) -> str:
    return next((group for group, pattern in GROUPS if re.match(pattern, table)), "others")


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
