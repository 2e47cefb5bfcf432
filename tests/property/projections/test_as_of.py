"""A row as of a position or moment is the fold of the log up to it. A row as of now is the live row."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application.ports.event_store.event_log import LogEntry
from domain.dr_event import DREvent
from interfaces.web.caching.prefix_end_cache import PrefixEndCache
from projections.as_of.dr_event import dr_event_as_of
from projections.as_of.lists import (
    MAX_STATES,
    FoldLimits,
    HistoricalLists,
    HistoryStillLoading,
    PastTooLarge,
    _unused,
)
from projections.audit.replay import DREventNotRecorded, audit_document
from projections.audit.stream_log import AsOf, PositionAhead, StreamEntry, StreamLogUnavailable
from projections.engine.memory_rows import Entry, MemoryRows
from projections.facility import FacilityRow
from projections.queries.memory_view import MemoryView
from tests.fakes.read_models import FakeReadModels
from tests.fakes.stream_log import FakeStreamLog
from tests.property.projections.projected_logs import EPOCH, PortfolioWalk, logs
from tests.sizes import examples


def _opened(entries: Iterable[Entry]) -> list[DREvent.Opened]:
    return [entry.domain_event for entry in entries if isinstance(entry.domain_event, DREvent.Opened)]


def _agree(log: FakeStreamLog, prefix: list[LogEntry], as_of: AsOf) -> None:
    """Assert that every historical read equals the read models of the prefix."""
    models = FakeReadModels(prefix)
    lists = HistoricalLists(log)
    assert lists.dr_events(as_of).rows.listed() == models.dr_events.listed()
    assert lists.facilities(as_of).rows.listed() == models.facilities.listed()
    assert lists.portfolio(as_of).rows.listed() == models.portfolio.listed()
    for opened in _opened(log.entries):
        row = models.dr_events.get(str(opened.originator_id))
        if row is None:
            with pytest.raises(DREventNotRecorded, match="as of"):
                dr_event_as_of(log, opened.originator_id, as_of)
            with pytest.raises(DREventNotRecorded, match="as of"):
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
def test_a_read_as_of_a_position_is_the_fold_of_the_log_up_to_it(
    entries: list[LogEntry], part: float
) -> None:
    position = round(part * entries[-1].position)
    _agree(FakeStreamLog(entries), [entry for entry in entries if entry.position <= position], position)


@given(entries=logs(), moment=st.integers(0, 12 * 3600 * 10))
def test_a_read_as_of_a_moment_is_the_fold_of_the_log_recorded_until_then(
    entries: list[LogEntry], moment: int
) -> None:
    as_of = EPOCH + timedelta(milliseconds=moment)
    prefix: list[LogEntry] = []
    for entry in entries:
        if entry.domain_event.recorded_at > as_of:
            break
        prefix.append(entry)
    _agree(FakeStreamLog(entries), prefix, as_of)


@given(entries=logs())
def test_a_read_as_of_now_is_the_live_row(entries: list[LogEntry]) -> None:
    log, latest = FakeStreamLog(entries), max(entry.domain_event.recorded_at for entry in entries)
    for now in (log.head(), latest):
        _agree(log, entries, now)


@settings(max_examples=examples(15))
@given(entries=logs(), parts=st.lists(st.floats(0, 1), min_size=2, max_size=4), most=st.integers(5, 40))
def test_historical_lists_do_not_depend_on_the_order_of_reads(
    entries: list[LogEntry], parts: list[float], most: int
) -> None:
    log = FakeStreamLog(entries)
    cached, bounded = HistoricalLists(log), HistoricalLists(log, FoldLimits(domain_events=most, rows=10_000))
    for part in parts:
        position = round(part * entries[-1].position)
        models = FakeReadModels(entry for entry in entries if entry.position <= position)
        assert cached.facilities(position).rows.listed() == models.facilities.listed()
        assert cached.portfolio(position).rows.listed() == models.portfolio.listed()
        assert folded_to_the_end(bounded, position).listed() == models.facilities.listed()


def folded_to_the_end(lists: HistoricalLists, position: int) -> MemoryView[FacilityRow]:
    """Read until the fold is complete; each call continues where the last one stopped."""
    told: list[str] = []
    while True:
        try:
            rows = lists.facilities(position).rows
        except HistoryStillLoading as error:
            told.append(str(error))
            continue
        assert len(told) == len(set(told))
        assert all(f"of {position};" in one for one in told)
        return rows


def test_a_history_of_too_many_rows_is_refused() -> None:
    walk = PortfolioWalk(facilities=9)
    log = FakeStreamLog(walk.entries)
    with pytest.raises(PastTooLarge, match="ask for one by its id"):
        HistoricalLists(log, FoldLimits(domain_events=10_000, rows=8)).facilities(log.head())


class CountedLog(FakeStreamLog):
    """Counts the entries that are read, and can become unavailable after a number of them."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        super().__init__(entries)
        self.read = self.ends = 0
        self.away_after: int | None = None

    def entries_about(self, topics: Sequence[str], *, until: int, after: int = 0) -> Iterator[StreamEntry]:
        for number, entry in enumerate(super().entries_about(topics, until=until, after=after)):
            if number == self.away_after:
                raise StreamLogUnavailable
            self.read += 1
            yield entry

    def prefix_end(self, as_of: datetime) -> int:
        self.ends += 1
        return super().prefix_end(as_of)


