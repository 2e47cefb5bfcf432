"""An operator can close every building that may be curtailed, however its restore was lost."""

from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest

from application.command_bus.decision_context import CommandContext
from application.commands.dispatch import AttemptBmsCommand, RecordBmsSuccess, RestoreByHand
from application.commands.dr_event import EndDREvent, StartDREvent
from application.commands.facility import OptOutFacility
from application.ports.dispatch.building_control import ZoneCommand
from application.ports.dispatch.requested_work import BmsWork
from domain.dispatch import DispatchStatus, Setpoint
from domain.dr_event import DREvent
from domain.errors import NotAllowedNow
from tests.fakes.dispatch.building_control import PlannedFault
from tests.fakes.read_models import FakeReadModels
from tests.in_process_system import InProcessSystem
from tests.sample_values import CONTEXT, DR_EVENT_ID, ENDS_AT, zone_entry

BOTH = ("fac-001", "fac-002")
NO_ANSWER: tuple[PlannedFault, ...] = ("time_out", "time_out", "time_out", "time_out")
BY_HAND = RestoreByHand(dr_event_id=DR_EVENT_ID, facility_id="fac-002", reason="the caretaker did it")
OPERATOR: CommandContext = msgspec.structs.replace(CONTEXT, actor="operator:key-1")


def relayed_only(there: InProcessSystem) -> InProcessSystem:
    """Relay until nothing follows any more, but carry out no work."""
    head = -1
    while head != there.scenario.store.head():
        head = there.scenario.store.head()
        there.relay_all()
    return there


def active() -> InProcessSystem:
    return InProcessSystem.accepted(*BOTH).until("active")


def ended_without_workers(there: InProcessSystem) -> InProcessSystem:
    there.scenario.at(ENDS_AT).after(EndDREvent(dr_event_id=DR_EVENT_ID))
    return relayed_only(there)


def committing() -> InProcessSystem:
    """The commit was sent, and its worker died before the answer."""
    there = InProcessSystem.accepted(*BOTH).until("preparing")
    there.scenario.at(there.dr_event.judged_notice.starts_at)
    there.scenario.after(StartDREvent(dr_event_id=DR_EVENT_ID))
    relayed_only(there)
    command_id = there.dispatch("fac-002").latest("commit")["hall"].command.command_id
    there.scenario.after(
        AttemptBmsCommand(dr_event_id=DR_EVENT_ID, facility_id="fac-002", command_id=command_id)
    )
    there.take()
    return there


def committed() -> InProcessSystem:
    there = InProcessSystem.accepted(*BOTH)
    there.loses = lambda work: work.task == "verify"
    return there.until("active")


def restoring() -> InProcessSystem:
    """The restore was lost."""
    there = ended_without_workers(active())
    there.take()
    return there


def waiting_for_its_ramp() -> InProcessSystem:
    there = InProcessSystem.accepted(*BOTH, zones=(zone_entry("hall", rebound_ramp_s=600),))
    there.until("active")
    return ended_without_workers(there)


def left_early() -> InProcessSystem:
    """It opted out, and the restore that followed was lost."""
    there = active()
    there.scenario.after(OptOutFacility(facility_id="fac-002", dr_event_id=DR_EVENT_ID, reason="too warm"))
    relayed_only(there).take()
    return there


def compensating() -> InProcessSystem:
    """Its commit was never answered, and the restore that followed was lost."""
    there = InProcessSystem.accepted(*BOTH).until("preparing")
    there.control.fail_next("fac-002", *NO_ANSWER)
    lost = []

    def lose_restores(work: BmsWork) -> bool:
        command = there.dispatch("fac-002").commands.get(str(work.command_id))
        is_lost = work.facility_id == "fac-002" and command is not None and command.command.phase == "restore"
        if is_lost:
            lost.append(work)
        return is_lost

    there.loses = lose_restores
    there.until("active")
    assert lost
    return there


def let_go_by_its_own_expiry() -> InProcessSystem:
    there = restoring()
    there.scenario.at(there.dispatch("fac-002").expires_at + timedelta(seconds=1))
    there.buildings["fac-002"].advance(there.scenario.clock.now())
    assert there.actions()[-1] == ("fac-002", "expired")
    return there


