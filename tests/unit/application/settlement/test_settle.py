"""The command that settles a DR event: what it records, its document, and what happens to a process that is killed."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from application.commands.dispatch import RecordNotMeasurable, WithdrawMeasurement
from application.commands.dr_event import CancelDREvent
from application.commands.program import AgreeProgram
from application.settlement.document import digest_of, recomputed
from application.settlement.resettled import same_figures
from domain.dr_event import DREvent
from domain.errors import NotAllowedNow, SettlementFinal, SettlementImpossible, SettlementWaits
from domain.program.settlement_rule import Deadline, Energy, SettlementRule
from tests.given_when_then import fact
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID, ENDS_AT, program_entry
from tests.settled_system import (
    MEASURE,
    RULE,
    SETTLE,
    completed,
    corrected_to,
    in_force,
    measured,
    measured_as,
)

BY_NEWEST = replace(SETTLE, by_newest_rule=True, why="a new rate was agreed")


def agree(rule: SettlementRule) -> AgreeProgram:
    return AgreeProgram(entry=program_entry(settlement=rule))


def test_a_measured_dr_event_is_settled_with_its_document() -> None:
    there = measured()
    outcome = there.scenario.when(SETTLE).then(fact(DREvent.Settled, why=SETTLE.why))
    figures = outcome.reply.figures
    assert (outcome.reply.revision, outcome.reply.recorded) == (0, True)
    assert (figures.status, figures.total, figures.currency) == ("settled", "300.00", "USD")
    assert (figures.program_version, figures.final_at) == (1, ENDS_AT + timedelta(days=60))
    document = in_force(there)
    assert digest_of(document) == figures.digest
    assert (document.total, document.revision, document.resettlement) == ("300.00", 0, None)
    assert [(one.facility_id, one.gross) for one in document.facilities] == [
        ("fac-001", "180.00"),
        ("fac-002", "120.00"),
    ]
    assert same_figures(recomputed(document), document)


def test_the_document_tells_where_each_baseline_comes_from() -> None:
    there = measured()
    there.scenario.when(SETTLE)
    baseline = in_force(there).facilities[0].baseline
    assert baseline is not None
    load = there.dispatch("fac-001").measured_load
    assert load is not None
    assert (baseline.method, baseline.domain_event_id) == ("caiso-10-in-10", str(load.domain_event_id))


def test_the_same_command_again_records_nothing() -> None:
    there = measured()
    there.scenario.after(SETTLE)
    outcome = there.scenario.when(SETTLE).then()
    assert (outcome.reply.revision, outcome.reply.recorded) == (0, False)
    assert len(there.scenario.settlements.stored) == 1


def test_before_every_facility_is_measured_nothing_is_settled() -> None:
    there = completed()
    there.scenario.after(measured_as("fac-001", 440.0))
    there.scenario.when(SETTLE).refused(NotAllowedNow, saying="not every facility is measured")


def test_a_corrected_reading_gives_a_revision_with_its_reasons() -> None:
    there = measured()
    there.scenario.after(SETTLE, corrected_to("fac-002", 470.0), MEASURE)
    there.scenario.when(SETTLE).then(
        fact(DREvent.Resettled, revision=1, previous_total="300.00", difference="-30.00")
    )
    document = in_force(there)
    assert document.resettlement is not None
    assert document.resettlement.of_revision == 0
    assert [(one.unit, one.component, one.difference) for one in document.resettlement.changes] == [
        ("fac-002", "energy", "-30.00")
    ]
    assert [(one.why, one.amount) for one in document.resettlement.by_reason] == [("meter", "-30.00")]
    assert there.dr_event.settlement_status == "resettled"
    assert len(there.scenario.settlements.stored) == 2


def test_a_measurement_that_is_withdrawn_leaves_the_facility_out() -> None:
    there = measured()
    withdrawal = WithdrawMeasurement(
        dr_event_id=DR_EVENT_ID,
        facility_id="fac-001",
        corrected_at=ENDS_AT,
        reason="only 3 of 5 baseline days",
    )
    there.scenario.after(SETTLE, withdrawal, MEASURE)
    there.scenario.when(SETTLE).then(fact(DREvent.Resettled, difference="-180.00"))
    (left_out, _) = in_force(there).facilities
    assert (left_out.counted, left_out.reason) == (False, "baseline")


def test_a_dr_event_of_which_nothing_can_be_measured_is_not_settled() -> None:
    there = completed()
    there.scenario.after(
        *(
            RecordNotMeasurable(dr_event_id=DR_EVENT_ID, facility_id=one, reason="no readings")
            for one in ("fac-001", "fac-002")
        ),
        MEASURE,
    )
    outcome = there.scenario.when(SETTLE).then(fact(DREvent.Settled))
    figures = outcome.reply.figures
    assert (figures.status, figures.reasons, figures.total) == ("not_settled", ("baseline",), None)
    assert there.dr_event.settlement_status == "not_settled"
    assert in_force(there).facilities[0].baseline is not None


def test_a_dr_event_without_a_rule_is_not_settled_and_nothing_is_guessed_from_the_rates() -> None:
    there = measured(None, terms={"rate_per_kwh": "1.50"})
    outcome = there.scenario.when(SETTLE).then(fact(DREvent.Settled))
    figures = outcome.reply.figures
    assert (figures.status, figures.reasons, figures.currency) == ("not_settled", ("no_rule",), None)
    assert not there.scenario.settlements.stored
    there.scenario.when(SETTLE).then()


def test_a_rule_that_is_agreed_later_applies_only_by_an_explicit_decision() -> None:
    there = measured(None)
    there.scenario.after(SETTLE, agree(RULE))
    there.scenario.when(SETTLE).then()
    outcome = there.scenario.when(BY_NEWEST).then(
        fact(DREvent.Resettled, previous_total=None, difference="300.00")
    )
    assert outcome.reply.figures.program_version == 2
    assert (in_force(there).revision, in_force(there).resettlement) == (1, None)


def test_a_new_version_of_the_rule_applies_by_an_explicit_decision_and_stays_in_force() -> None:
    there = measured()
    there.scenario.after(SETTLE, agree(replace(RULE, energy=Energy(rate="2.00"))))
    there.scenario.when(SETTLE).then()
    there.scenario.when(BY_NEWEST).then(fact(DREvent.Resettled, difference="100.00"))
    document = in_force(there)
    assert document.resettlement is not None
    assert [(one.why, one.amount) for one in document.resettlement.by_reason] == [("rule", "100.00")]
    there.scenario.after(corrected_to("fac-002", 470.0), MEASURE)
    there.scenario.when(SETTLE).then(fact(DREvent.Resettled, difference="-40.00"))


def test_a_newest_version_without_a_rule_changes_nothing() -> None:
    there = measured()
    there.scenario.after(SETTLE, AgreeProgram(entry=program_entry(rank=7)))
    there.scenario.when(BY_NEWEST).then()


def test_after_the_deadline_a_change_is_refused_and_no_document_is_stored() -> None:
    there = measured(replace(RULE, deadline=Deadline(final_after_days=1)))
    there.scenario.after(SETTLE, corrected_to("fac-002", 470.0), MEASURE)
    there.scenario.at(ENDS_AT + timedelta(days=1, seconds=1))
    there.scenario.when(SETTLE).refused(SettlementFinal, saying="is final since")
    assert len(there.scenario.settlements.stored) == 1


def test_a_missing_price_is_waited_for() -> None:
    there = measured(replace(RULE, energy=Energy(price="event")))
    there.scenario.when(SETTLE).refused(SettlementWaits, saying="the price of the interval from")


def test_intervals_that_do_not_fit_the_metering_step_cannot_be_settled() -> None:
    there = measured(replace(RULE, interval_s=1000))
    there.scenario.when(SETTLE).refused(SettlementImpossible, saying="no multiple of the metering step")


def test_a_dr_event_that_was_cancelled_before_its_start_is_not_settled() -> None:
    there = InProcessSystem.accepted("fac-001", terms={"settlement": RULE})
    there.scenario.after(CancelDREvent(dr_event_id=DR_EVENT_ID, reason="cool weather"))
    outcome = there.scenario.when(SETTLE).then(fact(DREvent.Settled))
    assert outcome.reply.figures.reasons == ("cancelled_before_start",)


def test_each_revision_has_a_callback() -> None:
    there = measured()
    there.do(SETTLE)
    there.do(corrected_to("fac-002", 470.0))
    there.do(SETTLE)
    bodies = [json.loads(work.body) for work in there.callbacks if work.kind in {"settled", "resettled"}]
    assert [
        (body["kind"], body["settlement_status"], body["revision"], body["total"], body["currency"])
        for body in bodies
    ] == [("settled", "settled", 0, "300.00", "USD"), ("resettled", "resettled", 1, "270.00", "USD")]
    figures = there.dr_event.settlement.figures if there.dr_event.settlement else None
    assert figures is not None
    assert bodies[1]["settlement_digest"] == figures.digest
    assert bodies[1]["settlement_url"] == f"/api/dr-events/{DR_EVENT_ID}/settlement"


def test_a_program_without_a_rule_has_no_callback_about_money() -> None:
    there = measured(None)
    there.do(SETTLE)
    assert {work.kind for work in there.callbacks}.isdisjoint({"settled", "resettled"})


class Killed(BaseException):
    """The process ended here."""


@pytest.mark.parametrize("after_document", [False, True])
def test_a_process_that_is_killed_around_its_document_leaves_nothing_half_recorded(
    after_document: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = measured()
    documents = there.scenario.settlements
    add: Callable[..., str] = documents.add

    def killed(dr_event_id: UUID, document: bytes, **facts: Any) -> str:
        if after_document:
            add(dr_event_id, document, **facts)
        raise Killed

    monkeypatch.setattr(documents, "add", killed)
    with pytest.raises(Killed):
        there.scenario.when(SETTLE)
    assert there.dr_event.settlement is None
    assert len(documents.stored) == after_document
    monkeypatch.setattr(documents, "add", add)
    there.scenario.when(SETTLE).then(fact(DREvent.Settled))
    assert len(documents.stored) == 1
    assert in_force(there).total == "300.00"
