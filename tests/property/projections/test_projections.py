"""A fold gives the same rows for any batches of the log and any irrelevant domain events in it."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.ports.event_store.event_log import LogEntry
from domain.dispatch import Dispatch, DispatchState
from domain.dr_event import DREvent, DREventState
from domain.event_sourcing.aggregate import DomainEvent, state_after
from domain.facility import Facility, FacilityState
from domain.program import Program
from projections import deadlines, facility
from projections.deadlines import DeadlineRow
from projections.dispatch.projection import DispatchRow
from projections.dr_event.projection import DREventRow
from projections.engine.memory_rows import FoldFailed, MemoryRows
from projections.engine.projection import AnyProjection
from projections.engine.stored_row import stored_form
from projections.facility import FacilityRow
from projections.portfolio import projection as portfolio
from projections.portfolio.projection import PortfolioRow
from projections.registry import PROJECTIONS, UnknownProjection, projection_named
from tests.fakes.event_store.event_log import FakeEventLog
from tests.fakes.read_models import FakeReadModels
from tests.property.projections.projected_logs import PortfolioWalk, logs, long_life

Row = TypeVar("Row")


class ForeignDomainEvent(DomainEvent, frozen=True, kw_only=True):
    """A domain event that concerns no projection."""

    TOPIC = "test.of-another-kind.v1"


def folded(projection: AnyProjection, entries: Sequence[LogEntry]) -> MemoryRows[Any]:
    rows: MemoryRows[Any] = MemoryRows(projection)
    rows.fold(entries)
    return rows


def restarted(rows: MemoryRows[Any]) -> MemoryRows[Any]:
    """The rows as the next process reads them from storage."""
    again: MemoryRows[Any] = MemoryRows(rows.projection)
    again.position = rows.position
    for row in rows.by_key.values():
        again.put(msgspec.json.decode(stored_form(row), type=rows.projection.row_type))
    return again


# Generating a log takes longer than folding it, so each log is used for all projections.
@given(entries=logs(), cuts=st.lists(st.integers(0, 400)))
def test_batches_and_restarts_give_the_same_rows_as_a_single_fold(
    entries: list[LogEntry], cuts: list[int]
) -> None:
    for projection in PROJECTIONS:
        rows: MemoryRows[Any] = MemoryRows(projection)
        for start, end in _parts(cuts, len(entries)):
            rows = restarted(rows)
            rows.fold(entries[start:end])
        assert rows.by_key == folded(projection, entries).by_key, projection.name
        assert rows.position == entries[-1].position, projection.name


def _parts(cuts: list[int], length: int) -> Iterator[tuple[int, int]]:
    places = [0, *sorted({cut for cut in cuts if 0 < cut < length}), length]
    yield from pairwise(places)


@given(entries=logs(60), places=st.sets(st.integers(0, 200)))
def test_irrelevant_domain_events_only_advance_the_position(
    entries: list[LogEntry], places: set[int]
) -> None:
    strange = _foreign(entries[0].domain_event)
    mixed: list[LogEntry] = []
    for index, entry in enumerate(entries):
        mixed.append(LogEntry(entry.position * 2, entry.topic, entry.domain_event))
        if index in places:
            mixed.append(LogEntry(entry.position * 2 + 1, ForeignDomainEvent.TOPIC, strange))
    plain = [LogEntry(item.position * 2, item.topic, item.domain_event) for item in entries]
    for projection in PROJECTIONS:
        rows = folded(projection, mixed)
        assert rows.by_key == folded(projection, plain).by_key, projection.name
        assert rows.position == mixed[-1].position, projection.name


def _foreign(like: DomainEvent) -> ForeignDomainEvent:
    return ForeignDomainEvent(
        originator_id=UUID(int=1),
        originator_version=1,
        timestamp=like.recorded_at,
        correlation_id=like.correlation_id,
        causation_id=like.causation_id,
        actor=like.actor,
        tenant=like.tenant,
        trace_id=like.trace_id,
    )


@given(entries=logs())
def test_a_fold_reads_only_rows_that_wanted_lists(entries: list[LogEntry]) -> None:
    for projection in PROJECTIONS:
        rows: MemoryRows[Any] = MemoryRows(projection)
        for entry in entries:
            announced = set(projection.wanted(entry.domain_event))
            put = set(rows.by_key)
            watched = _Watched(rows)
            projection.fold(entry.position, entry.domain_event, watched)
            late = watched.asked - announced - (set(rows.by_key) - put)
            # The facility of a dispatch is only in the dispatch's own row.
            assert projection.name == "facilities" or not late, projection.name


@given(entries=logs())
def test_no_fold_reads_or_changes_an_added_row(entries: list[LogEntry]) -> None:
    """Added rows are not visible to the fold while they are being stored."""
    for projection in PROJECTIONS:
        rows: MemoryRows[Any] = MemoryRows(projection)
        watched = _Watched(rows)
        for entry in entries:
            projection.fold(entry.position, entry.domain_event, watched)
        assert len(watched.added) == len(set(watched.added)), projection.name
        assert not (watched.asked | watched.changed) & set(watched.added), projection.name


class _Watched:
    def __init__(self, rows: MemoryRows[Any]) -> None:
        self._rows = rows
        self.asked: set[str] = set()
        self.changed: set[str] = set()
        self.added: list[str] = []

    def put(self, row: Any) -> None:
        self.changed.add(self._rows.projection.key(row))
        self._rows.put(row)

    def add(self, row: Any) -> None:
        self.added.append(self._rows.projection.key(row))
        self._rows.add(row)

    def delete(self, key: str) -> None:
        self.changed.add(key)
        self._rows.delete(key)

    def get(self, key: str) -> Any:
        self.asked.add(key)
        return self._rows.get(key)


@given(entries=logs())
def test_rows_agree_with_the_aggregates(entries: list[LogEntry]) -> None:
    models, states = FakeReadModels(entries), _states(entries)
    dr_events = {row.dr_event_id: row for row in _rows(models, "dr_events", DREventRow)}
    dispatches = {row.dispatch_id: row for row in _rows(models, "dispatches", DispatchRow)}
    known = {row.facility_id: row for row in _rows(models, "facilities", FacilityRow)}
    for stream_id, state in states.items():
        match state:
            case DREventState():
                _same(dr_events.pop(stream_id), state)
            case DispatchState():
                _same(dispatches.pop(stream_id), state)
            case FacilityState():
                row = known.pop(state.facility_id)
                assert (row.status, frozenset(row.meters)) == (state.status, state.meters)
                assert {zone.zone_id: zone for zone in row.zones} == state.zones
                assert list(row.reservations) == sorted(
                    state.reservations.values(), key=lambda reservation: reservation.starts_at
                )
                _check_latest_dispatch(row, states)
            case _:
                pass
    assert not dr_events
    assert not dispatches
    assert not known


def _same(row: DREventRow | DispatchRow, state: DREventState | DispatchState) -> None:
    names: tuple[str, ...]
    if isinstance(row, DREventRow) and isinstance(state, DREventState):
        names = (
            "status", "settlement_status", "outcome", "batch", "delivered_kw", "targets", "missing_kw",
            "plan_revision", "prepare_at", "program_version", "capacity_kw", "shortfall_kw",
        )  # fmt: skip
        assert {key: row_.state for key, row_ in row.callbacks.items()} == state.callbacks
        if state.status in {"rejected", "accepted"}:
            assert row.reasons == state.reasons
        if state.notice is not None:
            assert (row.starts_at, row.ends_at) == (state.notice.starts_at, state.notice.ends_at)
            assert (row.facility_ids, row.target_kw) == (state.notice.facility_ids, state.notice.target_kw)
    else:
        assert isinstance(row, DispatchRow)
        assert isinstance(state, DispatchState)
        names = ("status", "was_prepared", "was_committed", "failure", "delivered_kw", "target_kw")
        assert row.state == state
        assert row.commands_outstanding == sum(
            record.state == "requested" for record in state.commands.values()
        )
        if state.status in {"restored", "compensated"}:
            assert not any(zone.curtailed for zone in row.zones.values())
        if state.status == "committed":
            assert all(zone.curtailed for zone in row.zones.values())
    assert {name: getattr(row, name) for name in names} == {name: getattr(state, name) for name in names}


def _check_latest_dispatch(row: FacilityRow, states: dict[UUID, Any]) -> None:
    own = [
        stream_id
        for stream_id, state in states.items()
        if isinstance(state, DispatchState) and state.facility_id == row.facility_id
    ]
    latest = row.latest_dispatch
    assert (latest.dispatch_id if latest else None) == (own[-1] if own else None)
    if latest is not None:
        assert latest.status == states[latest.dispatch_id].status


@given(entries=logs())
def test_the_portfolio_is_the_sum_of_its_facilities(entries: list[LogEntry]) -> None:
    row = FakeReadModels(entries).portfolio.get(portfolio.KEY)
    assert isinstance(row, PortfolioRow)
    states = _states(entries).values()
    own = [state for state in states if isinstance(state, FacilityState)]
    kw = {state.facility_id: sum(zone.curtailable_kw for zone in state.zones.values()) for state in own}
    active = [state for state in own if state.status == "active"]
    withheld = [s for s in active if not s.reservations and (s.opted_out or s.not_restored_from)]
    free = [state for state in active if not state.reservations and state not in withheld]
    assert row.registered_facilities == len(own)
    assert row.active_facilities == len(active)
    assert row.facilities_in_maintenance == sum(state.status == "maintenance" for state in own)
    declared = [kw[state.facility_id] for state in own if state.status != "deactivated"]
    assert row.declared_kw == pytest.approx(sum(declared), abs=1e-6)
    assert row.available_kw == pytest.approx(sum(kw[state.facility_id] for state in free), abs=1e-6)
    assert row.withheld_facilities == len(withheld)
    assert row.withheld_kw == pytest.approx(sum(kw[state.facility_id] for state in withheld), abs=1e-6)
    assert row.available_kw + row.reserved_kw + row.withheld_kw == pytest.approx(
        sum(kw[state.facility_id] for state in active), abs=1e-6
    )
    dispatches = [state for state in states if isinstance(state, DispatchState)]
    curtailed = {"committed", "verified_by_bms", "verified_by_meter"}
    committed = sum(state.target_kw for state in dispatches if state.status in curtailed)
    assert row.committed_kw == pytest.approx(committed, abs=1e-6)
    dr_events = [state for state in states if isinstance(state, DREventState)]
    over = {"opened", "rejected", "completed", "cancelled", "cancelled_while_active"}
    assert row.open_dr_events == sum(state.status not in over for state in dr_events)
    assert row.active_dr_events == sum(state.status == "active" for state in dr_events)


@given(entries=logs())
def test_a_deadline_exists_exactly_for_every_open_obligation(entries: list[LogEntry]) -> None:
    _check_deadlines(entries)


@pytest.mark.parametrize("seed", range(40))
def test_a_long_log_leaves_no_internal_row_of_a_finished_dispatch(seed: int) -> None:
    entries = list(long_life(seed))
    _check_deadlines(entries)
    shares = FakeReadModels(entries).rows["portfolio"].by_key.values()
    known = {row.dispatch_id for row in shares if isinstance(row, portfolio.DispatchShare)}
    assert known == {
        stream_id
        for stream_id, state in _states(entries).items()
        if isinstance(state, DispatchState) and state.status not in _OVER
    }


_OVER = {
    *("restoring", "restored", "restore_failed", "compensating", "compensated"),
    *("aborted", "failed"),
}


def _check_deadlines(entries: list[LogEntry]) -> None:
    rows = {
        deadlines.key_of(row.kind, row.stream_id): row
        for row in _rows(FakeReadModels(entries), "deadlines", DeadlineRow)
    }
    assert {key: row.due_at for key, row in rows.items()} == _expected_deadlines(entries)
    recorded = {entry.domain_event.domain_event_id for entry in entries}
    assert all(row.caused_by in recorded for row in rows.values())


def _expected_deadlines(entries: list[LogEntry]) -> dict[str, Any]:
    """Derived from the final states and the last domain event of each kind, independently of the projection."""
    last: dict[tuple[UUID, type], Any] = {
        (entry.domain_event.originator_id, type(entry.domain_event)): entry.domain_event for entry in entries
    }
    states = _states(entries)
    expected: dict[str, Any] = {}
    for stream_id, state in states.items():
        if isinstance(state, DREventState) and state.notice is not None:
            if state.status in {"accepted", "scheduled", "preparing"}:
                expected[deadlines.key_of("start", stream_id)] = state.notice.starts_at
            if state.status == "scheduled":
                expected[deadlines.key_of("prepare", stream_id)] = state.prepare_at
            refused = last.get((stream_id, DREvent.PlanningRefused))
            if state.status == "accepted" and refused is not None:
                expected[deadlines.key_of("plan_retry", stream_id)] = refused.retry_at
            if state.status == "active":
                expected[deadlines.key_of("end", stream_id)] = state.notice.ends_at
            if state.status in {"recovering", "cancelled_while_active"} and state.batch is None:
                ended = _ended(stream_id, state, last)
                expected[deadlines.key_of("recovery", stream_id)] = (
                    ended.recorded_at + deadlines.RECOVERED_WITHIN
                )
            over_at = _over_at(stream_id, state, last)
            if over_at is not None and state.settlement_status == "none":
                expected[deadlines.key_of("measure", stream_id)] = over_at + deadlines.MEASURE_AFTER
        if isinstance(state, DispatchState) and state.restore_steps:
            expected[deadlines.key_of("restore", stream_id)] = min(
                step.not_before for step in state.restore_steps
            )
        if isinstance(state, DispatchState) and state.status == "restore_failed":
            failed = last[stream_id, Dispatch.RestoreFailed]
            expected[deadlines.key_of("restore_retry", stream_id)] = failed.retry_at
    return expected


def _ended(stream_id: UUID, state: DREventState, last: dict[tuple[UUID, type], Any]) -> Any:
    if state.status == "cancelled_while_active":
        return last[stream_id, DREvent.CancelledWhileActive]
    return last.get((stream_id, DREvent.BatchAborted)) or last[stream_id, DREvent.Ended]


def _over_at(stream_id: UUID, state: DREventState, last: dict[tuple[UUID, type], Any]) -> datetime | None:
    """When a window that had begun ended; None if it never began, or is still running."""
    if (stream_id, DREvent.Ended) in last:
        return state.judged_notice.ends_at
    if (stream_id, DREvent.Started) in last:
        return state.released_at
    return None


def _states(entries: Sequence[LogEntry]) -> dict[UUID, Any]:
    """Every aggregate's state, in the order in which the streams began."""
    states: dict[UUID, Any] = {}
    for entry in entries:
        happened = entry.domain_event
        states[happened.originator_id] = state_after(states.get(happened.originator_id), happened)
    return states