def sent_to_it(there: InProcessSystem) -> list[ZoneCommand]:
    return [command for command in there.control.sent if command.facility_id == "fac-002"]


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (committing, "committing"),
        (committed, "committed"),
        (active, "verified_by_bms"),
        (restoring, "restoring"),
        (waiting_for_its_ramp, "restoring"),
        (left_early, "restoring"),
        (compensating, "compensating"),
        (let_go_by_its_own_expiry, "restoring"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_building_that_may_be_curtailed_can_be_closed(
    given: Callable[[], InProcessSystem], status: DispatchStatus
) -> None:
    there = given()
    assert there.dispatch("fac-002").status == status
    there.scenario.when(BY_HAND, context=OPERATOR)
    dispatch = there.dispatch("fac-002")
    assert dispatch.status == ("compensated" if dispatch.failure else "restored")
    assert (dispatch.has_open_command, dispatch.curtailed_at, dispatch.restore_steps) == (False, {}, ())
    there.scenario.when(BY_HAND, context=OPERATOR).then()
    calls = sent_to_it(there)
    there.settle()
    assert sent_to_it(there) == calls
    models = FakeReadModels(there.scenario.store.read_after(0, 10_000))
    [row] = models.dispatches.listed(filters={"facility_id": "fac-002"}).rows
    assert not any(zone.curtailed for zone in row.zones.values())


def test_the_dr_event_completes_after_a_lost_restore_was_done_by_hand() -> None:
    there = restoring()
    for facility_id in BOTH:
        there.scenario.when(msgspec.structs.replace(BY_HAND, facility_id=facility_id), context=OPERATOR)
    there.settle()
    assert (there.dr_event.status, there.dr_event.outcome) == ("completed", "full")


def test_a_building_restored_by_hand_during_the_window_leaves_the_dr_event() -> None:
    there = active()
    there.scenario.at(ENDS_AT - timedelta(minutes=50)).when(BY_HAND, context=OPERATOR)
    dispatch = there.dispatch("fac-002")
    assert (dispatch.left, dispatch.ends_at) == ("opted_out", there.scenario.clock.now())
    there.settle().until("completed")
    [completed] = there.recorded(DREvent.Completed)
    assert completed.opted_out_facilities == ("fac-002",)
    assert completed.outcome == "partial"


@pytest.mark.parametrize("seconds", [-1, 1])
def test_a_commit_that_overtakes_the_manual_restore_is_undone(seconds: int) -> None:
    """Its call was on the way. The clock of its BMS may be behind ours, so that it does not tell which was first."""
    there = committing()
    command_id = there.dispatch("fac-002").latest("commit")["hall"].command.command_id
    there.scenario.when(BY_HAND, context=OPERATOR)
    late = RecordBmsSuccess(
        dr_event_id=DR_EVENT_ID,
        facility_id="fac-002",
        command_id=command_id,
        executed_at=there.scenario.clock.now() + timedelta(seconds=seconds),
        setpoint=Setpoint(value=26.0, unit="celsius"),
        learned_by="answer",
    )
    there.scenario.at(there.scenario.clock.now() + timedelta(seconds=5)).after(late)
    assert there.dispatch("fac-002").status == "restoring"
    there.scenario.when(late).then()
    there.settle()
    assert there.dispatch("fac-002").status == "restored"


@pytest.mark.parametrize("status", ["scheduled", "preparing"])
def test_a_building_to_which_nothing_was_sent_cannot_be_closed(status: str) -> None:
    there = InProcessSystem.accepted(*BOTH).until(status)  # type: ignore[arg-type]
    there.scenario.when(BY_HAND).refused(NotAllowedNow, saying="may be curtailed")


def test_a_commit_that_was_never_sent_leaves_nothing_to_restore() -> None:
    there = InProcessSystem.accepted(*BOTH).until("preparing")
    there.scenario.at(there.dr_event.judged_notice.starts_at).after(StartDREvent(dr_event_id=DR_EVENT_ID))
    relayed_only(there)
    assert there.dispatch("fac-002").status == "committing"
    there.scenario.when(BY_HAND).refused(NotAllowedNow, saying="no commit was sent")
