"""A building that its BMS cannot restore: an operator confirms the restore, and the facility may serve
again."""

import asyncio
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest

from application.command_bus.decision_context import CommandContext
from application.commands.dispatch import (
    ReconcileDispatch,
    ReissueBmsCommand,
    RestoreByHand,
    RetryRestore,
    ZoneObservation,
)
from application.operations.dead_letter_alerts import OVERDUE
from application.ports.dispatch.requested_work import BmsWork
from domain.dispatch import Dispatch, Setpoint
from domain.errors import NotAllowedNow, ReasonRequired
from domain.facility import Facility
from domain.identifiers import facility_stream_id
from tests.fakes.dispatch.building_control import PlannedFault
from tests.fakes.read_models import FakeReadModels
from tests.given_when_then import fact
from tests.in_process_system import InProcessSystem
from tests.sample_values import CONTEXT, DR_EVENT_ID, ENDS_AT, judge

BOTH = ("fac-001", "fac-002")
NO_ANSWER: tuple[PlannedFault, ...] = ("time_out", "time_out", "time_out", "time_out")
ID = "00000000-0000-0000-0000-000000000009"
REASON = "the caretaker set every zone back, told by phone"
OPERATOR: CommandContext = msgspec.structs.replace(CONTEXT, actor="operator:key-1")
BY_HAND = RestoreByHand(dr_event_id=DR_EVENT_ID, facility_id="fac-002", reason=REASON)
RETRY = RetryRestore(dr_event_id=DR_EVENT_ID, facility_id="fac-002", reason="its restore failed before")


def left_curtailed(*faults: PlannedFault) -> InProcessSystem:
    """The DR event is over, and the restore of fac-002 has failed."""
    there = InProcessSystem.accepted(*BOTH).until("active")
    there.control.fail_next("fac-002", *faults)
    there.until("completed")
    assert there.dispatch("fac-002").status == "restore_failed"
    return there


def by_hand(there: InProcessSystem) -> InProcessSystem:
    there.scenario.when(BY_HAND, context=OPERATOR).then(
        fact(Dispatch.RestoredByHand, reason=REASON, actor="operator:key-1", facility_id="fac-002")
    )
    return there.settle()


@pytest.mark.parametrize("faults", [("refuse",), NO_ANSWER], ids=["refused", "given up"])
def test_a_manual_restore_ends_the_dispatch_and_the_facility_can_be_reserved(
    faults: tuple[PlannedFault, ...],
) -> None:
    there = by_hand(left_curtailed(*faults))
    dispatch = there.dispatch("fac-002")
    assert (dispatch.status, dispatch.curtailed_at, dispatch.is_final) == ("restored", {}, True)
    facility = there.scenario.store.load(Facility, facility_stream_id("fac-002")).state
    assert facility.not_restored_from == frozenset()
    again = judge(
        "UTIL-NEXT",
        facility_ids=BOTH,
        target_kw=100.0,
        starts_at=ENDS_AT + timedelta(hours=2),
        ends_at=ENDS_AT + timedelta(hours=3),
    )
    assert there.scenario.when(again).reply.status == "accepted"


def test_a_manual_restore_clears_the_page_and_the_deadlines() -> None:
    there = left_curtailed("refuse")
    assert [alert.name for alert in there.alerts.listed()] == ["restore_failing"]
    by_hand(there)
    assert there.alerts.listed() == []
    models = FakeReadModels(there.scenario.store.read_after(0, 10_000))
    due = models.deadlines.due(ENDS_AT + timedelta(days=1))
    assert [deadline.kind for deadline in due if deadline.facility_id is not None] == []
    [row] = models.dispatches.listed(filters={"facility_id": "fac-002"}, limit=10).rows
    assert (row.status, row.restored_by_hand, row.restore_retry_at) == ("restored", REASON, None)
    assert not any(zone.curtailed for zone in row.zones.values())
    assert row.restored_at == row.concluded_at == there.recorded(Dispatch.RestoredByHand)[0].recorded_at


