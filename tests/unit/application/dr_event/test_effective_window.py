"""The window in force: an immediate start, a late notice, a random start, and days of 23 and 25 hours."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from application.command_bus.batching import CommandBatcher
from application.command_bus.bus import CommandBus
from application.commands.dr_event import ModifyDREvent, PlanDREvent, StartDREvent
from application.handlers import HANDLERS
from domain.dr_event import DREvent, EventPrice
from domain.facility import Facility
from domain.identifiers import facility_stream_id
from domain.program import SettlementRule
from domain.program.settlement_rule import Energy
from tests.given_when_then import Scenario
from tests.in_process_system import InProcessSystem
from tests.sample_values import (
    DR_EVENT_ID,
    ENDS_AT,
    STARTS_AT,
    UTILITY,
    UTILITY_EVENT,
    forecast,
    judge,
    notice,
)

BOTH = ("fac-001", "fac-002")
AT_ONCE: dict[str, Any] = {"terms": {"notification_lead_s": 0, "minimum_duration_s": 3600}}


def drawing(there: InProcessSystem, *drawn: int) -> Scenario:
    """The scenario with a random source that returns exactly these numbers, each once."""
    left = list(drawn)
    scenario = there.scenario
    scenario.bus = CommandBus(
        scenario.store,
        scenario.clock,
        HANDLERS,
        forecasts=scenario.forecasts,
        draw_s=lambda most: left.pop(0),
    )
    there.relay = type(there.relay)(**{**vars(there.relay), "commands": CommandBatcher(scenario.bus)})
    return scenario


def test_an_immediate_start_is_prepared_and_committed_at_once() -> None:
    there = InProcessSystem.registered(*BOTH, **AT_ONCE)
    there.scenario.at(STARTS_AT).after(judge(facility_ids=BOTH, target_kw=100.0))
    there.settle()
    assert there.dr_event.status == "scheduled"
    there.until("completed")
    assert there.dr_event.outcome == "full"


def test_a_start_that_is_due_before_planning_makes_the_plan() -> None:
    there = InProcessSystem.registered(*BOTH, **AT_ONCE)
    there.scenario.at(STARTS_AT).after(judge(facility_ids=BOTH, target_kw=100.0))
    there.do(StartDREvent(dr_event_id=DR_EVENT_ID))
    assert there.dr_event.status == "active"
    assert {there.dispatch(i).status for i in BOTH} <= {"committed", "verified_by_bms"}
    there.scenario.when(PlanDREvent(dr_event_id=DR_EVENT_ID)).then()


@pytest.mark.parametrize(("late", "status"), [(3600, "accepted"), (3601, "rejected")])
def test_a_late_notice_is_accepted_if_the_rest_of_the_window_is_long_enough(late: int, status: str) -> None:
    there = InProcessSystem.registered(*BOTH, **AT_ONCE)
    now = STARTS_AT + timedelta(seconds=late)
    outcome = there.scenario.at(now).when(judge(facility_ids=BOTH, target_kw=100.0))
    assert outcome.reply.status == status
    if status == "rejected":
        assert [reason.code for reason in outcome.reply.reasons] == ["past_start"]
        return
    in_force = there.dr_event.judged_notice
    assert (in_force.starts_at, in_force.ends_at) == (now, ENDS_AT)
    assert in_force.notified_starts_at == STARTS_AT
    held = there.scenario.store.load(Facility, facility_stream_id("fac-001")).state.reservations
    assert held[str(DR_EVENT_ID)].starts_at == now


def test_a_program_with_a_lead_time_rejects_a_late_notice() -> None:
    there = InProcessSystem.registered(*BOTH)
    outcome = there.scenario.at(STARTS_AT + timedelta(minutes=1)).when(
        judge(facility_ids=BOTH, target_kw=100.0)
    )
    assert [reason.code for reason in outcome.reply.reasons] == ["past_start"]


def test_a_random_start_is_drawn_once_and_recorded() -> None:
    there = InProcessSystem.registered(*BOTH)
    scenario = drawing(there, 240)
    outcome = scenario.when(judge(facility_ids=BOTH, target_kw=100.0, randomize_start_s=600))
    moved = timedelta(seconds=240)
    assert (outcome.reply.starts_at, outcome.reply.ends_at) == (STARTS_AT + moved, ENDS_AT + moved)
    [accepted] = there.recorded(DREvent.Accepted)
    assert isinstance(accepted, DREvent.Accepted)
    assert (accepted.start_offset_s, accepted.notice.notified_starts_at) == (240, STARTS_AT)
    there.settle()
    assert there.dispatch().starts_at == STARTS_AT + moved
    assert there.dr_event.prepare_at == STARTS_AT + moved - timedelta(minutes=10)


def test_a_modification_uses_the_random_start_drawn_before() -> None:
    there = InProcessSystem.registered(*BOTH)
    scenario = drawing(there, 240)
    scenario.after(judge(facility_ids=BOTH, target_kw=100.0, randomize_start_s=600))
    moved = timedelta(seconds=240)
    longer = changed(1, ends_at=ENDS_AT + timedelta(hours=1), randomize_start_s=600)
    assert scenario.when(longer).reply.ends_at == ENDS_AT + timedelta(hours=1) + moved
    later = changed(2, starts_at=STARTS_AT + timedelta(minutes=30), randomize_start_s=100)
    reply = scenario.when(later).reply
    assert reply.starts_at == STARTS_AT + timedelta(minutes=30, seconds=100), (
        "limited to the maximum of the new notice"
    )


def test_prices_fit_the_window_in_force_and_not_the_notified_one() -> None:
    """Who requests a random start learns its window from the answer, and sends the prices after it."""
    rule = SettlementRule(currency="USD", energy=Energy(price="event"))
    there = InProcessSystem.registered(*BOTH, terms={"settlement": rule})
    scenario = drawing(there, 240)
    scenario.after(judge(facility_ids=BOTH, target_kw=100.0, randomize_start_s=600))
    refused = scenario.when(priced(changed(1, randomize_start_s=600), STARTS_AT)).reply
    assert [reason.code for reason in refused.reasons] == ["price_off_interval"]
    first_step = STARTS_AT + timedelta(minutes=15)
    assert scenario.when(priced(changed(2, randomize_start_s=600), first_step)).reply.status == "modified"
    assert not there.dr_event.plan_outdated


def priced(command: ModifyDREvent, *at: datetime) -> ModifyDREvent:
    return replace(command, prices=tuple(EventPrice(starts_at=one, per_kwh="0.1") for one in at))


def changed(number: int, **changes: Any) -> ModifyDREvent:
    values = {"facility_ids": BOTH, "target_kw": 100.0, "modification_number": number} | changes
    return ModifyDREvent(utility_id=UTILITY, utility_event_id=UTILITY_EVENT, notice=notice(**values))


@pytest.mark.parametrize(
    "starts_at",
    [
        datetime(2026, 3, 8, 6, 30, tzinfo=UTC),  # New York skips 02:00 to 03:00 at 07:00 UTC: 23 hours
        datetime(2026, 11, 1, 5, 30, tzinfo=UTC),  # and repeats 01:00 to 02:00 at 06:00 UTC: 25 hours
    ],
)
def test_a_window_over_a_clock_change_has_its_stated_duration(starts_at: datetime) -> None:
    there = InProcessSystem.registered("fac-001")
    ends_at = starts_at + timedelta(hours=2)
    there.scenario.at(starts_at - timedelta(hours=2))
    there.scenario.with_forecasts(*(forecast("fac-001", at=starts_at - timedelta(hours=h)) for h in (2, 0)))
    there.scenario.with_forecasts(forecast("fac-001", at=starts_at - timedelta(minutes=15)))
    there.scenario.after(
        judge(facility_ids=("fac-001",), target_kw=80.0, starts_at=starts_at, ends_at=ends_at)
    )
    there.until("completed")
    assert there.dr_event.outcome == "full"
    by_action = {entry.action: entry.at for entry in there.journal}
    assert (by_action["commit"], by_action["restore"]) == (starts_at, ends_at)
