"""Work that the queue acknowledged and lost is issued again, once, and what cannot be made up for can be closed."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from uuid import UUID

import msgspec
import pytest
from structlog.testing import capture_logs

from application.commands.dispatch import ReissueLostCommands, RetryRestore
from application.commands.dr_event import EndDREvent
from application.ports.dispatch.work_queue import BmsWork, WorkQueueUnavailable
from application.ports.operations.dead_letters import DeadLetter
from domain.dispatch import Dispatch
from domain.dispatch.lost_commands import LONGEST_REISSUE_PAUSE, REISSUE_AFTER, reissue_due
from domain.identifiers import dispatch_id
from interfaces.workers.relay.relay import READER
from interfaces.workers.schedule.lost_work_sweeper import BMS_COMMANDS, LostWorkSweeper
from interfaces.workers.schedule.sweep_loop import ALERT
from tests.fakes.coordination.locks import FakeLocks
from tests.fakes.event_store.reader_positions import FakeReaderPositions
from tests.fakes.read_models import FakeReadModels
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID, ENDS_AT, NOW, zone_entry

BOTH = ("fac-001", "fac-002")
ZONES = (zone_entry("hall", 50.0), zone_entry("shop", 50.0))
PROPOSAL = ReissueLostCommands(dr_event_id=DR_EVENT_ID, facility_id="fac-001", reason="lost")


def sweeper(there: InProcessSystem, *, relayed: int | None = None) -> LostWorkSweeper:
    """The relay is at the head of the log, or at `relayed`."""
    models = FakeReadModels(there.scenario.store.read_after(0, 10_000))
    positions = FakeReaderPositions()
    positions.move(READER, there.position if relayed is None else relayed)
    return LostWorkSweeper(
        overdue=partial(models.deadlines.overdue_work, "bms_command"),
        inventory=there.queue,
        positions=positions,
        bus=there.scenario.bus,
        dead_letters=there.dead_letters,
        alerts=there.alerts,
        clock=there.scenario.clock,
    )


def sweep(there: InProcessSystem, after: timedelta = timedelta(), **how: int) -> dict[str, int]:
    there.scenario.at(there.scenario.clock.now() + after)
    return asyncio.run(sweeper(there, **how).sweep())


def with_lost_restores() -> InProcessSystem:
    """The window is over. The restores are recorded and published, and the queue has lost them."""
    there = InProcessSystem.accepted(*BOTH, zones=ZONES).until("active")
    there.scenario.at(ENDS_AT).after(EndDREvent(dr_event_id=DR_EVENT_ID))
    head = -1
    while head != there.scenario.store.head():
        head = there.scenario.store.head()
        there.relay_all()
    assert there.queue.purge_bms() == 4
    assert there.settle().dispatch().status == "restoring"
    return there


def restores(there: InProcessSystem) -> list[tuple[str, str]]:
    return [action for action in there.actions() if action[1] == "restore"]


def test_a_restore_that_the_queue_lost_is_issued_again_and_carried_out_once() -> None:
    there = with_lost_restores()
    assert sweep(there, REISSUE_AFTER - timedelta(seconds=1)) == {}
    assert sweep(there, timedelta(seconds=1)) == {"fac-001": 2, "fac-002": 2}
    issues = [e for e in there.recorded(Dispatch.BmsCommandReissued) if e.facility_id == "fac-001"]
    commands = there.dispatch().latest("restore")
    assert [(e.command_id, e.issue) for e in issues] == [
        (commands[zone].command.command_id, 2) for zone in ("hall", "shop")
    ]
    assert sweep(there) == {}
    there.settle()
    assert there.dispatch().status == there.dispatch("fac-002").status == "restored"
    assert there.dr_event.status == "completed"
    assert len(restores(there)) == 4
    assert sweep(there, timedelta(days=1)) == {}


@pytest.mark.parametrize("phase", ["prepare", "commit"])
def test_a_prepare_or_commit_that_the_queue_lost_is_issued_again(phase: str) -> None:
    there = InProcessSystem.accepted("fac-001")
    publish = there.queue.publish_bms
    lost: list[str] = []

    async def lose_first(work: BmsWork, *, message_id: str) -> None:
        command = there.dispatch().commands.get(str(work.command_id))
        if not lost and command is not None and command.command.phase == phase:
            lost.append(message_id)
            return
        await publish(work, message_id=message_id)

    there.queue.publish_bms = lose_first  # type: ignore[method-assign]
    there.until("preparing" if phase == "prepare" else "active")
    assert len(lost) == 1
    assert there.dispatch().has_open_command
    assert sweep(there, REISSUE_AFTER) == {"fac-001": 1}
    there.settle()
    assert not there.dispatch().has_open_command
    there.until("completed")
    assert there.dr_event.outcome == "full"
    assert restores(there) == [("fac-001", "restore")]


def test_doubled_and_early_proposals_record_nothing() -> None:
    there = with_lost_restores()
    there.scenario.when(PROPOSAL).then()
    there.scenario.at(there.scenario.clock.now() + REISSUE_AFTER)
    reissued = there.scenario.when(PROPOSAL)
    assert len(reissued.recorded) == 2
    there.scenario.when(PROPOSAL).then()
    there.settle()
    there.scenario.at(there.scenario.clock.now() + timedelta(hours=1)).when(PROPOSAL).then()
    assert restores(there) == [("fac-001", "restore")] * 2


def test_work_that_is_lost_again_and_again_is_issued_at_a_bounded_pace() -> None:
    pauses = [reissue_due(NOW, issue) - NOW for issue in (1, 2, 3, 4, 50)]
    assert pauses == [REISSUE_AFTER, 2 * REISSUE_AFTER, 4 * REISSUE_AFTER, *2 * [LONGEST_REISSUE_PAUSE]]
    there = with_lost_restores()
    for pause in pauses[:3]:
        assert sweep(there, pause - timedelta(seconds=1)) == {}
        assert sweep(there, timedelta(seconds=1)) == {"fac-001": 2, "fac-002": 2}
        there.relay_all()
        there.queue.purge_bms()
    assert sweep(there, LONGEST_REISSUE_PAUSE) == {"fac-001": 2, "fac-002": 2}


def _held_by_the_queue(there: InProcessSystem) -> dict[str, int]:
    asyncio.run(there.queue.publish_bms(_work(there, "fac-001"), message_id="held"))
    return sweep(there)


def _has_a_dead_letter(there: InProcessSystem) -> dict[str, int]:
    _park(there, _work(there, "fac-001"))
    return sweep(there)


def _park(there: InProcessSystem, work: BmsWork) -> None:
    there.dead_letters.park(
        DeadLetter(
            dead_letter_id=UUID(int=5),
            queue="bms_command",
            subject="fac-001",
            reason="poison",
            body=msgspec.json.encode(work),
            parked_at=there.scenario.clock.now(),
        )
    )


def _work(there: InProcessSystem, facility_id: str) -> BmsWork:
    first, *more = (
        record.command.command_id
        for record in there.dispatch(facility_id).commands.values()
        if record.state == "requested"
    )
    return BmsWork(
        task="command",
        dr_event_id=DR_EVENT_ID,
        facility_id=facility_id,
        command_id=first,
        more=tuple(more),
        correlation_id=UUID(int=1),
        causation_id=UUID(int=2),
        tenant="util-1",
        trace_id="0" * 32,
    )


@pytest.mark.parametrize("where", [_held_by_the_queue, _has_a_dead_letter])
def test_work_that_is_queued_or_a_dead_letter_is_not_issued_again(
    where: Callable[[InProcessSystem], dict[str, int]],
) -> None:
    there = with_lost_restores()
    there.scenario.at(there.scenario.clock.now() + timedelta(hours=1))
    assert where(there) == {"fac-002": 2}
    assert {e.facility_id for e in there.recorded(Dispatch.BmsCommandReissued)} <= {"fac-002"}


def test_parked_work_without_an_outcome_is_given_up_and_the_restore_is_tried_again() -> None:
    """Whoever parked it was stopped before it recorded the outcome, and then the queue lost the message."""
    there = with_lost_restores()
    there.scenario.at(there.scenario.clock.now() + timedelta(hours=1))
    _park(there, _work(there, "fac-001"))
    sweep(there)
    given_up = {record.state for record in there.dispatch().latest("restore").values()}
    assert given_up == {"gave_up"}
    assert there.dispatch().status == "restore_failed"
    there.scenario.at(there.scenario.clock.now() + timedelta(minutes=2))
    there.scenario.after(RetryRestore(dr_event_id=DR_EVENT_ID, facility_id="fac-001", reason="again"))
    assert there.settle().dispatch().status == "restored"


def test_work_that_the_relay_has_not_published_yet_is_not_issued_again() -> None:
    there = with_lost_restores()
    requests = [
        entry.position
        for entry in there.scenario.store.read_after(0, 10_000)
        if isinstance(entry.domain_event, Dispatch.BmsCommandRequested)
    ]
    assert sweep(there, timedelta(hours=1), relayed=requests[-2] - 1) == {"fac-001": 2}
    assert sweep(there, timedelta(hours=1), relayed=0) == {}


def test_a_retried_restore_that_the_queue_lost_is_issued_again_in_spite_of_its_dead_letter() -> None:
    """Its first try was given up, and that dead letter stays open while it is retried."""
    there = InProcessSystem.accepted("fac-001").until("active")
    there.control.fail_next("fac-001", "time_out", "time_out", "time_out", "time_out")
    there.until("completed")
    assert there.dispatch().status == "restore_failed"
    assert len(there.dead_letters.listed()) == 1
    there.scenario.at(there.scenario.clock.now() + timedelta(minutes=1))
    there.scenario.after(RetryRestore(dr_event_id=DR_EVENT_ID, facility_id="fac-001", reason="again"))
    there.relay_all()
    assert there.queue.purge_bms() == 1
    assert sweep(there, LONGEST_REISSUE_PAUSE) == {"fac-001": 1}
    assert there.settle().dispatch().status == "restored"


def test_a_dispatch_that_cannot_be_read_delays_no_other() -> None:
    """A newer release has written to its stream."""
    there = with_lost_restores()
    there.scenario.at(there.scenario.clock.now() + REISSUE_AFTER)
    running = sweeper(there)
    there.scenario.store.append_unknown_topic(dispatch_id(DR_EVENT_ID, "fac-001"))
    with capture_logs():
        assert asyncio.run(running.sweep()) == {"fac-002": 2}


def test_a_queue_that_is_away_has_lost_nothing() -> None:
    there = with_lost_restores()
    there.queue.is_down = True
    with pytest.raises(WorkQueueUnavailable):
        sweep(there, timedelta(hours=1))
    assert there.recorded(Dispatch.BmsCommandReissued) == []


def test_lost_work_raises_an_alert_that_ends_after_a_while() -> None:
    there = with_lost_restores()
    there.scenario.at(there.scenario.clock.now() + REISSUE_AFTER)
    running, stop = sweeper(there), asyncio.Event()

    async def scenario() -> None:
        async with asyncio.timeout(20):
            task = asyncio.create_task(running.periodic.run(stop, FakeLocks()))
            while not there.alerts.listed():  # noqa: ASYNC110 - the sweeper raises it
                await asyncio.sleep(0.005)
            [alert] = there.alerts.listed()
            assert (alert.name, alert.subject) == (ALERT, BMS_COMMANDS)
            assert "4 commands" in alert.detail
            assert "fac-001, fac-002" in alert.detail
            there.scenario.at(there.scenario.clock.now() + timedelta(hours=1))
            await there._settle()
            while there.alerts.listed():  # noqa: ASYNC110 - the sweeper clears it
                await asyncio.sleep(0.005)
            stop.set()
            await task

    asyncio.run(scenario())
