"""What a DR event is settled from, by the states that the log gives."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from application.settlement.settled_event import (
    basis_of_dr_event,
    ended_event,
    inputs_digest,
    reasons_without_document,
    step_kw,
)
from application.settlement.shapes import EventFacilityInputs
from domain.dispatch import AdjustmentFigures, Dispatch, DispatchState, MeasuredLoad
from domain.dr_event import DREventState, EventPrice
from domain.program.settlement_rule import Energy, Results, SettlementRule
from domain.settlement.inputs import Commitment, EventFacility
from domain.settlement.quantities import rounding_of
from domain.settlement.rounding import decimal_text, exact
from domain.units import decimal_string
from tests.sample_values import DR_EVENT_ID, ENDS_AT, NOW, STARTS_AT, UTILITY, UTILITY_EVENT, notice
from tests.state_walks import dispatch_walk

RULE = SettlementRule(currency="USD", energy=Energy(rate="1.50"))
LATER = STARTS_AT + timedelta(minutes=50)
QUARTER = timedelta(minutes=15)


def load(kw: float = 400.0, **changed: Any) -> MeasuredLoad:
    values: dict[str, Any] = {
        "starts_at": STARTS_AT,
        "adjusted_kw": (500.0,) * 8,
        "metered_kw": (kw,) * 8,
        "method": "caiso-10-in-10",
        "adjustment": AdjustmentFigures(kind="none"),
        "tz": "America/New_York",
        "domain_event_id": UUID(int=9),
    }
    return MeasuredLoad(**(values | changed))


def dispatch(**changed: Any) -> DispatchState:
    state = dispatch_walk().aggregate.state
    values: dict[str, Any] = {
        "status": "restored",
        "was_committed": True,
        "measured": True,
        "measured_load": load(),
    }
    return replace(state, **(values | changed))


def dr_event(**changed: Any) -> DREventState:
    values: dict[str, Any] = {
        "dr_event_id": DR_EVENT_ID,
        "utility_id": UTILITY,
        "utility_event_id": UTILITY_EVENT,
        "status": "completed",
        "notice": notice(facility_ids=("fac-001",)),
        "dispatched": ("fac-001",),
        "plan_revision": 1,
        "measurements": 1,
    }
    return DREventState(**(values | changed))


def facility(state: DispatchState, **changed: Any) -> EventFacility:
    (found,) = ended_event(dr_event(**changed), {"fac-001": state}).facilities
    return found


def total(state: DispatchState, rule: SettlementRule = RULE, **changed: Any) -> str:
    settled = basis_of_dr_event(dr_event(**changed), rule, {"fac-001": state}, {}).settlement()
    return decimal_text(settled.total, 2)


def test_a_facility_that_served_is_settled_by_its_recorded_steps() -> None:
    found = basis_of_dr_event(dr_event(), RULE, {"fac-001": dispatch()}, {})
    assert found.dr_event.facilities == (
        EventFacilityInputs(facility_id="fac-001", tz="America/New_York", committed_kw="75.000"),
    )
    steps = found.steps["fac-001"]
    assert [step.starts_at for step in steps] == [STARTS_AT + QUARTER * n for n in range(8)]
    assert {(step.adjusted_kw, step.metered_kw) for step in steps} == {("500.000", "400.000")}
    assert decimal_text(found.settlement().total, 2) == "300.00"  # 200 kWh at 1.50


def test_the_dr_event_is_the_one_that_ended() -> None:
    prices = (EventPrice(starts_at=STARTS_AT, per_kwh="0.18"),)
    found = ended_event(dr_event(kind="test", prices=prices), {})
    assert (found.kind, found.status, found.starts_at, found.ends_at) == (
        "test",
        "completed",
        STARTS_AT,
        ENDS_AT,
    )
    assert [(one.starts_at, one.per_kwh) for one in found.prices] == [(STARTS_AT, "0.18")]


def test_an_opt_out_during_the_window_keeps_its_moment() -> None:
    state = dispatch(left="opted_out", left_at=LATER, ends_at=LATER)
    found = facility(state)
    assert (found.result, found.opted_out_at, found.ends_at) == ("opted_out", LATER, None)
    assert total(state) == "112.50"  # three whole quarter-hours
    zero = replace(RULE, results=Results(opted_out="zero"))
    assert total(state, zero) == "112.50"


def test_an_opt_out_before_the_start_is_left_out() -> None:
    found = facility(dispatch(left="opted_out", left_at=NOW, was_committed=False, measured_load=None))
    assert (found.result, found.opted_out_at) == ("opted_out", None)


@pytest.mark.parametrize("cause", ["preempted", "left_out", "cancelled"])
def test_what_was_delivered_before_the_utility_ended_it_counts(cause: str) -> None:
    state = dispatch(left=cause, left_at=LATER, ends_at=LATER)
    found = facility(state)
    assert (found.result, found.ends_at) == ("committed", LATER)
    assert total(state) == "112.50"
    assert facility(dispatch(left=cause, left_at=NOW, was_committed=False)).result == "excused"


def test_a_batch_that_we_end_counts_as_an_opt_out_of_those_that_had_shed() -> None:
    found = facility(dispatch(left="batch_aborted", left_at=LATER, ends_at=LATER))
    assert (found.result, found.opted_out_at) == ("opted_out", LATER)
    assert facility(dispatch(left="batch_aborted", left_at=LATER, was_committed=False)).result == "failed"


@pytest.mark.parametrize("changed", [{"was_committed": False}, {"failure": "the BMS refused"}])
def test_a_facility_that_never_shed_failed(changed: dict[str, Any]) -> None:
    assert facility(dispatch(**changed)).result == "failed"


def test_a_facility_without_a_part_in_the_plan_is_left_out_with_nothing_committed() -> None:
    changed = dr_event(notice=notice(facility_ids=("fac-001", "fac-002", "fac-003")), dispatched=("fac-001",))
    changed = replace(changed, opted_out_facilities=("fac-003",))
    found = ended_event(changed, {"fac-001": dispatch()}, {"fac-002": "Europe/Berlin"}).facilities
    assert [(one.facility_id, one.result, one.committed_kw) for one in found] == [
        ("fac-001", "committed", "75.000"),
        ("fac-002", "excused", "0"),
        ("fac-003", "opted_out", "0"),
    ]
    assert found[1].tz == "Europe/Berlin"


def test_without_any_plan_all_failed() -> None:
    found = ended_event(dr_event(plan_revision=0, dispatched=()), {}).facilities
    assert [one.result for one in found] == ["failed"]


def test_a_cancelled_dr_event_has_its_moment() -> None:
    changed = dr_event(status="cancelled_while_active", released_at=LATER)
    assert (ended_event(changed, {}).status, ended_event(changed, {}).ended_at) == (
        "cancelled_while_active",
        LATER,
    )
    before = basis_of_dr_event(dr_event(status="cancelled"), RULE, {"fac-001": dispatch()}, {})
    assert before.settlement().reasons == ("cancelled_before_start",)


def test_a_facility_that_joined_late_has_its_own_window() -> None:
    found = facility(dispatch(starts_at=LATER))
    assert (found.starts_at, found.ends_at) == (LATER, None)


def amended(at_minutes: int, kw: float) -> Dispatch.Amended:
    walk = dispatch_walk()
    state = walk.aggregate.state
    walk.aggregate.amend(
        replace(walk.provenance, recorded_at=STARTS_AT + timedelta(minutes=at_minutes)),
        plan_revision=2,
        starts_at=STARTS_AT,
        ends_at=ENDS_AT,
        expires_at=state.expires_at,
        target_kw=kw,
        zones=tuple(state.zones.values()),
        forecast_id=None,
        data_quality="full",
        hold=False,
    )
    found = next(one for one in walk.aggregate.collect_events() if isinstance(one, Dispatch.Amended))
    assert isinstance(found, Dispatch.Amended)
    return found


def test_a_plan_that_was_amended_during_the_window_commits_by_time() -> None:
    state = amended(30, 40.0).evolve(dispatch_walk().aggregate.state)
    found = facility(replace(state, was_committed=True))
    assert found.commitments == (
        Commitment(from_=STARTS_AT, kw="75.000"),
        Commitment(from_=STARTS_AT + timedelta(minutes=30), kw="40.000"),
    )


def test_a_plan_that_was_amended_before_the_start_commits_only_to_the_new_one() -> None:
    state = amended(-30, 40.0).evolve(dispatch_walk().aggregate.state)
    found = facility(replace(state, was_committed=True))
    assert (found.committed_kw, found.commitments) == ("40.000", ())


def test_a_dr_event_without_a_rule_has_no_document() -> None:
    assert reasons_without_document(dr_event(), None) == ("no_rule",)
    assert reasons_without_document(dr_event(), RULE) == ()


def test_the_digest_is_of_rule_event_and_steps() -> None:
    def digest(rule: SettlementRule = RULE, kw: float = 400.0, **changed: Any) -> str:
        states = {"fac-001": dispatch(measured_load=load(kw))}
        return inputs_digest(basis_of_dr_event(dr_event(**changed), rule, states, {}))

    others = [digest(replace(RULE, share="0.8")), digest(kw=401.0), digest(kind="test")]
    assert digest() == digest(kw=400.0001)
    assert len({digest(), *others}) == 4


@given(st.floats(-1e7, 1e7), st.sampled_from(["half_up", "half_even"]))
def test_a_step_is_the_shortest_decimal_rounded_as_the_rule_says(kw: float, mode: Any) -> None:
    for value in (kw, round(kw, 4), round(kw, 3)):
        rounding = rounding_of(replace(RULE, rounding=mode))
        found = step_kw(value, rounding)
        assert found is not None
        assert found == decimal_text(rounding.energy(exact(decimal_string(value))), 3)
        assert abs(Decimal(found) - Decimal(repr(value))) <= Decimal("0.0005")
