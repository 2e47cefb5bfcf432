"""Audits are folded again only if the log changed, and never answered without reading the log."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from domain.dr_event import DREvent
from interfaces.web.caching import audit_cache
from interfaces.web.caching.audit_cache import AuditDocumentCache
from projections.audit import replay as audit_replay
from projections.audit.replay import AuditDocument, DREventNotRecorded, audit_document
from projections.audit.stream_log import StreamEntry, StreamLogUnavailable, StreamSlice
from tests.fakes.stream_log import FakeStreamLog
from tests.property.projections.projected_logs import PortfolioWalk


@pytest.fixture
def walk() -> PortfolioWalk:
    made = PortfolioWalk()
    made.happy()
    return made


@pytest.fixture
def folds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of entries of each fold."""
    counted: list[int] = []
    replay: Callable[..., Any] = audit_replay.replay

    def counting(entries: list[StreamEntry], *others: Any, **named: Any) -> Any:
        counted.append(len(entries))
        return replay(entries, *others, **named)

    monkeypatch.setattr(audit_cache, "replay", counting)
    return counted


def test_an_unchanged_log_is_folded_once_and_an_added_entry_is_included(
    walk: PortfolioWalk, folds: list[int]
) -> None:
    log = FakeStreamLog(walk.entries)
    answers, dr_event = AuditDocumentCache(log), walk.dr_events[0]
    shorter = FakeStreamLog(walk.entries[:-1])
    log.entries, whole = shorter.entries, log.entries
    for _ in range(3):
        assert answers.read(dr_event.id, as_of=None) == expected(log, dr_event)
    assert len(folds) == 1
    log.entries = whole
    assert answers.read(dr_event.id, as_of=None) == expected(log, dr_event)
    walk.open_dr_event()  # another DR event, which still moves the position of the audit
    log.entries = FakeStreamLog(walk.entries).entries
    read = answers.read(dr_event.id, as_of=None)
    assert read.position == log.head() > whole[-1].position
    assert answers.read(dr_event.id, as_of=None) == expected(log, dr_event)


def test_an_entry_changed_in_the_log_is_shown_as_changed(walk: PortfolioWalk, folds: list[int]) -> None:
    log = FakeStreamLog(walk.entries)
    answers, dr_event = AuditDocumentCache(log), walk.dr_events[0]
    assert b"mallory" not in msgspec.json.encode(answers.read(dr_event.id, as_of=None))
    place = next(n for n, e in enumerate(log.entries) if isinstance(e.domain_event, DREvent.Accepted))
    entry = log.entries[place]
    changed = msgspec.structs.replace(entry.domain_event, actor="mallory")
    log.entries[place] = StreamEntry(entry.position, changed)
    told = answers.read(dr_event.id, as_of=None)
    assert told == expected(log, dr_event)
    assert b"mallory" in msgspec.json.encode(told)
    assert len(folds) == 2


def test_each_as_of_position_is_cached_separately_and_within_bounds(
    walk: PortfolioWalk, folds: list[int]
) -> None:
    log = FakeStreamLog(walk.entries)
    positions = [
        entry.position for entry in log.entries if entry.domain_event.originator_id == walk.dr_events[0].id
    ]
    answers = AuditDocumentCache(log, max_entries=len(log.entries))
    for position in positions + positions[::-1]:
        told = answers.read(walk.dr_events[0].id, as_of=position)
        assert told.position == position
        assert told == audit_document(log, walk.dr_events[0].id, as_of=position)
        assert answers._audits.counts().size <= len(log.entries)
    assert len(positions) < len(folds) <= 2 * len(positions)


def test_an_audit_requested_repeatedly_stays_cached_longer_than_those_requested_once(
    walk: PortfolioWalk, folds: list[int]
) -> None:
    log, dr_event = FakeStreamLog(walk.entries), walk.dr_events[0].id
    positions = [e.position for e in log.entries if e.domain_event.originator_id == dr_event]
    whole, once = positions[-1], positions[:5]
    for position in (whole, *once):
        AuditDocumentCache(log).read(dr_event, as_of=position)
    most, *others = folds
    assert sum(others) > max(others) + 1
    folds.clear()
    answers = AuditDocumentCache(log, max_entries=most + max(others) + 2 * len(walk.facilities) + 1)
    for position in once:
        answers.read(dr_event, as_of=whole)
        answers.read(dr_event, as_of=position)
    answers.read(dr_event, as_of=whole)
    assert folds == [most, *others]
    assert answers._audits.counts().size == sum(told.size for _, told in answers._audits.items())


def test_an_audit_too_large_to_be_cached_evicts_nothing(walk: PortfolioWalk, folds: list[int]) -> None:
    log, dr_event = FakeStreamLog(walk.entries), walk.dr_events[0].id
    positions = [e.position for e in log.entries if e.domain_event.originator_id == dr_event]
    answers = AuditDocumentCache(log, max_entries=1 + len(walk.facilities))
    for position in (positions[0], positions[-1], positions[0]):
        answers.read(dr_event, as_of=position)
    assert len(folds) == 2


def test_an_audit_takes_one_read_while_its_set_of_streams_is_unchanged(
    walk: PortfolioWalk,
) -> None:
    log, dr_event = CountedLog(walk.entries), walk.dr_events[0]
    whole, answers = log.entries, AuditDocumentCache(log)

    def reads(as_of: int | None) -> int:
        log.reads = 0
        told = answers.read(dr_event.id, as_of=as_of)
        reads = log.reads
        assert told == audit_document(log, dr_event.id, as_of=as_of)
        return reads

    opened = next(n for n, e in enumerate(whole) if isinstance(e.domain_event, DREvent.Opened))
    log.entries = whole[: opened + 1]
    assert [reads(None), reads(None)] == [1, 1]
    log.entries = whole  # the DR event now has facilities
    assert [reads(None), reads(None)] == [2, 1]
    assert reads(whole[opened].position) == 1  # the streams of the current audit are reused for the past
    log.entries = whole[: opened + 1]  # cannot happen to a real log: the streams no longer exist
    assert [reads(None), reads(None)] == [2, 1]


class CountedLog(FakeStreamLog):
    reads = 0

    def read_streams(self, *args: Any, **named: Any) -> StreamSlice:
        self.reads += 1
        return super().read_streams(*args, **named)


def test_no_audit_is_answered_while_the_log_is_unreachable(
    walk: PortfolioWalk, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = FakeStreamLog(walk.entries)
    answers = AuditDocumentCache(log)
    answers.read(walk.dr_events[0].id, as_of=None)
    with pytest.raises(DREventNotRecorded):
        answers.read(uuid4(), as_of=None)

    def unavailable(*_: Any, **__: Any) -> Any:
        raise StreamLogUnavailable

    monkeypatch.setattr(log, "read_streams", unavailable)
    with pytest.raises(StreamLogUnavailable):
        answers.read(walk.dr_events[0].id, as_of=None)


def expected(log: FakeStreamLog, dr_event: DREvent) -> AuditDocument:
    return audit_document(log, dr_event.id)
