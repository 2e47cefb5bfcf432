"""The settlement of a DR event in money: what is recorded, and what is refused."""

from datetime import timedelta

import pytest

from domain.dr_event import DREvent
from domain.errors import NotAllowedNow, SettlementFinal
from tests.sample_settlement import FINAL_AT, settlement_figures
from tests.sample_values import provenance
from tests.state_walks import DREventWalk, dr_event_walk

TO_COMPLETED = ("accept", "schedule", "prepare_due", "start_due", "end_due", "complete")
NOT_SETTLED = settlement_figures(
    status="not_settled",
    reasons=("no_rule",),
    rule_digest=None,
    currency=None,
    total=None,
    inputs_digest="dd" * 32,
    final_at=None,
)


def walked(*steps: str) -> DREventWalk:
    walk = dr_event_walk()
    for step in steps:
        walk.take(step)
    return walk


def measured() -> DREvent:
    return walked(*TO_COMPLETED, "measure").aggregate


def settled(**changed: str) -> DREvent:
    dr_event = measured()
    dr_event.settle(provenance(), figures=settlement_figures(**changed), why="all is measured")
    dr_event.collect_events()
    return dr_event


def test_the_first_settlement_is_revision_0() -> None:
    dr_event = measured()
    dr_event.settle(provenance(), figures=settlement_figures(), why="all is measured")
    (fact,) = dr_event.collect_events()
    assert isinstance(fact, DREvent.Settled)
    assert (fact.figures, fact.why) == (settlement_figures(), "all is measured")
    assert dr_event.state.settlement_status == "settled"
    assert dr_event.state.settlement is not None
    assert dr_event.state.settlement.revision == 0


def test_the_same_inputs_record_nothing() -> None:
    dr_event = settled()
    dr_event.settle(provenance(), figures=settlement_figures(digest="ee" * 32), why="again")
    dr_event.settle(provenance(FINAL_AT + timedelta(days=1)), figures=settlement_figures(), why="much later")
    assert not dr_event.pending_events


def test_other_inputs_record_a_revision_with_its_difference() -> None:
    dr_event = settled()
    new = settlement_figures(total="180.50", inputs_digest="ff" * 32)
    dr_event.settle(provenance(FINAL_AT), figures=new, why="corrected readings")
    (fact,) = dr_event.collect_events()
    assert isinstance(fact, DREvent.Resettled)
    assert (fact.revision, fact.previous_total, fact.difference) == (1, "193.00", "-12.50")
    assert dr_event.state.settlement_status == "resettled"


def test_after_the_deadline_a_change_is_refused() -> None:
    with pytest.raises(SettlementFinal, match="is final since"):
        settled().settle(
            provenance(FINAL_AT + timedelta(seconds=1)),
            figures=settlement_figures(inputs_digest="ff" * 32),
            why="late",
        )


def test_a_newer_rule_with_a_later_deadline_does_not_reopen_it() -> None:
    with pytest.raises(SettlementFinal):
        settled().settle(
            provenance(FINAL_AT + timedelta(seconds=1)),
            figures=settlement_figures(inputs_digest="ff" * 32, final_at=FINAL_AT + timedelta(days=40)),
            why="another version",
        )


def test_what_had_no_rule_is_settled_once_a_person_says_by_which() -> None:
    dr_event = measured()
    dr_event.settle(provenance(), figures=NOT_SETTLED, why="all is measured")
    dr_event.settle(provenance(FINAL_AT + timedelta(days=9)), figures=settlement_figures(), why="agreed")
    fact = list(dr_event.collect_events())[-1]
    assert isinstance(fact, DREvent.Resettled)
    assert (fact.previous_total, fact.difference) == (None, "193.00")
    assert dr_event.state.settlement_status == "resettled"


def test_what_can_no_longer_be_measured_is_not_settled_any_more() -> None:
    dr_event = settled()
    lost = settlement_figures(
        status="not_settled", reasons=("coverage",), total=None, inputs_digest="ff" * 32
    )
    dr_event.settle(provenance(), figures=lost, why="corrected readings")
    fact = list(dr_event.collect_events())[-1]
    assert isinstance(fact, DREvent.Resettled)
    assert (fact.difference, dr_event.state.settlement_status) == ("-193.00", "not_settled")


def test_another_currency_is_refused() -> None:
    with pytest.raises(NotAllowedNow, match="settled in USD"):
        settled().settle(
            provenance(), figures=settlement_figures(currency="EUR", inputs_digest="ff" * 32), why="euros"
        )


def test_before_all_is_measured_the_message_says_what_is_waited_for() -> None:
    with pytest.raises(NotAllowedNow, match="not every facility is measured"):
        walked(*TO_COMPLETED).aggregate.settle(provenance(), figures=settlement_figures(), why="now")


def test_a_dr_event_that_was_cancelled_before_its_start_has_nothing_to_wait_for() -> None:
    assert walked("accept", "cancel").aggregate.can_be_settled
    assert not walked("withdraw").aggregate.can_be_settled


def test_a_new_measurement_leaves_the_settlement_in_force() -> None:
    dr_event = settled()
    dr_event.remeasure(provenance(), delivered_kw=1.0, measured_facilities=1, unmeasured_facilities=())
    assert dr_event.state.settlement_status == "settled"
