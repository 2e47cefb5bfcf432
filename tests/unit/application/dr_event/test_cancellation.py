"""Cancelling before the notice, before the start and during the window, and the credit afterwards."""

from datetime import timedelta
from itertools import permutations

import pytest

from application.commands.dispatch import RecordMeasurement
from application.commands.dr_event import CancelDREvent, CancelNotifiedDREvent, StartDREvent
from domain.dr_event import DREvent, DREventStatus
from domain.facility import Facility
from domain.identifiers import facility_stream_id
from tests.given_when_then import Outcome, Scenario, fact, given
from tests.in_process_system import InProcessSystem
from tests.measured_figures import figures
from tests.sample_values import (
    DR_EVENT_ID,
    ENDS_AT,
    STARTS_AT,
    UTILITY,
    UTILITY_EVENT,
    facility_entry,
    judge,
    portfolio_commands,
    zone_entry,
)

BOTH = ("fac-001", "fac-002")


def by_utility(number: int | None = None) -> CancelNotifiedDREvent:
    return CancelNotifiedDREvent(
        utility_id=UTILITY,
        utility_event_id=UTILITY_EVENT,
        modification_number=number,
        reason="cancelled by the utility",
    )


def portfolio() -> Scenario:
    return given().after(*portfolio_commands(*(facility_entry(i) for i in BOTH)))


def came(outcome: Outcome) -> tuple[str, str]:
    return (outcome.reply.outcome, outcome.reply.status)


def test_a_cancellation_before_the_notification_is_recorded() -> None:
    scenario = portfolio()
    outcome = scenario.when(by_utility(3))
    outcome.then(fact(DREvent.Opened), fact(DREvent.Withdrawn, modification_number=3))
    assert came(outcome) == ("cancelled", "cancelled")
    again = scenario.when(by_utility(3))
    again.then()
    assert came(again) == ("already_cancelled", "cancelled")


@pytest.mark.parametrize("number", [0, 3])
def test_a_notification_after_its_cancellation_is_answered_as_cancelled(number: int) -> None:
    scenario = portfolio().after(by_utility(3))
    late = scenario.when(judge(modification_number=number))
    late.then()
    assert late.reply.status == "cancelled"
    assert [reason.code for reason in late.reply.reasons] == ["cancelled"]


def test_a_notification_with_a_higher_number_is_judged_again() -> None:
    scenario = portfolio().after(by_utility(3))
    assert scenario.when(judge(modification_number=4)).reply.status == "accepted"
    scenario.when(by_utility(3)).then()
    assert came(scenario.when(by_utility(4)))[0] == "cancelled"


@pytest.mark.parametrize("numbers", [*permutations((0, 1, 2))])
def test_a_cancellation_without_a_number_cancels_every_later_notification(numbers: tuple[int, ...]) -> None:
    """Utilities number their first notice freely, and earlier messages may arrive in any order."""
    scenario = portfolio()
    scenario.when(by_utility()).then(
        fact(DREvent.Opened), fact(DREvent.Withdrawn, modification_number=0, whatever_number=True)
    )
    for number in numbers:
        late = scenario.when(judge(modification_number=number))
        late.then()
        assert late.reply.status == "cancelled"
        assert [reason.code for reason in late.reply.reasons] == ["cancelled"]
    for stated in (None, 0, 7):
        again = scenario.when(by_utility(stated))
        again.then()
        assert came(again) == ("already_cancelled", "cancelled")


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("cancelled_by", [None, 1])
@pytest.mark.parametrize("order", [("post", "cancel"), ("cancel", "post")])
def test_a_dr_event_ends_cancelled_in_either_order_of_messages(
    first: int, cancelled_by: int | None, order: tuple[str, str]
) -> None:
    scenario = portfolio()
    commands = {"post": judge(modification_number=first), "cancel": by_utility(cancelled_by)}
    for _ in range(2):  # each message is sent twice
        for name in order:
            scenario.when(commands[name])
    state = scenario.store.load(DREvent, DR_EVENT_ID).state
    assert state.status == "cancelled"
    for facility_id in BOTH:
        assert scenario.store.load(Facility, facility_stream_id(facility_id)).state.reservations == {}


