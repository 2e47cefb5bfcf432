"""The contract of ReadModels and StreamLog: in memory and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from adapters.postgres.audit import stream_log
from adapters.postgres.audit.stream_log import PostgresStreamLog
from adapters.postgres.read_model.projector import Projector
from adapters.postgres.read_model.read_models import PostgresReadModels
from application.commands.dr_event import JudgeNotification, PlanDREvent
from application.commands.facility import RegisterFacility
from application.commands.program import AgreeProgram
from application.ports.event_store.event_log import LogEntry
from domain.dr_event import DREvent
from domain.facility import Facility
from domain.identifiers import dr_event_id
from projections import deadlines
from projections import facility as facilities
from projections.as_of.dr_event import dr_event_as_of
from projections.as_of.lists import HistoricalLists
from projections.audit import trail
from projections.audit.stream_log import StreamLog
from projections.deadlines import OPEN_WORK
from projections.dispatch import projection as dispatches
from projections.dr_event import projection as dr_events
from projections.engine.cursors import InvalidCursor, UnknownFilter
from projections.portfolio import projection as portfolio
from projections.queries.views import MAX_PAGE_ROWS, ReadModels, RowsVersion
from projections.registry import PROJECTIONS
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.read_models import FakeReadModels
from tests.fakes.stream_log import FakeStreamLog
from tests.given_when_then import Scenario, given
from tests.integration.projections.stored_log import StoppedClock, event_log, pool, store_entries
from tests.property.projections.projected_logs import UTILITY, PortfolioWalk
from tests.sample_values import (
    CONTEXT,
    ENDS_AT,
    facility_entry,
    judge,
    portfolio_commands,
    program_entry,
)
from tests.sample_values import UTILITY as OWN
from tests.servers import Database

Opened = Callable[[list[LogEntry]], tuple[ReadModels, StreamLog]]


def _in_memory(entries: list[LogEntry]) -> tuple[ReadModels, StreamLog]:
    return FakeReadModels(entries), FakeStreamLog(entries)


@pytest.fixture(params=["memory", "postgres"])
def opened(request: pytest.FixtureRequest) -> Iterator[Opened]:
    """A function that takes the entries of a log and returns the read models of that log and the log."""
    if request.param == "memory":
        yield _in_memory
        return
    database: Database = request.getfixturevalue("database")
    connections = pool(database.app_dsn)
    log = event_log(database.app_dsn)

    def in_postgres(entries: list[LogEntry]) -> tuple[ReadModels, StreamLog]:
        store_entries(database.admin_dsn, entries)
        for projection in PROJECTIONS:
            projector = Projector(
                projection,
                dsn=database.app_dsn,
                alerts=FakeAlertRegistry(),
                clock=StoppedClock(),
                batch_size=7,
            )
            projector.catch_up()
        return PostgresReadModels(connections), PostgresStreamLog(connections)

    yield in_postgres
    log.close()
    connections.close()


@pytest.fixture(scope="module")
def walk() -> PortfolioWalk:
    """A finished DR event, one in progress, and one that was only opened."""
    made = PortfolioWalk()
    made.happy()
    second = made.open_dr_event()
    made.accept(second, 1)
    made.schedule(second, 4)
    made.open_dr_event()
    return made


def test_every_row_of_every_read_model_is_read_by_its_key(opened: Opened, walk: PortfolioWalk) -> None:
    models, _ = opened(walk.entries)
    expected = FakeReadModels(walk.entries)
    for name, rows in expected.rows.items():
        view: Any = getattr(models, name)
        in_memory: Any = getattr(expected, name)
        for _, key, _ in rows.listed():
            assert view.get(key) == in_memory.get(key) is not None
        assert view.get("of nobody") is None
        assert view.get("\0") is None


def test_each_read_model_defines_its_keys(opened: Opened, walk: PortfolioWalk) -> None:
    models, _ = opened(walk.entries)
    dr_event = walk.dr_events[0]
    first = walk.entries[-1].domain_event
    row = models.dr_events.get(dr_events.key_of(dr_event.id))
    assert row is not None
    assert (row.status, row.outcome, row.settlement_status) == ("completed", "full", "measured")
    assert models.dispatches.get(dispatches.key_of(dr_event.id, "fac-001")) is not None
    assert models.facilities.get(facilities.key_of("fac-001")) is not None
    assert models.portfolio.get(portfolio.KEY) is not None
    assert models.audit_trail.get(trail.key_of(first.domain_event_id)) is not None
    assert models.deadlines.get(deadlines.key_of("start", walk.dr_events[1].id)) is not None


def test_hidden_rows_of_a_projection_are_not_returned(opened: Opened, walk: PortfolioWalk) -> None:
    models, _ = opened(walk.entries)
    memory = FakeReadModels(walk.entries).rows["facilities"]
    hidden = [key for key, row in memory.by_key.items() if memory.projection.sort_key(row) is None]
    assert hidden
    assert [models.facilities.get(key) for key in hidden] == [None] * len(hidden)
    assert len(models.facilities.listed().rows) == len(walk.facilities)
    assert len(models.portfolio.listed().rows) == 1


def test_lists_continue_by_cursor_without_a_gap_or_a_repeat(opened: Opened, walk: PortfolioWalk) -> None:
    models, _ = opened(walk.entries)
    expected = FakeReadModels(walk.entries)
    for name, rows in expected.rows.items():
        view: Any = getattr(models, name)
        found: list[Any] = []
        cursor: str | None = None
        while True:
            page = view.listed(cursor=cursor, limit=7)
            assert len(page.rows) <= 7
            found += page.rows
            cursor = page.next_cursor
            if cursor is None:
                break
        in_memory: Any = getattr(expected, name)
        assert found == [in_memory.get(key) for _, key, _ in rows.listed()]


def test_dr_events_are_listed_newest_first(opened: Opened, walk: PortfolioWalk) -> None:
    models, _ = opened(walk.entries)
    listed = [row.utility_event_id for row in models.dr_events.listed().rows]
    assert listed == ["UTIL-3", "UTIL-2", "UTIL-1"]


def test_a_limit_is_clamped_to_its_bounds(opened: Opened, walk: PortfolioWalk) -> None:
    models, _ = opened(walk.entries)
    assert len(models.audit_trail.listed(limit=0).rows) == 1
    assert len(models.audit_trail.listed(limit=MAX_PAGE_ROWS * 10).rows) <= MAX_PAGE_ROWS


def test_filters_narrow_a_list(opened: Opened, walk: PortfolioWalk) -> None:
    models, _ = opened(walk.entries)
    finished, second, _ = walk.dr_events
    by_event = models.dispatches.listed(filters={"dr_event_id": str(finished.id)}).rows
    assert [row.facility_id for row in by_event] == ["fac-001", "fac-002", "fac-003"]
    assert models.dispatches.listed(
        filters={"dr_event_id": str(finished.id), "facility_id": "fac-002"}
    ).rows == (by_event[1],)
    completed = models.dr_events.listed(filters={"status": "completed"}).rows
    assert [row.dr_event_id for row in completed] == [finished.id]
    with_second = models.dr_events.listed(filters={"facility_ids": "fac-002"}).rows
    assert {row.dr_event_id for row in with_second} == {finished.id, second.id}
    assert models.dr_events.listed(filters={"status": "active"}).rows == ()
    assert models.dr_events.listed(filters={"status": "\0"}).rows == ()
    story = models.audit_trail.listed(filters={"dr_event_id": str(second.id)}).rows
    assert [row.position for row in story] == sorted(row.position for row in story)
    assert {row.dr_event_id for row in story} == {second.id}


def test_a_filter_applies_across_pages(opened: Opened, walk: PortfolioWalk) -> None:
    models, _ = opened(walk.entries)
    filters = {"dr_event_id": str(walk.dr_events[0].id)}
    whole = models.audit_trail.listed(filters=filters, limit=1000).rows
    first = models.audit_trail.listed(filters=filters, limit=10)
    rest = models.audit_trail.listed(filters=filters, limit=1000, cursor=first.next_cursor)
    assert first.rows + rest.rows == whole
    assert rest.next_cursor is None


def test_a_utility_sees_only_its_own(opened: Opened, walk: PortfolioWalk) -> None:
    models, _ = opened(walk.entries)
    key = dr_events.key_of(walk.dr_events[0].id)
    assert models.dr_events.get(key, tenant=UTILITY) is not None
    assert models.dr_events.get(key, tenant="util-2") is None
    assert len(models.dr_events.listed(tenant=UTILITY).rows) == 3
    assert models.dr_events.listed(tenant="util-2").rows == ()
    assert models.facilities.listed(tenant=UTILITY).rows == ()


@pytest.mark.parametrize(
    "cursor", ["", "nonsense", "bnVsbA", "WyJhIl0", "WyJcdTAwMDAiLCAiYSJd", "ü", "a" * 9]
)
def test_an_invalid_cursor_is_refused(opened: Opened, walk: PortfolioWalk, cursor: str) -> None:
    models, _ = opened(walk.entries)
    with pytest.raises(InvalidCursor):
        models.dr_events.listed(cursor=cursor)


def test_a_cursor_of_another_list_is_refused(opened: Opened, walk: PortfolioWalk) -> None:
    models, _ = opened(walk.entries)
    cursor = models.dispatches.listed(limit=1).next_cursor
    assert models.dispatches.listed(cursor=cursor).rows
    with pytest.raises(InvalidCursor):
        models.dr_events.listed(cursor=cursor)


def test_an_unknown_filter_is_refused_with_the_available_ones(opened: Opened, walk: PortfolioWalk) -> None:
    models, _ = opened(walk.entries)
    with pytest.raises(UnknownFilter, match="groups"):
        models.facilities.listed(filters={"row' = 'x": "y"})


def test_filter_values_are_never_interpreted_as_a_query(opened: Opened, walk: PortfolioWalk) -> None:
    models, _ = opened(walk.entries)
    for value in ("' OR '1'='1", "%s", "{}", "\\"):
        assert models.dr_events.get(value) is None
        assert models.dr_events.listed(filters={"status": value, "facility_ids": value}).rows == ()
        assert models.dr_events.listed(tenant=value).rows == ()


def test_open_work_is_listed_apart_from_deadlines(opened: Opened, walk: PortfolioWalk) -> None:
    ended = next(e.position for e in walk.entries if isinstance(e.domain_event, DREvent.Ended))
    entries = [entry for entry in walk.entries if entry.position <= ended]
    models, _ = opened(entries)
    far = walk.now + timedelta(days=99)
    memory = FakeReadModels(entries)
    assert memory.deadlines.overdue_work("recovery", far)
    for kind in sorted(OPEN_WORK):
        rows = models.deadlines.overdue_work(kind, far)
        assert rows == memory.deadlines.overdue_work(kind, far)
        assert {row.kind for row in rows} <= {kind}
        assert models.deadlines.overdue_work(kind, far, limit=1) == rows[:1]
        assert models.deadlines.overdue_work(kind, walk.now - timedelta(days=99)) == []
    assert not OPEN_WORK & {row.kind for row in models.deadlines.due(far)}


def test_due_deadlines_are_listed_longest_overdue_first(opened: Opened, walk: PortfolioWalk) -> None:
    models, _ = opened(walk.entries)
    second = walk.dr_events[1].state
    assert second.notice is not None
    assert second.prepare_at is not None
    assert models.deadlines.due(second.prepare_at - timedelta(microseconds=1)) == []
    assert [row.kind for row in models.deadlines.due(second.prepare_at)] == ["prepare"]
    assert [row.kind for row in models.deadlines.due(second.notice.starts_at)] == ["prepare", "start"]
    assert [row.kind for row in models.deadlines.due(second.notice.ends_at, limit=1)] == ["prepare"]


def waiting_for_a_plan() -> Scenario:
    """Three DR events of one utility and one of another; the first two of util-1 cannot be planned yet."""
    ids = ("fac-001", "fac-002", "fac-003")
    story = given().after(*portfolio_commands(*map(facility_entry, ids)))
    story.after(
        AgreeProgram(entry=program_entry(program_id="theirs", utility_id="util-2")),
        RegisterFacility(entry=facility_entry("fac-b", programs=("theirs",))),
    )
    for number, facility_id in enumerate(ids):
        story.after(judge(f"U-{number}", facility_ids=(facility_id,), target_kw=10.0))
    notice = replace(judge().notice, program_id="theirs", facility_ids=("fac-b",), target_kw=10.0)
    other = JudgeNotification(utility_id="util-2", utility_event_id="B", notice=notice)
    story.bus.handle(other, replace(CONTEXT, tenant="util-2"))
    for number in range(2):
        story.after(PlanDREvent(dr_event_id=dr_event_id(OWN, f"U-{number}")))
    return story


def test_the_planning_queue_is_counted_by_utility(opened: Opened) -> None:
    models, _ = opened(waiting_for_a_plan().store.read_after(0, 1_000))
    assert models.planning_queue(tenant=OWN, limit=10) == (3, 1)
    assert models.planning_queue(tenant="util-2", limit=10) == (1, 1)
    assert models.planning_queue(tenant="nobody", limit=10) == (0, 0)
    assert models.planning_queue(tenant=None, limit=10) == (4, 2)
    assert models.planning_queue(tenant=None, limit=2).waiting == 2


def test_due_deadlines_alternate_between_utilities_and_planning_again_comes_last(opened: Opened) -> None:
    models, _ = opened(waiting_for_a_plan().store.read_after(0, 1_000))
    due = models.deadlines.due(ENDS_AT)
    assert {row.tenant for row in due[:2]} == {OWN, "util-2"}
    assert [row.kind for row in due] == ["start"] * 4 + ["plan_retry"] * 2
    again: tuple[deadlines.DeadlineKind, ...] = ("plan_retry",)
    assert [row.kind for row in models.deadlines.due(ENDS_AT, kinds=again)] == ["plan_retry"] * 2
    assert {row.tenant for row in models.deadlines.due(ENDS_AT, limit=2)} == {OWN, "util-2"}


def test_the_positions_include_every_projection_and_the_head(opened: Opened, walk: PortfolioWalk) -> None:
    models, _ = opened(walk.entries)
    head = walk.entries[-1].position
    positions = models.positions()
    assert [item.name for item in positions] == [projection.name for projection in PROJECTIONS]
    assert {(item.position, item.head, item.lag, item.stopped_at) for item in positions} == {
        (head, head, 0, None)
    }


def test_read_models_of_an_empty_log_are_empty(opened: Opened) -> None:
    models, log = opened([])
    assert models.dr_events.listed().rows == ()
    assert models.portfolio.get(portfolio.KEY) is None
    assert models.deadlines.due(StoppedClock().now()) == []
    assert {item.position for item in models.positions()} == {0}
    assert (log.head(), log.prefix_end(StoppedClock().now())) == (0, 0)
    told = log.read_streams(UUID(int=1), whole=[UUID(int=1)], partly=[], topics=[])
    assert (told.head, told.entries) == (0, [])


def test_a_stream_log_returns_streams_in_the_order_of_the_log(opened: Opened, walk: PortfolioWalk) -> None:
    _, log = opened(walk.entries)
    stream_ids = [walk.dr_events[0].id, walk.facilities["fac-001"].id]
    found = log.entries_of(stream_ids)
    expected = [entry for entry in walk.entries if entry.domain_event.originator_id in stream_ids]
    assert [(item.position, item.domain_event) for item in found] == [
        (item.position, item.domain_event) for item in expected
    ]
    reserved = log.entries_of(stream_ids, topics=["facility.reserved.v1"])
    assert [entry.position for entry in reserved] == [
        entry.position for entry in expected if entry.topic == "facility.reserved.v1"
    ]
    assert log.entries_of(stream_ids) == found
    assert log.entries_of([]) == []
    assert log.head() == walk.entries[-1].position


def test_a_stream_log_reads_streams_in_full_or_only_the_entries_that_name_one_id(
    opened: Opened, walk: PortfolioWalk
) -> None:
    _, log = opened(walk.entries)
    first, facility = walk.dr_events[0].id, walk.facilities["fac-001"].id
    told = log.read_streams(first, whole=[first], partly=[facility], topics=["facility.reserved.v1"])
    expected = [
        entry
        for entry in walk.entries
        if (happened := entry.domain_event).originator_id == first
        or (
            happened.originator_id == facility
            and isinstance(happened, Facility.Reserved)
            and happened.dr_event_id == first
        )
    ]
    assert [(item.position, item.domain_event) for item in told.entries] == [
        (item.position, item.domain_event) for item in expected
    ]
    assert told.head == walk.entries[-1].position
    reserved = log.entries_of([facility], topics=["facility.reserved.v1"])
    assert 0 < sum(entry in reserved for entry in told.entries) < len(reserved)
    last = walk.entries[-1].domain_event.originator_id  # the head is reported beside its entry
    assert log.read_streams(last, whole=[last], partly=[], topics=[]).entries[-1].position == told.head
    nothing = log.read_streams(first, whole=[], partly=[], topics=[])
    assert (nothing.head, nothing.entries) == (told.head, [])


def test_a_stream_log_returns_topics_of_every_stream_up_to_a_position(
    opened: Opened, walk: PortfolioWalk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_log, "_BATCH", 3)
    _, log = opened(walk.entries)
    topics = ("dr-event.opened.v1", "dispatch.planned.v1")
    expected = [(item.position, item.domain_event) for item in walk.entries if item.topic in topics]
    assert len(expected) > 5
    for until in (expected[-1][0], expected[3][0], expected[3][0] - 1, 0):
        found = [(item.position, item.domain_event) for item in log.entries_about(topics, until=until)]
        assert found == [entry for entry in expected if entry[0] <= until]
        later = log.entries_about(topics, until=until, after=expected[1][0])
        assert [(item.position, item.domain_event) for item in later] == [
            entry for entry in expected[2:] if entry[0] <= until
        ]


def test_rows_as_of_the_head_equal_the_live_rows(opened: Opened, walk: PortfolioWalk) -> None:
    models, log = opened(walk.entries)
    lists = HistoricalLists(log)
    assert lists.dr_events(log.head()).rows.listed() == models.dr_events.listed()
    assert lists.facilities(log.head()).rows.listed() == models.facilities.listed()
    assert lists.portfolio(log.head()).rows.listed() == models.portfolio.listed()
    for dr_event in walk.dr_events:
        story = dr_event_as_of(log, dr_event.id, log.head())
        filters = {"dr_event_id": str(dr_event.id)}
        assert story.dr_events.get(str(dr_event.id)) == models.dr_events.get(str(dr_event.id))
        assert story.dispatches.listed(filters=filters) == models.dispatches.listed(filters=filters)


def test_a_prefix_ends_before_the_first_later_record(opened: Opened, walk: PortfolioWalk) -> None:
    _, log = opened(walk.entries)
    in_memory = FakeStreamLog(walk.entries)
    moments = sorted({entry.domain_event.recorded_at for entry in walk.entries})
    for moment in moments[::5]:
        for as_of in (moment, moment - timedelta(microseconds=1)):
            assert log.prefix_end(as_of) == in_memory.prefix_end(as_of)
    assert log.prefix_end(moments[-1]) == log.head()


def test_a_dr_event_is_looked_up_by_the_utilitys_own_id(opened: Opened, walk: PortfolioWalk) -> None:
    _, log = opened(walk.entries)
    assert log.dr_events_called("UTIL-2") == [walk.dr_events[1].id]
    assert log.dr_events_called("UTIL-9") == []


def test_the_version_of_rows_changes_only_after_a_fold(database: Database, walk: PortfolioWalk) -> None:
    models = PostgresReadModels(pool(database.app_dsn))
    assert models.dr_events.version() is None
    entries = walk.entries
    versions: list[RowsVersion | None] = []
    for until in (len(entries) - 1, len(entries)):
        store_entries(database.admin_dsn, entries[len(entries) - 1 if versions else 0 : until])
        for projection in PROJECTIONS:
            Projector(
                projection, dsn=database.app_dsn, alerts=FakeAlertRegistry(), clock=StoppedClock()
            ).catch_up()
        assert models.dr_events.version() == models.dr_events.version()
        versions.append(models.dr_events.version())
    assert None not in versions
    assert versions[0] != versions[1]