@pytest.fixture
def long() -> CountedLog:
    walk = PortfolioWalk(facilities=9)
    for _ in range(3):
        walk.happy()
    return CountedLog(walk.entries)


def test_a_fold_continues_after_reads_of_other_positions(long: CountedLog) -> None:
    head, most = long.head(), 10
    lists = HistoricalLists(long, FoldLimits(domain_events=most, rows=10_000))
    HistoricalLists(long).dr_events(head)
    needed, long.read = long.read, 0
    for _ in range(needed // most):
        with pytest.raises(HistoryStillLoading):
            lists.dr_events(head)
        for other in range(6):
            lists.dr_events(other)
    assert lists.dr_events(head).position == head


def test_a_fold_continues_after_the_log_was_unavailable(long: CountedLog) -> None:
    HistoricalLists(long).dr_events(long.head())
    needed, long.read = long.read, 0
    lists, long.away_after = HistoricalLists(long), needed // 2
    with pytest.raises(StreamLogUnavailable):
        lists.dr_events(long.head())
    long.away_after = None
    assert (
        lists.dr_events(long.head()).rows.listed()
        == HistoricalLists(long).dr_events(long.head()).rows.listed()
    )
    assert long.read == 2 * needed


def test_the_log_position_of_a_past_moment_is_cached_and_that_of_the_present_is_not(long: CountedLog) -> None:
    lists, latest = (
        HistoricalLists(PrefixEndCache(long)),
        max(entry.domain_event.recorded_at for entry in long.entries),
    )
    earlier = long.entries[20].domain_event.recorded_at
    for _ in range(3):
        assert lists.facilities(earlier).position == FakeStreamLog(long.entries).prefix_end(earlier)
    assert long.ends == 1
    whole, long.entries = long.entries, long.entries[:-1]
    assert lists.facilities(latest).position == long.head()
    long.entries = whole
    assert lists.facilities(latest).position == long.head()


def test_historical_rows_are_sorted_once_for_all_pages(
    long: CountedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    sorts: list[object] = []
    listed = MemoryRows.listed

    def counted(rows: MemoryRows[Any]) -> Iterator[tuple[str, str, Any]]:
        sorts.append(rows)
        return listed(rows)

    monkeypatch.setattr(MemoryRows, "listed", counted)
    lists, seen, cursor = HistoricalLists(long), list[str](), None
    while len(seen) < 9:
        page = lists.facilities(long.head()).rows.listed(cursor=cursor, limit=2)
        seen += [row.facility_id for row in page.rows]
        cursor = page.next_cursor
    assert cursor is None
    assert seen == sorted(set(seen))
    assert len(sorts) == 1


def test_each_cached_state_and_the_whole_cache_have_a_size_limit(
    long: CountedLog,
) -> None:
    def bounded_lists(row_bytes: int) -> HistoricalLists:
        return HistoricalLists(long, FoldLimits(domain_events=10_000, rows=10_000, row_bytes=row_bytes))

    with pytest.raises(PastTooLarge, match=r"more than 10000 rows or 500 bytes .*; ask for one by its id"):
        bounded_lists(500).dr_events(long.head())
    lists, sizes = bounded_lists(15_000), list[int]()
    for position in range(0, long.head(), 7):
        lists.dr_events(position)
        sizes = [state[0].size for state in _unused(lists._dr_events._states)]
        rows = lists._dr_events._states[position][0]
        assert rows.size == sum(len(msgspec.msgpack.encode(row)) for row in rows.by_key.values())
        assert sum(sizes) <= 15_000
    assert 1 < len(sizes) <= MAX_STATES


def test_a_position_ahead_of_the_log_is_refused() -> None:
    walk = PortfolioWalk()
    dr_event = walk.open_dr_event()
    log = FakeStreamLog(walk.entries)
    ahead = log.head() + 1
    with pytest.raises(PositionAhead, match=f"ends at position {log.head()}"):
        dr_event_as_of(log, dr_event.id, ahead)
    with pytest.raises(PositionAhead, match=f"position {ahead} is not recorded"):
        HistoricalLists(log).dr_events(ahead)