def test_a_numbered_cancellation_before_the_notice_can_be_extended_to_every_number() -> None:
    scenario = portfolio().after(by_utility(3))
    scenario.when(by_utility()).then(fact(DREvent.Withdrawn, modification_number=3, whatever_number=True))
    assert scenario.when(judge(modification_number=4)).reply.status == "cancelled"


def test_a_rejected_dr_event_can_be_cancelled() -> None:
    scenario = portfolio().after(judge(target_kw=9_000.0))
    scenario.when(by_utility()).then(fact(DREvent.Withdrawn, modification_number=0))
    assert scenario.when(judge()).reply.status == "cancelled"


def test_a_cancellation_with_a_lower_number_than_the_current_one_is_stale() -> None:
    there = InProcessSystem.accepted(*BOTH, modification_number=5)
    outcome = there.scenario.when(by_utility(4))
    outcome.then()
    assert came(outcome) == ("stale", "accepted")


@pytest.mark.parametrize("status", ["recovering", "completed"])
def test_a_cancellation_after_the_window_changes_nothing(status: DREventStatus) -> None:
    zones = (zone_entry("hall", rebound_ramp_s=600),)
    there = InProcessSystem.accepted(*BOTH, zones=zones).until(status)
    outcome = there.scenario.when(by_utility())
    outcome.then()
    assert came(outcome) == ("ended", status)


def test_a_cancellation_while_active_restores_all_buildings_and_releases_the_facilities() -> None:
    there = InProcessSystem.accepted(*BOTH).until("active")
    there.scenario.at(STARTS_AT + timedelta(minutes=30))
    there.do(CancelDREvent(dr_event_id=DR_EVENT_ID, reason="the heat wave is over"))
    assert there.dr_event.status == "cancelled_while_active"
    assert {there.dispatch(i).status for i in BOTH} == {"restored"}
    assert there.actions()[-2:] == [("fac-001", "restore"), ("fac-002", "restore")]
    batch = there.dr_event.batch
    assert batch is not None
    assert (batch.asked, batch.committed, batch.restored, batch.failed) == (2, 2, 2, 0)
    for facility_id in BOTH:
        state = there.scenario.store.load(Facility, facility_stream_id(facility_id)).state
        assert state.reservations == {}
        assert state.served, "the facility served"
    assert [w.kind for w in there.callbacks] == ["accepted", "started", "cancelled", "completed"]
    again = there.scenario.when(by_utility())
    again.then()
    assert came(again) == ("already_cancelled", "cancelled_while_active")


def test_the_delivery_until_the_cancellation_is_measured_and_credited() -> None:
    there = InProcessSystem.accepted(*BOTH).until("active")
    until = STARTS_AT + timedelta(minutes=30)
    there.scenario.at(until)
    there.do(by_utility())
    assert {there.dispatch(i).ends_at for i in BOTH} == {until}
    there.do(*(measured(i, 40.0) for i in BOTH))
    assert (there.dr_event.settlement_status, there.dr_event.delivered_kw) == ("measured", 80.0)
    assert there.callbacks[-1].kind == "measured"


def test_commits_in_progress_at_a_cancellation_finish_and_are_undone() -> None:
    there = InProcessSystem.accepted(*BOTH).until("preparing")
    there.control.fail_next("fac-002", "lost_answer")
    there.scenario.at(STARTS_AT)
    there.scenario.after(StartDREvent(dr_event_id=DR_EVENT_ID))
    there.relay_all()
    there.scenario.after(by_utility())
    there.settle()
    assert {there.dispatch(i).status for i in BOTH} == {"restored"}
    assert there.dr_event.batch is not None


def test_no_command_follows_a_release() -> None:
    there = InProcessSystem.accepted(*BOTH).until("active")
    there.do(by_utility())
    released = len(there.control.sent)
    there.scenario.at(ENDS_AT)
    there.settle()
    assert len(there.control.sent) == released


def measured(facility_id: str, kw: float) -> RecordMeasurement:
    return RecordMeasurement(dr_event_id=DR_EVENT_ID, facility_id=facility_id, figures=figures(kw))
