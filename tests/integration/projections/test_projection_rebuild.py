"""Rebuilds beside the live rows, and verifications that report any difference."""

from __future__ import annotations

import random
import threading

import psycopg
import pytest

from adapters.postgres.read_model.rebuild.rebuild import PostgresProjectionMaintenance
from application.ports.event_store.event_log import LogEntry
from domain.event_sourcing.aggregate import DomainEvent
from projections.audit.trail import AuditTrailProjection
from projections.dr_event.projection import DREventRow, DREventsProjection
from projections.engine.maintenance import ProjectionsUnavailable, RebuildUnderway
from projections.engine.memory_rows import FoldFailed
from projections.engine.projection import Rows
from projections.registry import PROJECTIONS
from tests.integration.projections.conftest import WAIT_S, ReadSide, eventually, running
from tests.integration.projections.stored_log import StoppedClock, stored_rows
from tests.integration.projections.test_projection_follower import PoisonedDREvents
from tests.property.projections.projected_logs import UTILITY, PortfolioWalk


@pytest.fixture(scope="module")
def entries() -> list[LogEntry]:
    """A complete DR event with random other events, and one that is still open."""
    numbers, walk = random.Random(11), PortfolioWalk()
    walk.happy()
    for _ in range(250):
        walk.step(numbers.randrange(10_000_000))
    walk.dr_events.clear()
    walk.accept(walk.open_dr_event("UTIL-open"))
    return walk.entries


def _stored(read_side: ReadSide, name: str) -> list[tuple[object, ...]]:
    """Every stored row of the live generation and of any remaining generation."""
    return stored_rows(read_side.database.admin_dsn, name)


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda item: item.name)
def test_a_read_model_rebuilt_from_zero_equals_the_live_one(
    read_side: ReadSide, entries: list[LogEntry], projection: object
) -> None:
    chosen = next(item for item in PROJECTIONS if item is projection)
    read_side.store(entries)
    read_side.catch_up(chosen)
    live = _stored(read_side, chosen.name)
    report = read_side.maintenance.rebuild(chosen)
    concerned = sum(isinstance(entry.domain_event, chosen.concerns) for entry in entries)
    assert (report.position, report.domain_events) == (entries[-1].position, concerned)
    assert _stored(read_side, chosen.name) == live
    assert live
    assert read_side.differences(chosen) == {}


def test_a_rebuild_under_load_never_goes_back_and_loses_nothing(
    read_side: ReadSide, entries: list[LogEntry]
) -> None:
    projection = AuditTrailProjection()
    read_side.store(entries[:50])
    positions: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            positions.append(read_side.position(projection.name).position)

    watcher = threading.Thread(target=watch)
    with running(read_side.projector(projection)):
        eventually(lambda: read_side.position(projection.name).lag == 0, "the head reached")
        watcher.start()
        for start in range(50, len(entries), 50):
            read_side.store(entries[start : start + 50])
            read_side.maintenance.rebuild(projection)
        eventually(lambda: read_side.position(projection.name).lag == 0, "the head reached")
        done.set()
        watcher.join()
    assert positions == sorted(positions)
    assert read_side.differences(projection) == {}


def test_a_changed_projection_is_rebuilt_by_its_runner(read_side: ReadSide, entries: list[LogEntry]) -> None:
    class Next(DREventsProjection):
        version = DREventsProjection.version + 1

        def sort_key(self, row: DREventRow) -> str:
            return row.utility_event_id

    read_side.store(entries)
    read_side.catch_up(DREventsProjection())
    before = [row.opened_at for row in read_side.models.dr_events.listed().rows]
    read_side.catch_up(Next())
    after = [row.utility_event_id for row in read_side.models.dr_events.listed().rows]
    assert before == sorted(before, reverse=True)
    assert after == sorted(after, reverse=True)
    assert len(after) == len(before) > 1
    assert read_side.position("dr_events").version == Next.version
    assert read_side.differences(Next()) == {}


