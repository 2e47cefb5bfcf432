"""Kind and prices of a DR event against the program's settlement rule, with the notification and with its PATCH."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from application.commands.dr_event import CancelDREvent, ModifyDREvent
from application.commands.program import AgreeProgram
from domain.dr_event import DREvent, EventPrice
from domain.dr_event.reasons import MOST_REASONS
from domain.facility import Facility
from domain.program.settlement_rule import Deadline, Energy, KindOverride, SettlementRule
from tests.given_when_then import Outcome, fact
from tests.in_process_system import InProcessSystem
from tests.sample_values import (
    DR_EVENT_ID,
    ENDS_AT,
    STARTS_AT,
    UTILITY,
    UTILITY_EVENT,
    judge,
    notice,
    program_entry,
)

HOUR = timedelta(hours=1)
RULE = SettlementRule(
    currency="USD",
    energy=Energy(price="event"),
    kinds={"test": KindOverride(energy=None), "voluntary": KindOverride(energy=Energy(rate="2"))},
)
BOTH = ("fac-001", "fac-002")


def prices(*at: datetime, per_kwh: str = "0.08123") -> tuple[EventPrice, ...]:
    return tuple(EventPrice(starts_at=moment, per_kwh=per_kwh) for moment in at)


HOURLY = prices(STARTS_AT, STARTS_AT + HOUR)


def registered(rule: SettlementRule | None = RULE) -> InProcessSystem:
    return InProcessSystem.registered(*BOTH, terms={"settlement": rule})


def notified(
    rule: SettlementRule | None = RULE, *, window: dict[str, Any] | None = None, **said: Any
) -> Outcome:
    command = judge(facility_ids=BOTH, target_kw=100.0, **(window or {}))
    return registered(rule).scenario.when(replace(command, **said))


def codes(outcome: Outcome) -> list[str]:
    return [reason.code for reason in outcome.reply.reasons]


def patch(number: int = 1, *, changes: dict[str, Any] | None = None, **said: Any) -> ModifyDREvent:
    values = {"facility_ids": BOTH, "target_kw": 100.0, "modification_number": number} | (changes or {})
    return ModifyDREvent(utility_id=UTILITY, utility_event_id=UTILITY_EVENT, notice=notice(**values), **said)


def accepted(rule: SettlementRule | None = RULE, **said: Any) -> InProcessSystem:
    there = registered(rule)
    there.scenario.after(replace(judge(facility_ids=BOTH, target_kw=100.0), **said))
    return there


def test_kind_and_prices_are_recorded_with_the_acceptance() -> None:
    outcome = notified(kind="test", prices=HOURLY)
    outcome.then(
        fact(DREvent.Opened),
        fact(DREvent.Accepted, kind="test", prices=HOURLY),
        fact(Facility.Reserved),
        fact(Facility.Reserved),
    )


def test_a_program_with_prices_of_the_event_accepts_a_notification_without_them() -> None:
    assert notified().reply.status == "accepted"


def test_an_unknown_kind_is_refused_with_the_kinds_of_the_program() -> None:
    outcome = notified(kind="emergency")
    [reason] = outcome.reply.reasons
    assert reason.code == "unknown_kind"
    assert reason.detail == "'emergency' is no kind of this program; use event or test or voluntary"


def test_without_a_settlement_rule_there_is_one_kind() -> None:
    assert notified(None).reply.status == "accepted"
    [reason] = notified(None, kind="test").reply.reasons
    assert reason.code == "unknown_kind"
    assert "use event; it has no settlement rule" in reason.detail


def test_without_a_settlement_rule_prices_are_refused() -> None:
    [reason] = notified(None, prices=HOURLY).reply.reasons
    assert reason.code == "no_settlement_rule"
    assert "ask the operator to agree a rule" in reason.detail


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ([STARTS_AT], []),
        ([STARTS_AT + HOUR, STARTS_AT], []),
        ([STARTS_AT, STARTS_AT], ["duplicate_price"]),
        ([STARTS_AT + timedelta(minutes=15)], ["price_off_interval"]),
        ([STARTS_AT - HOUR, ENDS_AT], ["price_off_interval", "price_off_interval"]),
        ([STARTS_AT + timedelta(microseconds=1)], ["price_off_interval"]),
    ],
)
def test_a_price_begins_with_a_settlement_interval(at: list[datetime], expected: list[str]) -> None:
    assert codes(notified(prices=prices(*at))) == expected


def test_the_intervals_begin_with_the_first_whole_metering_step() -> None:
    late = {"starts_at": STARTS_AT + timedelta(minutes=7), "ends_at": ENDS_AT}
    first = STARTS_AT + timedelta(minutes=15)
    assert codes(notified(prices=prices(first, first + HOUR), window=late)) == []
    [refused] = notified(prices=prices(STARTS_AT + timedelta(minutes=7)), window=late).reply.reasons
    assert (
        f"they begin every 3600 s from {first.isoformat()} until before {ENDS_AT.isoformat()}"
        in refused.detail
    )


def test_any_number_of_wrong_prices_is_summarized() -> None:
    many = prices(*(ENDS_AT + timedelta(minutes=n) for n in range(500)))
    reply = notified(prices=many).reply
    assert (len(reply.reasons), reply.reason_counts) == (MOST_REASONS, {"price_off_interval": 500})


@pytest.mark.parametrize(
    ("ends_at", "code"),
    [
        (STARTS_AT + timedelta(days=60_000), "too_long"),
        (STARTS_AT - HOUR, "end_before_start"),
        (STARTS_AT + timedelta(minutes=14), "too_short"),
    ],
)
def test_a_window_that_nothing_fits_is_refused_without_its_prices(ends_at: datetime, code: str) -> None:
    found = codes(notified(prices=HOURLY, window={"ends_at": ends_at}))
    assert code in found
    assert "price_off_interval" not in found


def test_a_change_of_prices_keeps_plan_and_reservations() -> None:
    there = accepted()
    there.until("active")
    there.scenario.when(patch(prices=HOURLY)).then(
        fact(DREvent.Modified, prices=HOURLY, kind="event", originator_id=DR_EVENT_ID)
    )
    revision = there.dr_event.plan_revision
    there.until("completed")
    assert (there.dr_event.plan_revision, there.dr_event.prices) == (revision, HOURLY)
    assert there.dr_event.outcome == "full"


def test_prices_replace_those_before_as_a_whole() -> None:
    there = accepted(prices=HOURLY)
    assert there.scenario.when(patch(prices=HOURLY[1:])).reply.status == "modified"
    assert there.dr_event.prices == HOURLY[1:]
    there.scenario.after(patch(2, prices=()))
    assert there.dr_event.prices == ()


def test_what_a_modification_leaves_out_stays() -> None:
    there = accepted(kind="test", prices=HOURLY)
    there.scenario.after(patch(changes={"target_kw": 90.0}))
    assert (there.dr_event.kind, there.dr_event.prices) == ("test", HOURLY)
    assert there.dr_event.plan_outdated


def test_a_kind_may_change_until_the_window_is_over() -> None:
    there = accepted()
    there.scenario.after(patch(kind="voluntary"))
    assert there.dr_event.kind == "voluntary"
    outcome = there.scenario.when(patch(2, kind="emergency"))
    outcome.then(fact(DREvent.ModificationRefused))
    assert codes(outcome) == ["unknown_kind"]
    assert there.dr_event.kind == "voluntary"


def test_refused_prices_leave_those_in_force() -> None:
    there = accepted(prices=HOURLY)
    outcome = there.scenario.when(patch(prices=prices(ENDS_AT)))
    outcome.then(fact(DREvent.ModificationRefused))
    assert (codes(outcome), there.dr_event.prices) == (["price_off_interval"], HOURLY)


MOVED = {"starts_at": STARTS_AT + timedelta(minutes=30), "ends_at": ENDS_AT + timedelta(minutes=30)}


def test_a_window_that_moves_away_from_its_prices_needs_them_again() -> None:
    there = accepted(prices=HOURLY)
    outcome = there.scenario.when(patch(changes=MOVED))
    assert codes(outcome) == ["prices_of_other_window"]
    assert "send `prices` for it" in outcome.reply.reasons[0].detail
    first = MOVED["starts_at"]
    fitting = prices(first, first + HOUR)
    assert there.scenario.when(patch(2, changes=MOVED, prices=fitting)).reply.status == "modified"
    assert there.dr_event.prices == fitting


def test_a_window_may_move_with_its_prices_taken_back() -> None:
    there = accepted(prices=HOURLY)
    assert there.scenario.when(patch(changes=MOVED, prices=())).reply.status == "modified"


def test_a_longer_window_keeps_its_prices() -> None:
    there = accepted(prices=HOURLY)
    longer = patch(changes={"ends_at": ENDS_AT + HOUR})
    assert there.scenario.when(longer).reply.status == "modified"
    assert there.dr_event.prices == HOURLY


def completed(rule: SettlementRule | None = RULE, **said: Any) -> InProcessSystem:
    there = accepted(rule, **said)
    there.until("completed")
    return there


def test_prices_come_after_the_end_until_the_deadline() -> None:
    there = completed()
    there.scenario.at(ENDS_AT + timedelta(days=60))
    there.scenario.when(patch(prices=HOURLY)).then(fact(DREvent.Modified, prices=HOURLY))
    assert there.dr_event.status == "completed"
    reply = there.scenario.at(ENDS_AT + timedelta(days=60, seconds=1)).when(patch(2, prices=())).reply
    assert (reply.status, reply.reasons[0].code) == ("ended", "settlement_final")
    assert "60 days after the end" in reply.reasons[0].detail


def test_the_deadline_is_that_of_the_rule_in_force() -> None:
    there = completed()
    shorter = replace(RULE, deadline=Deadline(final_after_days=10))
    there.scenario.after(AgreeProgram(entry=program_entry(settlement=shorter)))
    reply = there.scenario.at(ENDS_AT + timedelta(days=11)).when(patch(prices=HOURLY)).reply
    assert reply.status == "ended"


def test_a_rule_that_is_agreed_later_takes_prices_of_earlier_dr_events() -> None:
    there = completed(None)
    outcome = there.scenario.when(patch(prices=HOURLY))
    outcome.then(fact(DREvent.ModificationRefused))
    assert codes(outcome) == ["no_settlement_rule"]
    there.scenario.after(AgreeProgram(entry=program_entry(settlement=RULE)))
    assert there.scenario.when(patch(2, prices=HOURLY)).reply.status == "modified"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"target_kw": 90.0}, {"prices": HOURLY}),
        ({"ends_at": ENDS_AT + HOUR}, {"prices": HOURLY}),
        ({"facility_ids": ("fac-001",)}, {"prices": HOURLY}),
        ({}, {"prices": HOURLY, "kind": "test"}),
        ({}, {}),
    ],
)
def test_after_the_end_nothing_but_prices_changes(changes: dict[str, Any], said: dict[str, Any]) -> None:
    outcome = completed().scenario.when(patch(changes=changes, **said))
    outcome.then()
    assert outcome.reply.status == "ended"
    assert "only `prices` can still change" in outcome.reply.reasons[0].detail


def test_prices_after_the_end_follow_the_numbers_of_modifications() -> None:
    there = completed()
    there.scenario.after(patch(5, prices=HOURLY))
    assert there.scenario.when(patch(5, prices=())).reply.status == "repeated"
    assert there.scenario.when(patch(4, prices=())).reply.status == "stale"
    assert there.dr_event.prices == HOURLY


def test_prices_of_a_dr_event_cut_short_are_taken_and_of_a_cancelled_one_not() -> None:
    there = accepted()
    there.until("active")
    there.scenario.after(CancelDREvent(dr_event_id=DR_EVENT_ID, reason="enough"))
    assert there.scenario.when(patch(prices=HOURLY)).reply.status == "modified"
    before = accepted().scenario.after(CancelDREvent(dr_event_id=DR_EVENT_ID, reason="not needed"))
    assert before.when(patch(prices=HOURLY)).reply.status == "ended"


def test_prices_after_the_end_are_called_back_and_have_no_other_consequence() -> None:
    there = completed()
    before, commands = there.scenario.store.head(), len(there.journal)
    there.scenario.after(patch(prices=HOURLY))
    there.settle()
    changed, requested = there.scenario.store.domain_events[before:]
    assert isinstance(changed, DREvent.Modified)
    assert isinstance(requested, DREvent.CallbackRequested)
    body = json.loads(requested.body)
    assert (body["kind"], body["modification_number"], body["status"]) == ("modified", 1, "completed")
    assert len(there.journal) == commands
