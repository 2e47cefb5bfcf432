"""A replay from the log agrees with the read models at every moment."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.ports.event_store.event_log import LogEntry
from domain.dr_event import DREvent
from projections.audit.replay import DREventNotRecorded, audit_document, resolve_dr_event
from tests.fakes.read_models import FakeReadModels
from tests.fakes.stream_log import FakeStreamLog
from tests.property.projections.projected_logs import EPOCH, UTILITY, PortfolioWalk, logs


def _dr_events(entries: list[LogEntry]) -> list[DREvent.Opened]:
    return [entry.domain_event for entry in entries if isinstance(entry.domain_event, DREvent.Opened)]


@given(entries=logs())
def test_the_steps_of_a_replay_are_the_rows_of_the_audit_trail(entries: list[LogEntry]) -> None:
    models, log = FakeReadModels(entries), FakeStreamLog(entries)
    for opened in _dr_events(entries):
        document = audit_document(log, opened.originator_id)
        filters = {"dr_event_id": str(opened.originator_id)}
        rows = models.audit_trail.listed(filters=filters, limit=1000).rows
        # The walk uses the latest domain event as the cause, which may belong to another DR event.
        own = {row.domain_event_id for row in rows}
        assert [step.domain_event_id for step in document.steps] == [row.domain_event_id for row in rows]
        for step, row in zip(document.steps, rows, strict=True):
            assert step == row or row.caused_by.causation_id not in own


@given(entries=logs(), moment=st.integers(0, 12 * 3600 * 10))
def test_a_replay_as_of_a_moment_is_the_fold_of_the_log_recorded_until_then(
    entries: list[LogEntry], moment: int
) -> None:
    as_of = EPOCH + timedelta(milliseconds=moment)
    prefix: list[LogEntry] = []
    for entry in entries:
        if entry.domain_event.recorded_at > as_of:
            break
        prefix.append(entry)
    models, log = FakeReadModels(prefix), FakeStreamLog(entries)
    known = {opened.originator_id for opened in _dr_events(prefix)}
    for opened in _dr_events(entries):
        if opened.originator_id not in known:
            with pytest.raises(DREventNotRecorded, match="as of"):
                audit_document(log, opened.originator_id, as_of=as_of)
            continue
        document = audit_document(log, opened.originator_id, as_of=as_of)
        row = models.dr_events.get(str(opened.originator_id))
        assert row is not None
        assert document.dr_event.status == row.status
        filters = {"dr_event_id": str(opened.originator_id)}
        dispatches = models.dispatches.listed(filters=filters).rows
        assert document.dispatches == {item.facility_id: item.state for item in dispatches}
        reserved = [
            facility.facility_id
            for facility in models.facilities.listed().rows
            if any(held.dr_event_id == opened.originator_id for held in facility.reservations)
        ]
        assert list(document.reserved_facilities) == reserved
        assert all(step.recorded_at <= as_of for step in document.steps)


@given(entries=logs(60))
def test_a_replay_at_the_end_and_at_the_last_moment_are_the_same(entries: list[LogEntry]) -> None:
    log = FakeStreamLog(entries)
    latest = max(entry.domain_event.recorded_at for entry in entries)
    for opened in _dr_events(entries):
        now = audit_document(log, opened.originator_id)
        then = audit_document(log, opened.originator_id, as_of=latest)
        assert (now.steps, now.dr_event, now.dispatches) == (then.steps, then.dr_event, then.dispatches)
        assert now.position == then.position == log.head()


def test_every_step_has_its_actor_description_reason_and_cause() -> None:
    walk = PortfolioWalk()
    dr_event = walk.happy()
    walk.do(dr_event.request_callback, kind="completed", body="{}")
    document = audit_document(FakeStreamLog(walk.entries), dr_event.id)
    first, accepted, *others = document.steps
    assert (first.who, first.topic) == (f"utility:{UTILITY}", "dr-event.opened.v1")
    assert first.caused_by.kind == "command"
    assert accepted.what.startswith("Accepted: 30.0 kW from 3 facilities")
    assert {step.who for step in others} >= {"saga:dispatch", "worker:decide", "worker:dispatch"}
    by_id = {step.domain_event_id: step for step in document.steps}
    for step in others:
        if step.caused_by.kind == "domain_event":
            cause = by_id[step.caused_by.causation_id]
            assert step.caused_by.what == cause.what
            assert cause.position < step.position
    assert document.dr_event == dr_event.state
    assert document.dispatches == {
        item.state.facility_id: item.state for item in walk.dispatches_of(dr_event)
    }
    assert document.reserved_facilities == ()


def test_a_dr_event_is_resolved_by_our_id_and_by_the_id_of_the_utility() -> None:
    walk = PortfolioWalk()
    dr_event = walk.open_dr_event()
    log = FakeStreamLog(walk.entries)
    assert resolve_dr_event(log, "UTIL-1") == dr_event.id
    assert resolve_dr_event(log, str(dr_event.id)) == dr_event.id
    with pytest.raises(DREventNotRecorded, match="dr-events list"):
        resolve_dr_event(log, "UTIL-2")


def test_the_id_of_another_kind_of_stream_is_not_resolved() -> None:
    walk = PortfolioWalk()
    dr_event = walk.happy()
    log = FakeStreamLog(walk.entries)
    streams = {entry.domain_event.originator_id for entry in walk.entries} - {dr_event.id}
    assert len(streams) > 3
    for stream in streams:
        with pytest.raises(DREventNotRecorded):
            audit_document(log, stream)


def test_an_id_that_two_utilities_use_is_ambiguous() -> None:
    walk = PortfolioWalk()
    first = walk.open_dr_event()
    provenance = walk.provenance(tenant="util-2")
    second = DREvent.open(provenance, utility_id="util-2", utility_event_id="UTIL-1")
    walk.log.save(second)
    with pytest.raises(DREventNotRecorded, match=f"{first.id}, {second.id}"):
        resolve_dr_event(FakeStreamLog(walk.entries), "UTIL-1")