def test_the_old_rows_are_served_until_the_rows_of_a_new_version_are_complete(
    read_side: ReadSide, entries: list[LogEntry]
) -> None:
    """In a deployment the runner of the new release builds its rows while the old ones are read."""
    began, may_go_on = threading.Event(), threading.Event()

    class Next(DREventsProjection):
        version = DREventsProjection.version + 1

        def tenant(self, row: DREventRow) -> str | None:
            return None

        def fold(self, position: int, domain_event: DomainEvent, rows: Rows[DREventRow]) -> None:
            began.set()
            assert may_go_on.wait(WAIT_S)
            super().fold(position, domain_event, rows)

    read_side.store(entries)
    read_side.catch_up(DREventsProjection())
    before = read_side.models.dr_events.listed(tenant=UTILITY)
    with running(read_side.projector(Next())):
        assert began.wait(WAIT_S)
        assert read_side.models.dr_events.listed(tenant=UTILITY) == before
        assert read_side.position("dr_events").version == DREventsProjection.version
        may_go_on.set()
        eventually(lambda: read_side.position("dr_events").version == Next.version, "the new rows swapped in")
    assert before.rows
    assert read_side.models.dr_events.listed(tenant=UTILITY).rows == ()
    assert read_side.differences(Next()) == {}


def test_a_failed_rebuild_leaves_the_live_rows_unchanged(
    read_side: ReadSide, entries: list[LogEntry]
) -> None:
    read_side.store(entries)
    read_side.catch_up(DREventsProjection())
    live = read_side.models.dr_events.listed().rows
    poison = next(entry for entry in entries if entry.topic == "dr-event.accepted.v1")
    with pytest.raises(FoldFailed) as failure:
        read_side.maintenance.rebuild(PoisonedDREvents(poison.position))
    assert failure.value.position == poison.position
    assert read_side.models.dr_events.listed().rows == live
    read_side.maintenance.rebuild(DREventsProjection())  # remaining rows are ignored
    assert read_side.differences(DREventsProjection()) == {}


def _add_unreadable(read_side: ReadSide, entries: list[LogEntry], topic: str, state: bytes) -> int:
    """Add an unreadable entry after `entries`; returns its position."""
    position = entries[-1].position + 1
    with psycopg.connect(read_side.database.admin_dsn) as connection:
        connection.execute(
            "INSERT INTO gridproof.demand_response_events (originator_id, originator_version, topic, state, "
            "notification_id) OVERRIDING SYSTEM VALUE VALUES (gen_random_uuid(), 1, %s, %s, %s)",
            (topic, state, position),
        )
    return position


@pytest.mark.parametrize("workers", [1, 2])
def test_a_rebuild_and_a_verification_report_an_unreadable_domain_event(
    read_side: ReadSide, entries: list[LogEntry], workers: int
) -> None:
    """The error is the same as that of a fold, also if another process raised it."""
    read_side.store(entries)
    read_side.catch_up(DREventsProjection())
    unreadable = _add_unreadable(read_side, entries, "of.tomorrow.v1", b"{}")
    with pytest.raises(FoldFailed, match=r"of\.tomorrow\.v1") as failure:
        read_side.maintenance.rebuild(DREventsProjection(), workers=workers)
    assert failure.value.position == unreadable
    assert read_side.differences(DREventsProjection()) == {}  # up to the position of the live rows


def test_a_failed_rebuild_reports_its_error_if_its_rows_cannot_be_dropped_yet(
    read_side: ReadSide, entries: list[LogEntry]
) -> None:
    """The rows are never completed: a release that can read the entry may fold the earlier ones differently."""
    read_side.store(entries)
    read_side.catch_up(DREventsProjection())
    with psycopg.connect(read_side.database.admin_dsn) as reader:

        def reached(stage: str) -> None:
            if stage == "awaited":
                _add_unreadable(read_side, entries, "of.tomorrow.v1", b"{}")
                reader.execute("SELECT count(*) FROM gridproof.rm_dr_events")

        maintenance = PostgresProjectionMaintenance(
            read_side.database.app_dsn, StoppedClock(), reached=reached
        )
        with pytest.raises(FoldFailed):
            maintenance.rebuild(DREventsProjection())
    with psycopg.connect(read_side.database.admin_dsn) as connection:
        connection.execute("DELETE FROM gridproof.demand_response_events WHERE topic = 'of.tomorrow.v1'")
    again: list[str] = []
    PostgresProjectionMaintenance(read_side.database.app_dsn, StoppedClock(), reached=again.append).rebuild(
        DREventsProjection()
    )
    assert again[0] == "begun"
    assert read_side.differences(DREventsProjection()) == {}