def test_a_manual_restore_discards_the_dead_letters_with_its_actor_and_reason() -> None:
    there = left_curtailed(*NO_ANSWER)
    [letter] = there.dead_letters.listed()
    others = [
        msgspec.structs.replace(letter, dead_letter_id=UUID(int=1), subject="fac-001"),
        msgspec.structs.replace(
            letter,
            dead_letter_id=UUID(int=2),
            body=letter.body.replace(str(DR_EVENT_ID).encode(), ID.encode()),
        ),
        msgspec.structs.replace(letter, dead_letter_id=UUID(int=3), body=b"[" * 5_000),
    ]
    for other in others:
        there.dead_letters.park(other)

    by_hand(there)
    decided = there.dead_letters.get(letter.dead_letter_id)
    assert (decided.status, decided.decided_by) == ("discarded", "operator:key-1")
    assert decided.decision_reason == f"restored by hand: {REASON}"
    assert decided.decided_at == there.recorded(Dispatch.RestoredByHand)[0].recorded_at
    assert {left.dead_letter_id for left in there.dead_letters.listed()} == {o.dead_letter_id for o in others}
    ids = {alert.subject.rpartition("/")[2] for alert in there.alerts.listed() if alert.name == OVERDUE}
    assert str(letter.dead_letter_id) not in ids


def test_a_manual_restore_does_not_change_a_dead_letter_decided_earlier() -> None:
    there = left_curtailed(*NO_ANSWER)
    [letter] = there.dead_letters.listed()
    at = letter.parked_at + timedelta(minutes=1)
    there.dead_letters.decide(letter.dead_letter_id, status="discarded", by="somebody", reason="x", at=at)
    by_hand(there)
    assert there.dead_letters.get(letter.dead_letter_id).decided_by == "somebody"


def test_a_retry_a_reconciliation_and_a_replay_change_nothing_after_a_manual_restore() -> None:
    there = left_curtailed(*NO_ANSWER)
    command_id = there.dispatch("fac-002").latest("restore")["hall"].command.command_id
    by_hand(there)
    there.scenario.when(RETRY).then()
    seen = ZoneObservation(zone_id="hall", setpoint=Setpoint(value=30.0, unit="celsius"), curtailed=True)
    look = ReconcileDispatch(dr_event_id=DR_EVENT_ID, facility_id="fac-002", zones=(seen,))
    there.scenario.when(look).then()
    replay = ReissueBmsCommand(
        dr_event_id=DR_EVENT_ID, facility_id="fac-002", command_id=command_id, reason="again"
    )
    there.scenario.when(replay).refused(NotAllowedNow, saying="discard the dead letter")


def test_a_repeated_manual_restore_records_nothing() -> None:
    there = by_hand(left_curtailed("refuse"))
    there.scenario.when(BY_HAND, context=OPERATOR).then()


def test_a_manual_restore_needs_a_reason_and_a_building_that_may_be_curtailed() -> None:
    there = InProcessSystem.accepted(*BOTH).until("preparing")
    there.scenario.when(BY_HAND).refused(NotAllowedNow, saying="restored by hand")
    there.until("active").control.fail_next("fac-002", "refuse")
    there.until("completed")
    there.scenario.when(msgspec.structs.replace(BY_HAND, reason=" ")).refused(ReasonRequired)
    there.do(RETRY)
    assert there.dispatch("fac-002").status == "restored"
    there.scenario.when(BY_HAND).refused(NotAllowedNow, saying="is restored")


def test_a_manual_restore_of_a_failed_facility_gives_the_status_compensated() -> None:
    there = InProcessSystem.accepted(*BOTH).until("preparing")
    # Its commit is never answered, and neither is its compensation.
    there.control.fail_next("fac-002", "lost_answer", *NO_ANSWER, "time_out", "time_out", "time_out")
    there.until("active")
    assert there.dispatch("fac-002").status == "restore_failed"
    by_hand(there)
    assert there.dispatch("fac-002").status == "compensated"
    assert there.until("completed").dr_event.failed_facilities == ("fac-002",)


def test_work_that_was_still_queued_is_skipped() -> None:
    there = by_hand(left_curtailed(*NO_ANSWER))
    [letter] = there.dead_letters.listed(status="discarded")
    calls = len(there.control.sent)
    asyncio.run(there.calls.carry_out(msgspec.json.decode(letter.body, type=BmsWork)))
    assert (there.dispatch("fac-002").status, len(there.control.sent)) == ("restored", calls)
