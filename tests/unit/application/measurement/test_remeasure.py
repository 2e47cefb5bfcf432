"""Remeasurement after corrected readings, and its time limit."""

import json
from datetime import datetime, timedelta

import pytest

from application.commands.dispatch import (
    RecordMeasurement,
    RecordNotMeasurable,
    RecordRemeasurement,
    WithdrawMeasurement,
)
from application.commands.dr_event import MeasureDREvent
from domain.dispatch import REMEASURED_FOR, Dispatch
from domain.dr_event import DREvent
from domain.errors import MeasurementClosed, NotAllowedNow
from domain.event_sourcing.aggregate import DomainEvent
from tests.given_when_then import Scenario, fact, given
from tests.in_process_system import InProcessSystem
from tests.measured_figures import figures
from tests.sample_values import DR_EVENT_ID, ENDS_AT
from tests.state_walks import dispatch_walk

CORRECTED_AT = ENDS_AT + timedelta(days=3)
MEASURED = RecordMeasurement(dr_event_id=DR_EVENT_ID, facility_id="fac-001", figures=figures())


def again(delivered_kw: float, data_hash: str, figures_hash: str) -> RecordRemeasurement:
    return RecordRemeasurement(
        dr_event_id=DR_EVENT_ID,
        facility_id="fac-001",
        figures=figures(delivered_kw, data_hash, figures_hash=figures_hash),
        corrected_at=CORRECTED_AT,
        reason="readings were corrected",
    )


def withdrawal() -> WithdrawMeasurement:
    return WithdrawMeasurement(
        dr_event_id=DR_EVENT_ID, facility_id="fac-001", corrected_at=CORRECTED_AT, reason="all of it was bad"
    )


def committed() -> list[DomainEvent]:
    walk = dispatch_walk()
    for step in ("prepare", "success", "commit", "success"):
        walk.take(step)
    return list(walk.recorded)


def measured(at: datetime = CORRECTED_AT) -> Scenario:
    return given(committed()).after(MEASURED).at(at)


def test_a_remeasurement_is_recorded_as_a_revision_with_the_previous_value() -> None:
    measured().when(again(66.0, "b", "B")).then(
        fact(
            Dispatch.Remeasured,
            revision=2,
            previous_kw=70.0,
            figures=figures(66.0, "b"),
            corrected_at=CORRECTED_AT,
            reason="readings were corrected",
        )
    )


def test_every_further_correction_is_a_new_revision() -> None:
    measured().after(again(66.0, "b", "B")).when(again(68.0, "c", "C")).then(
        fact(Dispatch.Remeasured, revision=3, previous_kw=66.0, figures=figures(68.0, "c"))
    )


@pytest.mark.parametrize("figures_hash", ["A", "B"])
def test_the_same_readings_record_nothing(figures_hash: str) -> None:
    measured().when(again(70.0, "a", figures_hash)).then()


def test_other_readings_are_recorded_although_they_change_no_figure() -> None:
    """So that the readings in force are always those whose digest is recorded."""
    measured().when(again(70.0, "b", "A")).then(fact(Dispatch.Remeasured, revision=2))


def test_readings_that_came_too_late_for_the_first_measurement_make_it_measurable() -> None:
    walk = dispatch_walk()
    for step in ("prepare", "success", "commit", "success", "not_measurable"):
        walk.take(step)
    given(walk.recorded).at(CORRECTED_AT).when(again(66.0, "b", "B")).then(
        fact(Dispatch.Remeasured, revision=2, previous_kw=None, figures=figures(66.0, "b"))
    )


def test_a_measurement_is_withdrawn_once_and_may_be_measured_again() -> None:
    scenario = measured()
    scenario.when(withdrawal()).then(fact(Dispatch.MeasurementWithdrawn, revision=2, previous_kw=70.0))
    scenario.when(withdrawal()).then()
    scenario.when(again(70.0, "a", "A")).then(fact(Dispatch.Remeasured, revision=3, previous_kw=None))


def test_a_measurement_may_be_corrected_until_its_last_day_and_is_then_final() -> None:
    last = ENDS_AT + REMEASURED_FOR
    measured(last).when(again(66.0, "b", "B")).then(fact(Dispatch.Remeasured))
    late = measured(last + timedelta(seconds=1))
    late.when(again(66.0, "b", "B")).refused(MeasurementClosed, saying="is final since")
    late.when(withdrawal()).refused(MeasurementClosed)
    late.when(again(70.0, "a", "A")).then()


def test_nothing_is_corrected_before_it_is_measured() -> None:
    given(committed()).at(CORRECTED_AT).when(again(66.0, "b", "B")).refused(
        NotAllowedNow, saying="not measured"
    )


def test_the_dr_event_is_summed_again_with_one_callback_for_each_sum() -> None:
    there = InProcessSystem.accepted("fac-001", "fac-002").until("completed")
    there.do(
        MEASURED, RecordNotMeasurable(dr_event_id=DR_EVENT_ID, facility_id="fac-002", reason="no readings")
    )
    for command in (again(66.0, "b", "B"), again(66.0, "c", "B"), withdrawal()):
        there.do(command)
    sums = [
        (e.previous_kw, e.delivered_kw, e.unmeasured_facilities)
        for e in there.recorded(DREvent.Remeasured)
        if isinstance(e, DREvent.Remeasured)
    ]
    assert sums == [(70.0, 66.0, ("fac-002",)), (66.0, None, ("fac-001", "fac-002"))]
    told = [e for e in there.recorded(DREvent.CallbackRequested) if isinstance(e, DREvent.CallbackRequested)]
    bodies = [json.loads(e.body) for e in told if e.kind == "measured"]
    assert [(b["delivered_kw"], b["measurement_revision"]) for b in bodies] == [
        (70.0, 1),
        (66.0, 2),
        (None, 3),
    ]
    assert [(b["kind"], b["settlement_status"]) for b in bodies[1:]] == [
        ("measured", "measured"),
        ("not_measurable", "not_measurable"),
    ]
    assert bodies[-1]["unmeasured_reasons"] == {"no readings": 1, "all of it was bad": 1}
    assert there.dr_event.settlement_status == "not_measurable"
    there.scenario.when(MeasureDREvent(dr_event_id=DR_EVENT_ID)).then()