@pytest.mark.parametrize("state", [b"{}", b'{"actor":"\xff"}'])
def test_a_runner_of_a_new_version_stops_at_an_entry_its_rebuild_cannot_read(
    read_side: ReadSide, entries: list[LogEntry], state: bytes
) -> None:
    """The runner does not end, since the worker and all other read models would end with it."""

    class Next(AuditTrailProjection):
        version = AuditTrailProjection.version + 1

    read_side.store(entries)
    read_side.catch_up(AuditTrailProjection())
    unreadable = _add_unreadable(read_side, entries, "dr-event.opened.v1", state)
    with running(read_side.projector(Next())):
        eventually(lambda: read_side.position("audit_trail").stopped_at is not None, "audit_trail stopped")
        eventually(
            lambda: [alert.name for alert in read_side.alerts.listed()] == ["projection_stopped"], "its alert"
        )
    assert read_side.position("audit_trail").stopped_at == unreadable


def test_a_rebuild_repairs_a_stopped_projection(read_side: ReadSide, entries: list[LogEntry]) -> None:
    poison = next(entry for entry in entries if entry.topic == "dr-event.accepted.v1")
    read_side.store(entries)
    with running(read_side.projector(PoisonedDREvents(poison.position), retry_stopped_s=0.05)):
        eventually(lambda: bool(read_side.alerts.listed()), "an alert")
        read_side.maintenance.rebuild(DREventsProjection())
        eventually(
            lambda: "projection_stopped" not in {alert.name for alert in read_side.alerts.listed()},
            "the alert cleared",
        )
    assert read_side.position("dr_events").stopped_at is None
    assert read_side.differences(DREventsProjection()) == {}


def test_a_read_model_has_one_rebuild_at_a_time(read_side: ReadSide, entries: list[LogEntry]) -> None:
    read_side.store(entries)

    def second(done: int, total: int) -> None:
        with pytest.raises(RebuildUnderway):
            read_side.maintenance.rebuild(DREventsProjection())
        seen.append(done)

    seen: list[int] = []
    read_side.maintenance.rebuild(DREventsProjection(), progress=second)
    assert seen == [entries[-1].position]


@pytest.mark.parametrize(
    ("tampering", "said"),
    [
        ("UPDATE gridproof.rm_dr_events SET row = jsonb_set(row, '{status}', '\"active\"')", "status is"),
        ("DELETE FROM gridproof.rm_dr_events", "missing in the live rows"),
        (
            """INSERT INTO gridproof.rm_dr_events
            SELECT generation, '0', sort_key, tenant, row, position FROM gridproof.rm_dr_events LIMIT 1""",
            "0: not in the log's fold",
        ),
        ("UPDATE gridproof.projection_positions SET version = 7", "version 7"),
    ],
)
def test_a_verification_reports_the_first_difference(
    read_side: ReadSide, entries: list[LogEntry], tampering: str, said: str
) -> None:
    read_side.store(entries)
    read_side.catch_up(DREventsProjection())
    assert read_side.maintenance.verify(DREventsProjection()).equal
    with psycopg.connect(read_side.database.admin_dsn) as connection:
        connection.execute(tampering.encode())
    report = read_side.maintenance.verify(DREventsProjection())
    assert said in str(report.first_difference)
    assert not report.equal
    if "version" not in said:
        assert report.live_digest != report.fresh_digest


def test_a_verification_of_a_model_behind_the_log_compares_at_its_position(
    read_side: ReadSide, entries: list[LogEntry]
) -> None:
    read_side.store(entries[:60])
    read_side.catch_up(DREventsProjection())
    read_side.store(entries[60:])
    report = read_side.maintenance.verify(DREventsProjection())
    assert report.equal
    assert report.position == entries[59].position


def test_an_unreachable_database_is_reported(read_side: ReadSide) -> None:
    nowhere = PostgresProjectionMaintenance("postgresql://nobody@127.0.0.1:1/nothing", StoppedClock())
    with pytest.raises(ProjectionsUnavailable, match="cannot be reached"):
        nowhere.verify(DREventsProjection())
    with pytest.raises(ProjectionsUnavailable, match="cannot be reached"):
        nowhere.rebuild(DREventsProjection())
