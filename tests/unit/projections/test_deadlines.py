"""The deadlines in the course of several DR events."""

from datetime import UTC, datetime, timedelta

from domain.dispatch import RESTORE_RETRY, Dispatch
from domain.dr_event import DREvent
from projections.deadlines import (
    MEASURE_AFTER,
    RECOVERED_WITHIN,
    DeadlineRow,
    open_work_sort_key,
)
from projections.engine.projection import sortable
from tests.fakes.read_models import FakeReadModels
from tests.property.projections.projected_logs import PortfolioWalk

EARLY, LATE = datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


def _deadlines(walk: PortfolioWalk) -> list[DeadlineRow]:
    """Those of a DR event or dispatch, without open work."""
    return FakeReadModels(walk.entries).deadlines.due(walk.now + timedelta(days=99))


def _kinds(walk: PortfolioWalk) -> list[str]:
    return [deadline.kind for deadline in _deadlines(walk)]


def _with_failing_restore() -> tuple[PortfolioWalk, Dispatch]:
    """A walk whose DR event ended, and a dispatch of it whose restores are all open."""
    walk = PortfolioWalk()
    dr_event = walk.open_dr_event()
    walk.accept(dr_event, 0)
    walk.schedule(dr_event, 4)
    (dispatch,) = walk.dispatches_of(dr_event)
    notice = dr_event.state.notice
    assert notice is not None
    for phase, begin, at in (
        ("prepare", dr_event.start_preparation, notice.starts_at),
        ("commit", dr_event.start, notice.starts_at),
    ):
        walk.do(begin, now=at)
        walk.call(dispatch, phase)
    walk.do(dr_event.end, now=notice.ends_at)
    walk.do(dispatch.restore)
    return walk, dispatch


def _give_up(walk: PortfolioWalk, dispatch: Dispatch) -> None:
    for record in dispatch.state.latest("restore").values():
        walk.do(
            dispatch.command_gave_up,
            command_id=record.command.command_id,
            was_sent=True,
            reason="no answer",
        )


def test_the_deadlines_follow_a_dr_event_from_its_acceptance_to_its_measurement() -> None:
    walk = PortfolioWalk()
    walk.happy()
    seen: list[list[str]] = []
    for length in range(len(walk.entries) + 1):
        rows = FakeReadModels(walk.entries[:length]).deadlines.due(walk.now + timedelta(days=99))
        kinds: list[str] = sorted(row.kind for row in rows)
        if not seen or kinds != seen[-1]:
            seen.append(kinds)
    assert seen == [[], ["start"], ["prepare", "start"], ["start"], ["end"], ["measure"], []]


def test_a_deadline_is_due_at_its_moment_and_names_its_domain_event() -> None:
    walk = PortfolioWalk()
    dr_event = walk.open_dr_event()
    walk.accept(dr_event, 2)
    walk.schedule(dr_event, 4)
    models = FakeReadModels(walk.entries)
    prepare_at = dr_event.state.prepare_at
    assert prepare_at is not None
    assert models.deadlines.due(prepare_at - timedelta(microseconds=1)) == []
    (due,) = models.deadlines.due(prepare_at)
    assert (due.kind, due.dr_event_id, due.facility_id) == ("prepare", dr_event.id, None)
    scheduled = next(e.domain_event for e in walk.entries if isinstance(e.domain_event, DREvent.Scheduled))
    assert due.caused_by == scheduled.domain_event_id
    assert (due.correlation_id, due.tenant) == (scheduled.correlation_id, scheduled.tenant)


def test_the_longest_overdue_deadline_comes_first() -> None:
    walk = PortfolioWalk()
    for _ in range(3):
        dr_event = walk.open_dr_event()
        walk.accept(dr_event, 0)
        walk.now += timedelta(minutes=1)
    due = FakeReadModels(walk.entries).deadlines.due(walk.now + timedelta(days=1))
    assert [deadline.due_at for deadline in due] == sorted(deadline.due_at for deadline in due)
    assert len(due) == 3


def test_measuring_waits_for_late_readings() -> None:
    walk, dispatch = _with_failing_restore()
    (measure,) = _deadlines(walk)
    assert measure.due_at == dispatch.state.ends_at + MEASURE_AFTER


def test_a_failed_restore_is_due_again_until_it_succeeds() -> None:
    walk, dispatch = _with_failing_restore()
    for failures in range(3):
        _give_up(walk, dispatch)
        restore_failed = walk.entries[-1].domain_event
        due = {deadline.kind: deadline for deadline in _deadlines(walk)}
        assert due["restore_retry"].due_at == restore_failed.recorded_at + RESTORE_RETRY * 2**failures
        assert due["restore_retry"].facility_id == dispatch.state.facility_id
        walk.do(dispatch.retry_restore, reason="again")
        assert _kinds(walk) == ["measure"]
    for record in list(dispatch.state.latest("restore").values()):
        walk.succeed(dispatch, record)
    assert dispatch.state.status == "restored"
    assert _kinds(walk) == ["measure"]


def test_a_cancelled_dr_event_has_no_deadline() -> None:
    walk = PortfolioWalk()
    dr_event = walk.open_dr_event()
    walk.accept(dr_event, 2)
    walk.schedule(dr_event, 4)
    walk.do(dr_event.cancel, reason="not needed")
    assert _kinds(walk) == []


def test_a_manually_restored_building_has_no_deadline() -> None:
    walk, dispatch = _with_failing_restore()
    _give_up(walk, dispatch)
    assert "restore_retry" in _kinds(walk)
    walk.do(dispatch.restored_by_hand, reason="by the caretaker")
    assert _kinds(walk) == ["measure"]


def test_a_batch_that_is_aborted_before_its_window_is_to_recover_in_time() -> None:
    walk = PortfolioWalk()
    dr_event = walk.open_dr_event()
    walk.accept(dr_event, 0)
    walk.schedule(dr_event, 4)
    walk.do(dr_event.abort_batch, facility_ids=(), reason="a facility refused")
    aborted_at = walk.entries[-1].domain_event.recorded_at
    assert _kinds(walk) == []
    later = aborted_at + timedelta(days=1)
    [row] = FakeReadModels(walk.entries).deadlines.overdue_work("recovery", later)
    assert (row.dr_event_id, row.due_at) == (dr_event.id, aborted_at + RECOVERED_WITHIN)


def test_open_work_sorts_behind_every_deadline() -> None:
    """`due` reads every row up to the present moment, and returns no open work."""
    of_recovery = open_work_sort_key("recovery", EARLY)
    assert sortable(LATE) < open_work_sort_key("recovery") < of_recovery
