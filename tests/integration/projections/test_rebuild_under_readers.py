"""Readers and killed processes during rebuilds: readers see only complete states, and a killed rebuild leaves
nothing behind."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from typing import Any
from uuid import UUID

import psycopg
import pytest

from application.ports.event_store.event_log import LogEntry
from domain.dispatch import Dispatch
from domain.event_sourcing.aggregate import DomainEvent
from domain.identifiers import facility_stream_id
from projections.audit.trail import AuditTrailProjection
from projections.engine.division import Shard
from projections.engine.maintenance import ProjectionsUnavailable
from projections.engine.memory_rows import MemoryRows
from projections.engine.projection import AnyProjection
from projections.engine.rebuild_rows import FoldedRows
from projections.engine.stored_row import stored_form
from projections.registry import PROJECTIONS
from tests.integration.projections.conftest import WAIT_S, ReadSide, eventually, running
from tests.integration.projections.stored_log import stem_of, stored_rows
from tests.patience import END_S
from tests.property.projections.projected_logs import PortfolioWalk
from tests.servers import PostgresServer

WHOLE_STATE = """
SELECT count(*), coalesce(md5(string_agg((to_jsonb(stored) - 'generation')::text, '' ORDER BY key)), '')
FROM gridproof.rm_{stem} AS stored
WHERE generation = (SELECT generation FROM gridproof.projection_positions WHERE name = '{name}')
"""


@pytest.fixture(scope="module")
def entries() -> list[LogEntry]:
    numbers, walk = random.Random(23), PortfolioWalk()
    walk.happy()
    for _ in range(250):
        walk.step(numbers.randrange(10_000_000))
    ahead = walk.open_dr_event()
    walk.accept(ahead)
    walk.schedule(ahead)  # so that each read model has a row
    return walk.entries


def _generations(read_side: ReadSide, name: str) -> list[str]:
    with psycopg.connect(read_side.database.admin_dsn) as connection:
        found = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ %s ORDER BY 1",
            (f"^rm_{stem_of(name)}_g",),
        )
        return [row[0] for row in found]


def test_readers_see_only_complete_states_during_20_rebuilds(
    read_side: ReadSide, entries: list[LogEntry]
) -> None:
    projection = AuditTrailProjection()
    read_side.store(entries)
    read_side.catch_up(projection)
    state = WHOLE_STATE.format(name=projection.name, stem=stem_of(projection.name)).encode()
    seen: set[tuple[Any, ...]] = set()
    failures: list[psycopg.Error] = []
    done = threading.Event()

    def read() -> None:
        with psycopg.connect(read_side.database.app_dsn, autocommit=True) as connection:
            while not done.is_set():
                try:
                    seen.update(connection.execute(state))
                except psycopg.Error as error:
                    failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(20):
            read_side.maintenance.rebuild(projection)
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert failures == []
    assert len(seen) == 1
    assert seen.pop()[0] > 100
    read_side.maintenance.rebuild(projection)
    assert len(_generations(read_side, projection.name)) == 1


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda item: item.name)
def test_a_fold_divided_among_processes_gives_the_same_rows_as_one_process(
    read_side: ReadSide, entries: list[LogEntry], projection: AnyProjection
) -> None:
    read_side.store(entries)
    alone = read_side.maintenance.rebuild(projection)
    rows = stored_rows(read_side.database.admin_dsn, projection.name)
    divided = read_side.maintenance.rebuild(projection, workers=3)
    assert (divided.position, divided.rows) == (entries[-1].position, alone.rows)
    assert stored_rows(read_side.database.admin_dsn, projection.name) == rows
    assert len(rows) == divided.rows > 0
    assert read_side.differences(projection) == {}


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda item: item.name)
def test_the_declared_topics_and_streams_of_each_projection_are_correct(
    projection: Any, entries: list[LogEntry]
) -> None:
    """Ignored topics change nothing, and the parts of a divided fold give the rows of the whole."""
    whole: MemoryRows[Any] = MemoryRows(projection)
    whole.fold(entries)
    concerned = [entry for entry in entries if isinstance(entry.domain_event, projection.concerns)]
    narrowed: MemoryRows[Any] = MemoryRows(projection)
    narrowed.fold(concerned)
    assert narrowed.by_key == whole.by_key
    for count in (2, 3, 20):
        assert _folded_apart(projection, entries, count) == whole.by_key


def _folded_apart(projection: AnyProjection, entries: list[LogEntry], count: int) -> dict[str, Any]:
    """The rows of `count` parts, each folded by itself."""
    apart: dict[str, Any] = {}
    shares = []
    for part in projection.divided(count):
        alone: FoldedRows[Any] = FoldedRows(part.projection)
        alone.fold(
            entry
            for entry in entries
            if _owner(entry.domain_event, part.shard).int % part.shard.of == part.shard.number
        )
        rows = dict(alone.by_key) | {
            part.projection.key(row): (row, position) for row, position in alone.take_added()
        }
        if part.share is not None and part.share in rows:
            shares.append(rows.pop(part.share))
        assert not apart.keys() & rows.keys()
        apart |= {key: row for key, (row, _) in rows.items()}
    joined = projection.joined(shares)
    return apart if joined is None else apart | {projection.key(joined[0]): joined[0]}


def _owner(domain_event: DomainEvent, shard: Shard) -> UUID:
    if shard.by == "facility" and isinstance(domain_event, Dispatch.Event):
        return facility_stream_id(domain_event.facility_id)
    return domain_event.originator_id


REBUILD_PROCESS = textwrap.dedent("""
    import sys, time
    sys.path[:0] = sys.argv[2].split(":")
    from datetime import UTC, datetime
    from adapters.postgres.read_model.rebuild.rebuild import PostgresProjectionMaintenance
    from projections.audit.trail import AuditTrailProjection

    class Clock:
        def now(self): return datetime(2026, 7, 14, tzinfo=UTC)
        def wall_seconds(self, clock_seconds): return clock_seconds

    if __name__ == "__main__":
        maintenance = PostgresProjectionMaintenance(sys.argv[1], Clock())
        print("started", flush=True)
        while True:
            maintenance.rebuild(AuditTrailProjection(), workers=int(sys.argv[3]))
