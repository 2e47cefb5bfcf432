"""Column layouts, and the lock of a rebuild."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import msgspec
import psycopg
import pytest

from adapters.postgres.read_model.rebuild.rebuild import PostgresProjectionMaintenance
from application.ports.event_store.event_log import LogEntry
from projections.audit.trail import AuditTrailProjection
from projections.engine.cursors import InvalidCursor, cursor_after
from projections.engine.maintenance import RebuildUnderway
from projections.queries.views import ReadModelsUnavailable
from tests.integration.projections.conftest import WAIT_S, ReadSide, eventually
from tests.integration.projections.stored_log import StoppedClock, stored_rows
from tests.property.projections.projected_logs import PortfolioWalk

LOCKS = ("rebuild of audit_trail", "parts of the rebuild of audit_trail")


@pytest.fixture(scope="module")
def entries() -> list[LogEntry]:
    numbers, walk = random.Random(31), PortfolioWalk()
    walk.happy()
    for _ in range(60):
        walk.step(numbers.randrange(10_000_000))
    return walk.entries


@pytest.fixture
def filled(read_side: ReadSide, entries: list[LogEntry]) -> ReadSide:
    read_side.store(entries)
    read_side.catch_up(AuditTrailProjection())
    return read_side


@pytest.mark.parametrize("key", ["", "nonsense", "f" * 31, "F" * 32, "\0" * 32])
def test_a_text_that_cannot_be_a_step_key_matches_nothing(filled: ReadSide, key: str) -> None:
    assert filled.models.audit_trail.get(key) is None


@pytest.mark.parametrize("field", ["dr_event_id", "correlation_id"])
@pytest.mark.parametrize("value", ["", "nonsense", "\0"])
def test_a_filter_by_an_invalid_id_matches_nothing(filled: ReadSide, field: str, value: str) -> None:
    assert filled.models.audit_trail.listed(filters={field: value}).rows == ()


@pytest.mark.parametrize("field", sorted(AuditTrailProjection.filters))
def test_steps_are_filtered_by_each_filter_field(filled: ReadSide, field: str) -> None:
    whole = filled.models.audit_trail.listed(limit=1000).rows
    value = str(next(value for row in whole if (value := getattr(row, field)) is not None))
    found = filled.models.audit_trail.listed(filters={field: value}, limit=1000).rows
    assert found == tuple(row for row in whole if str(getattr(row, field)) == value)


@pytest.mark.parametrize("place", ["", "-1", "one", "1.5", "9" * 21, "\u0661"])
def test_a_cursor_without_a_valid_position_is_refused(filled: ReadSide, place: str) -> None:
    with pytest.raises(InvalidCursor):
        filled.models.audit_trail.listed(cursor=cursor_after("audit_trail", place, "f" * 32))


def test_runner_and_rebuild_store_text_that_postgresql_refuses_in_the_same_form(
    read_side: ReadSide, entries: list[LogEntry]
) -> None:
    strange = [
        LogEntry(entry.position, entry.topic, msgspec.structs.replace(entry.domain_event, actor="a\0b"))
        for entry in entries
    ]
    projection = AuditTrailProjection()
    read_side.store(strange)
    read_side.catch_up(projection)
    followed = stored_rows(read_side.database.admin_dsn, projection.name)
    assert read_side.differences(projection) == {}
    read_side.maintenance.rebuild(projection)
    assert stored_rows(read_side.database.admin_dsn, projection.name) == followed
    assert read_side.differences(projection) == {}


def test_rows_of_the_previous_release_are_unavailable_until_rebuilt_and_then_dropped(
    read_side: ReadSide, entries: list[LogEntry]
) -> None:
    """The rows of the previous release are in a separate table."""
    read_side.store(entries)
    with psycopg.connect(read_side.database.admin_dsn) as connection:
        connection.execute(
            "INSERT INTO gridproof.projection_positions (name, version, position, updated_at) "
            "VALUES ('audit_trail', 2, %s, now())",
            (entries[-1].position,),
        )
        connection.execute(
            "INSERT INTO gridproof.rm_audit_trail (generation, key, row, position) VALUES (1, 'old', '{}', 1)"
        )
    with pytest.raises(ReadModelsUnavailable, match="rebuilt"):
        read_side.models.audit_trail.listed()
    served: list[tuple[str, bool]] = []

    def look(stage: str) -> None:
        served.append((stage, bool(stored_rows_of_before(read_side))))

    PostgresProjectionMaintenance(read_side.database.app_dsn, StoppedClock(), reached=look).rebuild(
        AuditTrailProjection()
    )
    assert {stage: there for stage, there in served if stage in {"begun", "attached", "awaited"}} == {
        "begun": True,
        "attached": True,
        "awaited": True,
    }
    assert read_side.models.audit_trail.listed().rows
    assert read_side.differences(AuditTrailProjection()) == {}
    with psycopg.connect(read_side.database.admin_dsn) as connection:
        left = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^rm_audit_trail_g'"
        ).fetchall()
    assert left == []


def stored_rows_of_before(read_side: ReadSide) -> list[tuple[str]]:
    """The rows that a web process of the previous release reads while they are live."""
    with psycopg.connect(read_side.database.app_dsn) as connection:
        return connection.execute("SELECT key FROM gridproof.rm_audit_trail WHERE generation = 1").fetchall()


@pytest.mark.parametrize("lock", LOCKS)
def test_a_rebuild_waits_until_the_session_of_a_killed_one_has_ended(
    read_side: ReadSide, entries: list[LogEntry], lock: str
) -> None:
    read_side.store(entries)
    maintenance = PostgresProjectionMaintenance(
        read_side.database.app_dsn, StoppedClock(), lock_wait_s=WAIT_S
    )
    with psycopg.connect(read_side.database.app_dsn, autocommit=True) as dying:
        dying.execute("SELECT pg_advisory_lock_shared(hashtextextended(%s, 0))", (lock,))
        gone = threading.Timer(0.3, dying.close)
        gone.start()
        assert maintenance.rebuild(AuditTrailProjection()).position == entries[-1].position
        gone.join()


@pytest.mark.parametrize("lock", LOCKS)
def test_a_rebuild_beside_another_fails_after_its_wait(
    read_side: ReadSide, entries: list[LogEntry], lock: str
) -> None:
    read_side.store(entries)
    maintenance = PostgresProjectionMaintenance(read_side.database.app_dsn, StoppedClock(), lock_wait_s=0.1)
    with psycopg.connect(read_side.database.app_dsn, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock_shared(hashtextextended(%s, 0))", (lock,))
        with pytest.raises(RebuildUnderway):
            maintenance.rebuild(AuditTrailProjection())


def test_concurrent_processes_of_a_rebuild_all_find_the_key(read_side: ReadSide) -> None:
    """Both have looked for the key and wait until a third process has stored its rows."""
    with (
        psycopg.connect(read_side.database.admin_dsn) as storing,
        ThreadPoolExecutor(2) as pool,
    ):
        storing.execute("SELECT gridproof.create_generation('dispatches', 2)")
        storing.commit()
        storing.execute("LOCK TABLE gridproof.rm_dispatches_g2 IN ROW EXCLUSIVE MODE")
        keying = [pool.submit(_key_generation, read_side.database.app_dsn) for _ in range(2)]
        eventually(lambda: _waiting(read_side) == len(keying), "both wait for the table")
        storing.commit()
        for keyed in keying:
            keyed.result(WAIT_S)


def _key_generation(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT gridproof.key_generation('dispatches', 2)")


def _waiting(read_side: ReadSide) -> int:
    with psycopg.connect(read_side.database.admin_dsn) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'gridproof.rm_dispatches_g2'::regclass"
        ).fetchone()
        return 0 if row is None else int(row[0])
