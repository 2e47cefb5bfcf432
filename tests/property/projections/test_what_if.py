"""A what-if changes only what is requested; without a change it agrees with the recorded DR event."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from application.ports.event_store.event_log import LogEntry
from domain.allocation.proportional_split import RULES, split
from domain.dr_event import DREvent
from projections.as_of.what_if import Change, NothingPlanned, NotInThePlan, RemeasuredResult, what_if
from projections.as_of.what_if_document import Part
from projections.audit.replay import AuditDocument, audit_document
from tests.fakes.stream_log import FakeStreamLog
from tests.property.projections.projected_logs import PortfolioWalk, logs

TOLERANCE_KW = 1e-6


def _planned(entries: list[LogEntry]) -> list[AuditDocument]:
    log = FakeStreamLog(entries)
    opened = [e.domain_event.originator_id for e in entries if isinstance(e.domain_event, DREvent.Opened)]
    documents = [audit_document(log, dr_event_id) for dr_event_id in opened]
    return [document for document in documents if document.dr_event.targets]


changes = st.builds(
    Change,
    target_kw=st.none() | st.floats(0, 100),
    allocation=st.none() | st.sampled_from(RULES),
    policy=st.none() | st.sampled_from(["continue", "reallocate", "abort"]),
)


@given(entries=logs())
def test_without_a_change_the_hypothetical_result_equals_the_recorded_one(entries: list[LogEntry]) -> None:
    for document in _planned(entries):
        found = what_if(document, Change())
        assert found.recorded == found.hypothetical
        assert all(item.recorded == item.hypothetical for item in found.facilities)


@given(entries=logs(), change=changes, number=st.integers(0, 5))
def test_no_share_is_above_its_headroom_and_an_excluded_facility_has_none(
    entries: list[LogEntry], change: Change, number: int
) -> None:
    for document in _planned(entries):
        names = sorted(document.dispatches)
        left_out = tuple(names[:1]) if number == 0 else ()
        asked = Change(
            without=left_out, target_kw=change.target_kw, allocation=change.allocation, policy=change.policy
        )
        found = what_if(document, asked)
        totals = found.hypothetical
        for item in found.facilities:
            part = item.hypothetical
            if item.facility_id in left_out:
                assert part == Part(outcome="left_out", target_kw=0.0, delivered_kw=0.0)
            elif asked.of_the_plan:
                assert part.target_kw <= (item.headroom_kw or 0.0) + TOLERANCE_KW
        if asked.of_the_plan:
            assert totals.planned_kw <= totals.target_kw + TOLERANCE_KW
            assert math.isclose(totals.planned_kw + totals.missing_kw, totals.target_kw, abs_tol=TOLERANCE_KW)


@given(
    rule=st.sampled_from(RULES),
    total_kw=st.floats(0, 1_000),
    limits_kw=st.dictionaries(st.text(max_size=3), st.floats(0, 200), max_size=8),
)
def test_every_rule_allocates_as_much_as_the_limits_allow(
    rule: Any, total_kw: float, limits_kw: dict[str, float]
) -> None:
    shares = split(rule, total_kw, limits_kw)
    assert shares.keys() == limits_kw.keys()
    assert all(0 <= shares[key] <= limits_kw[key] for key in shares)
    expected = min(total_kw, math.fsum(limits_kw.values()))
    assert math.isclose(math.fsum(shares.values()), expected, rel_tol=1e-9, abs_tol=TOLERANCE_KW)


def test_the_rules_give_different_shares() -> None:
    limits = {"a": 10.0, "b": 30.0, "c": 60.0}
    assert split("proportional", 50.0, limits) == {"a": 5.0, "b": 15.0, "c": 30.0}
    assert split("equal", 50.0, limits) == {"a": 10.0, "b": 20.0, "c": 20.0}
    assert split("largest-first", 70.0, limits) == {"a": 0.0, "b": 10.0, "c": 60.0}


@pytest.fixture(scope="module")
def served() -> AuditDocument:
    """Three facilities of 12 kW headroom at 10.1 kW each; all served and measured."""
    walk = PortfolioWalk()
    dr_event = walk.happy()
    return audit_document(FakeStreamLog(walk.entries), dr_event.id)


def part_of(document: AuditDocument, facility_id: str, change: Change, **others: Any) -> Part:
    found = {item.facility_id: item for item in what_if(document, change, **others).facilities}
    return found[facility_id].hypothetical


def test_a_served_facility_delivers_the_recorded_share_of_another_target(served: AuditDocument) -> None:
    recorded = part_of(served, "fac-001", Change())
    assert (recorded.outcome, recorded.target_kw) == ("served", 10.1)
    assert recorded.delivered_kw is not None
    half = part_of(served, "fac-001", Change(target_kw=15.15))
    assert half.target_kw == pytest.approx(5.05)
    assert half.delivered_kw == pytest.approx(recorded.delivered_kw / 2)


def test_without_a_facility_the_others_take_its_share_within_their_headroom(served: AuditDocument) -> None:
    found = what_if(served, Change(without=("fac-002",), target_kw=22.0))
    targets = {item.facility_id: item.hypothetical.target_kw for item in found.facilities}
    assert targets == {"fac-001": pytest.approx(11.0), "fac-002": 0.0, "fac-003": pytest.approx(11.0)}
    short = what_if(served, Change(without=("fac-001", "fac-002"), target_kw=22.0))
    assert (short.hypothetical.planned_kw, short.hypothetical.missing_kw) == (12.0, 10.0)


def test_another_baseline_replaces_the_recorded_measurement(served: AuditDocument) -> None:
    again = {
        "fac-001": RemeasuredResult(delivered_kw=1.5, same_readings=True),
        "fac-002": RemeasuredResult(delivered_kw=None, why="too few days", same_readings=False),
        "fac-003": RemeasuredResult(delivered_kw=2.5),
    }
    change = Change(baseline="high-4-of-5")
    found = what_if(served, change, remeasured=again)
    assert part_of(served, "fac-002", change, remeasured=again).why == "too few days"
    assert found.hypothetical.delivered_kw == 4.0
    assert found.hypothetical.unmeasured_facilities == ("fac-002",)
    assert found.recorded.unmeasured_facilities == ()
    assert found.remeasured == again


@pytest.fixture(scope="module")
def one_failed(served: AuditDocument) -> AuditDocument:
    """Like `served`, but fac-002 failed at prepare."""
    failed = replace(
        served.dispatches["fac-002"],
        status="compensated",
        was_committed=False,
        failure="prepare did not succeed",
        delivered_kw=None,
    )
    return replace(served, dispatches={**served.dispatches, "fac-002": failed})


def test_continue_loses_the_share_of_the_failed_facility(one_failed: AuditDocument) -> None:
    found = what_if(one_failed, Change(policy="continue"))
    assert found.hypothetical == found.recorded
    assert found.recorded.lost_kw == pytest.approx(10.1)
    assert part_of(one_failed, "fac-002", Change(policy="continue")).why == "prepare did not succeed"


def test_reallocate_gives_the_failed_share_to_the_remaining_headroom(one_failed: AuditDocument) -> None:
    found = what_if(one_failed, Change(policy="reallocate"))
    targets = {item.facility_id: item.hypothetical.target_kw for item in found.facilities}
    assert targets == {"fac-001": pytest.approx(12.0), "fac-002": 0.0, "fac-003": pytest.approx(12.0)}
    assert found.hypothetical.lost_kw == 0.0
    assert found.hypothetical.delivered_kw is not None
    assert found.recorded.delivered_kw is not None
    assert found.hypothetical.delivered_kw > found.recorded.delivered_kw


def test_abort_undoes_the_whole_batch_if_one_facility_failed(
    one_failed: AuditDocument, served: AuditDocument
) -> None:
    found = what_if(one_failed, Change(policy="abort"))
    assert {item.hypothetical.outcome for item in found.facilities} == {"failed", "compensated"}
    assert found.hypothetical.delivered_kw == 0.0
    assert found.hypothetical.shortfall_kw == found.hypothetical.target_kw
    calm = what_if(served, Change(policy="abort"))
    assert calm.hypothetical == calm.recorded
    spared = what_if(one_failed, Change(policy="abort", without=("fac-002",)))
    assert {item.hypothetical.outcome for item in spared.facilities} == {"served", "left_out"}


def test_an_invalid_change_is_refused(served: AuditDocument) -> None:
    with pytest.raises(NotInThePlan, match="fac-009 is not in the plan"):
        what_if(served, Change(without=("fac-009",)))
    walk = PortfolioWalk()
    dr_event = walk.open_dr_event()
    walk.accept(dr_event)
    with pytest.raises(NothingPlanned, match="is accepted and has no plan"):
        what_if(audit_document(FakeStreamLog(walk.entries), dr_event.id), Change(policy="abort"))