""")


def _rebuilding(read_side: ReadSide, workers: int = 1) -> list[str]:
    dsn, path = read_side.database.app_dsn, ":".join(sys.path)
    return [sys.executable, "-c", REBUILD_PROCESS, dsn, path, str(workers)]


def _kill_rebuilds(
    read_side: ReadSide, entries: list[LogEntry], *, kills: int, seed: int, workers: int = 1
) -> None:
    projection = AuditTrailProjection()
    third = len(entries) // 3
    read_side.store(entries[:third])
    numbers = random.Random(seed)
    expected: MemoryRows[Any] = MemoryRows(projection)
    expected.fold(entries)
    with running(read_side.projector(projection)):
        for kill in range(kills):
            with subprocess.Popen(_rebuilding(read_side, workers), stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                process.stdout.readline()
                if kill == 0:
                    read_side.store(entries[third:])
                time.sleep(numbers.uniform(0.0, 0.25 if workers == 1 else 1.5))
                process.send_signal(signal.SIGKILL)
            assert read_side.differences(projection) == {}, f"after kill {kill + 1}"
        eventually(lambda: read_side.position(projection.name).lag == 0, "the head reached")
    _rebuild_at_last(read_side, projection)
    with psycopg.connect(read_side.database.admin_dsn) as connection:
        stored = connection.execute("SELECT key FROM gridproof.rm_audit_steps").fetchall()
    assert sorted(row[0].hex for row in stored) == sorted(expected.by_key)
    assert read_side.differences(projection) == {}
    assert all(stored_form(row) for row in expected.by_key.values())
    assert len(_generations(read_side, projection.name)) == 1


def _rebuild_at_last(read_side: ReadSide, projection: AnyProjection) -> None:
    """Processes whose parent was killed may still run: the rebuild reports this, and is started again."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            read_side.maintenance.rebuild(projection)
        except ProjectionsUnavailable:
            assert time.monotonic() < deadline
        else:
            return


def test_a_killed_rebuild_leaves_the_live_rows_unchanged(
    read_side: ReadSide, entries: list[LogEntry]
) -> None:
    _kill_rebuilds(read_side, entries, kills=4, seed=1)


@pytest.mark.chaos
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_a_repeatedly_killed_rebuild_leaves_the_live_rows_unchanged(
    read_side: ReadSide, entries: list[LogEntry], seed: int, workers: int
) -> None:
    """The parent of two processes is killed. The processes detect this themselves."""
    _kill_rebuilds(read_side, entries, kills=20, seed=seed, workers=workers)


def test_a_server_killed_during_rebuilds_loses_and_repeats_nothing(
    read_side: ReadSide, entries: list[LogEntry], postgres_server: PostgresServer
) -> None:
    projection = AuditTrailProjection()
    read_side.store(entries)
    read_side.catch_up(projection)
    with subprocess.Popen(
        _rebuilding(read_side), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.1)
        postgres_server.kill()
        process.wait(END_S)
        postgres_server.start()
    assert process.returncode != 0
    assert read_side.differences(projection) == {}
    read_side.maintenance.rebuild(projection)
    assert read_side.differences(projection) == {}