def _rows(models: FakeReadModels, name: str, kind: type[Row]) -> list[Row]:
    return [row for _, _, row in models.rows[name].listed()]


@given(entries=logs(200))
def test_a_facility_has_one_dispatch_state_row(entries: list[LogEntry]) -> None:
    rows = FakeReadModels(entries).rows["facilities"].by_key.values()
    memories = [row for row in rows if isinstance(row, facility.DispatchStateRow)]
    assert len({memory.state.facility_id for memory in memories}) == len(memories)


def test_the_walks_record_every_kind_of_domain_event() -> None:
    """Otherwise the properties above would show little."""
    unseen = _domain_events(DREvent) | _domain_events(Dispatch) | _domain_events(Facility)
    for seed in range(200):
        unseen -= {type(entry.domain_event) for entry in long_life(seed)}
        if not unseen:
            break
    assert not unseen


def _domain_events(aggregate: type) -> set[type]:
    nested = [item for item in vars(aggregate).values() if isinstance(item, type)]
    return {
        item for item in nested if issubclass(item, DomainEvent) and item.__name__ not in {"Event", "Created"}
    }


def test_a_log_with_a_gap_is_refused_with_its_position() -> None:
    walk = PortfolioWalk()
    walk.happy()
    holed = [entry for entry in walk.entries if not isinstance(entry.domain_event, DREvent.Accepted)]
    started = next(entry for entry in holed if isinstance(entry.domain_event, DREvent.Scheduled))
    with pytest.raises(FoldFailed) as failure:
        folded(projection_named("deadlines"), holed)
    assert failure.value.position == started.position


def test_a_program_changes_no_read_model() -> None:
    program = Program.open(PortfolioWalk().provenance(), program_id="summer-peak", utility_id="util-1")
    log = FakeEventLog()
    log.save(program)
    models = FakeReadModels(log.entries)
    assert not any(rows.by_key for rows in models.rows.values())


def test_an_unknown_projection_is_refused_with_the_existing_names() -> None:
    with pytest.raises(UnknownProjection, match="dr_events, dispatches"):
        projection_named("dr-events")
