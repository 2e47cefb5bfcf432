"""As of any position or moment, a row is what its projection makes of that prefix; as of now, the live row."""

from collections.abc import Iterable
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application.ports.event_log import LogEntry
from domain.dr_event import DREvent
from projections.audit_replay import UnknownStory, audit_document
from projections.facilities import FacilityRow
from projections.memory_rows import Entry
from projections.memory_view import MemoryView
from projections.past import dr_event_as_of
from projections.past_lists import FoldLimits, PastLists, PastNotFoldedYet, PastTooLarge
from projections.story_log import AsOf, PositionAhead
from tests.fakes.read_models import FakeReadModels
from tests.fakes.story_log import FakeStoryLog
from tests.property.projected_logs import EPOCH, PortfolioWalk, logs


def _opened(entries: Iterable[Entry]) -> list[DREvent.Opened]:
    return [entry.domain_event for entry in entries if isinstance(entry.domain_event, DREvent.Opened)]


def _agree(log: FakeStoryLog, prefix: list[LogEntry], as_of: AsOf) -> None:
    """Everything that can be asked as of then says what read models of the prefix say."""
    models = FakeReadModels(prefix)
    lists = PastLists(log)
    assert lists.dr_events(as_of).rows.listed() == models.dr_events.listed()
    assert lists.facilities(as_of).rows.listed() == models.facilities.listed()
    assert lists.portfolio(as_of).rows.listed() == models.portfolio.listed()
    for opened in _opened(log.entries):
        row = models.dr_events.get(str(opened.originator_id))
        if row is None:
            with pytest.raises(UnknownStory, match="as of"):
                dr_event_as_of(log, opened.originator_id, as_of)
            with pytest.raises(UnknownStory, match="as of"):
                audit_document(log, opened.originator_id, as_of=as_of)
            continue
        story = dr_event_as_of(log, opened.originator_id, as_of)
        filters = {"dr_event_id": str(opened.originator_id)}
        assert story.dr_events.get(str(opened.originator_id)) == row
        assert story.dispatches.listed(filters=filters) == models.dispatches.listed(filters=filters)
        document = audit_document(log, opened.originator_id, as_of=as_of)
        assert document.dr_event.status == row.status
        assert {key: state.status for key, state in document.dispatches.items()} == {
            item.facility_id: item.status for item in models.dispatches.listed(filters=filters).rows
        }


@given(entries=logs(), part=st.floats(0, 1))
def test_as_of_a_position_is_the_fold_of_the_prefix_that_ends_there(
    entries: list[LogEntry], part: float
) -> None:
    position = round(part * entries[-1].position)
    _agree(FakeStoryLog(entries), [entry for entry in entries if entry.position <= position], position)


@given(entries=logs(), moment=st.integers(0, 12 * 3600 * 10))
def test_as_of_a_moment_is_the_fold_of_the_longest_prefix_recorded_until_then(
    entries: list[LogEntry], moment: int
) -> None:
    as_of = EPOCH + timedelta(milliseconds=moment)
    prefix: list[LogEntry] = []
    for entry in entries:
        if entry.domain_event.recorded_at > as_of:
            break
        prefix.append(entry)
    _agree(FakeStoryLog(entries), prefix, as_of)


@given(entries=logs())
def test_as_of_now_is_the_live_row(entries: list[LogEntry]) -> None:
    log, latest = FakeStoryLog(entries), max(entry.domain_event.recorded_at for entry in entries)
    for now in (log.head(), latest):
        _agree(log, entries, now)


@settings(max_examples=15)
@given(entries=logs(), parts=st.lists(st.floats(0, 1), min_size=2, max_size=4), most=st.integers(5, 40))
def test_however_often_and_in_whatever_order_the_past_is_asked_for_it_is_the_same(
    entries: list[LogEntry], parts: list[float], most: int
) -> None:
    log = FakeStoryLog(entries)
    kept, bounded = PastLists(log), PastLists(log, FoldLimits(domain_events=most, rows=10_000))
    for part in parts:
        position = round(part * entries[-1].position)
        models = FakeReadModels(entry for entry in entries if entry.position <= position)
        assert kept.facilities(position).rows.listed() == models.facilities.listed()
        assert kept.portfolio(position).rows.listed() == models.portfolio.listed()
        assert insisted(bounded, position).listed() == models.facilities.listed()


def insisted(lists: PastLists, position: int) -> MemoryView[FacilityRow]:
    """Asked for until it is folded; each time it comes further."""
    told: list[str] = []
    while True:
        try:
            rows = lists.facilities(position).rows
        except PastNotFoldedYet as error:
            told.append(str(error))
            continue
        assert len(told) == len(set(told))
        assert all(f"of {position};" in one for one in told)
        return rows


def test_a_past_of_more_rows_than_are_kept_is_refused() -> None:
    walk = PortfolioWalk(facilities=9)
    log = FakeStoryLog(walk.entries)
    with pytest.raises(PastTooLarge, match="ask for one by its id"):
        PastLists(log, FoldLimits(domain_events=10_000, rows=8)).facilities(log.head())


def test_what_a_position_ahead_will_say_is_not_told() -> None:
    walk = PortfolioWalk()
    dr_event = walk.open_dr_event()
    log = FakeStoryLog(walk.entries)
    ahead = log.head() + 1
    with pytest.raises(PositionAhead, match=f"ends at position {log.head()}"):
        dr_event_as_of(log, dr_event.id, ahead)
    with pytest.raises(PositionAhead, match=f"as of {ahead} nothing"):
        PastLists(log).dr_events(ahead)
