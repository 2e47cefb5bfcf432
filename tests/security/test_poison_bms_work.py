"""Work for one building that fails with any error is parked; the dispatch worker and other buildings go on.

Its commands have an outcome then, so that a person can replay or discard them, and nothing issues them for ever.
"""

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Never

import pytest
from structlog.testing import capture_logs

from application.command_bus import retry
from application.command_bus.retry import MAX_TRIES
from application.commands.dispatch import RetryRestore
from application.commands.dr_event import EndDREvent, StartPreparation
from application.operations.dead_letter_decisions import discard
from application.operations.dead_letter_replay import DeadLetterReplay
from application.ports.dispatch.building_control import BmsConnection
from application.ports.operations.dead_letters import DeadLetter
from domain.dispatch import Dispatch, Phase
from interfaces.workers.dispatch.dispatch import DispatchWorker
from interfaces.workers.loops import open_work
from tests.fakes.coordination.locks import FakeLocks
from tests.fakes.dispatch.open_work import FakeWorkHolder
from tests.fakes.telemetry.listed_meters import FakeListedMeters
from tests.in_process_system import PREPARE_AT, InProcessSystem
from tests.sample_values import DR_EVENT_ID, ENDS_AT

PATIENCE_S = 20.0
POISON, HEALTHY = "fac-001", "fac-002"
RETRY = RetryRestore(dr_event_id=DR_EVENT_ID, facility_id=POISON, reason="its restore failed before")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("interfaces.workers.dispatch.dispatch.TIME_LIMITS", _quick())
    monkeypatch.setattr("interfaces.workers.dispatch.dispatch.PARK_AGAIN_S", 0.01)
    monkeypatch.setattr(open_work, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(retry, "LIMITED_PAUSES", retry.Pauses(0.0, 0.0))
    with capture_logs():
        yield


class Fault:
    """Each call to POISON fails with `error`, until it is None."""

    def __init__(self, world: InProcessSystem, error: Exception | None) -> None:
        self.error, self.tries = error, 0
        self._execute = world.control.execute
        world.control.execute = self.execute  # type: ignore[method-assign]

    async def execute(self, connection: BmsConnection, *arguments: Any, **options: Any) -> Any:
        if connection.facility_id == POISON and self.error is not None:
            self.tries += 1
            raise self.error
        return await self._execute(connection, *arguments, **options)


def relayed(world: InProcessSystem) -> InProcessSystem:
    """Relay until nothing follows any more, but carry out no work."""
    head = -1
    while head != world.scenario.store.head():
        head = world.scenario.store.head()
        world.relay_all()
    return world


def work_off(world: InProcessSystem) -> None:
    """Run a dispatch worker until nothing waits, and relay."""
    rows = world.scenario.store.open_work
    worker = DispatchWorker(
        rows=rows,
        holder=FakeWorkHolder(rows),
        signal=NoSignal(),
        event_log=world.scenario.store,
        calls=world.calls,
        locks=FakeLocks(),
    )

    async def scenario() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(worker.run(stop))
        async with asyncio.timeout(PATIENCE_S):
            while any(row.kind == "bms" for row in rows.rows.values()):
                assert not running.done(), running.result()
                await asyncio.sleep(0.005)
        stop.set()
        await running

    asyncio.run(scenario())
    relayed(world)


class NoSignal:
    async def wait(self, heartbeat_s: float) -> None:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("error", [TypeError("a defect"), AttributeError("x"), RuntimeError("x")])
def test_work_that_fails_with_any_error_is_parked_after_some_tries(error: Exception) -> None:
    world = InProcessSystem.accepted(POISON, HEALTHY).until("scheduled")
    world.scenario.at(PREPARE_AT).after(StartPreparation(dr_event_id=DR_EVENT_ID))
    world.relay_all()
    fault = Fault(world, error)
    work_off(world)
    assert world.dispatch(HEALTHY).status == "prepared"
    [letter] = world.dead_letters.listed(queue="bms_command")
    assert (letter.subject, letter.reason) == (POISON, f"{type(error).__name__}: {error}")
    assert 1 <= fault.tries <= MAX_TRIES
    assert ("command_dead_lettered", POISON) in {
        (alert.name, alert.subject) for alert in world.alerts.listed()
    }
    assert outcomes(world, "prepare") == ["gave_up"]
    assert world.dispatch(POISON).failure is not None


def with_parked_restore() -> tuple[InProcessSystem, Fault, DeadLetter]:
    world = InProcessSystem.accepted(POISON, HEALTHY).until("active")
    fault = Fault(world, TypeError("a defect"))
    world.scenario.at(ENDS_AT).after(EndDREvent(dr_event_id=DR_EVENT_ID))
    relayed(world)
    work_off(world)
    [letter] = world.dead_letters.listed(queue="bms_command")
    assert (world.dispatch(HEALTHY).status, world.dispatch(POISON).status) == ("restored", "restore_failed")
    return world, fault, letter


def outcomes(world: InProcessSystem, phase: Phase) -> list[str]:
    return [record.state for record in world.dispatch(POISON).latest(phase).values()]


def test_a_parked_restore_is_replayed_once_the_defect_is_mended() -> None:
    world, fault, letter = with_parked_restore()
    assert outcomes(world, "restore") == ["gave_up"]
    assert ("restore_failing", f"{POISON}/hall") in {(one.name, one.subject) for one in world.alerts.listed()}
    fault.error = None
    replay = DeadLetterReplay(
        dead_letters=world.dead_letters,
        bus=world.scenario.bus,
        clock=world.scenario.clock,
        open_work=world.scenario.store.open_work,
        stream=_unused,
        meters=FakeListedMeters(),
        event_log=world.scenario.store,
    )
    asyncio.run(replay.replay(letter.dead_letter_id, by="operator:1", reason="mended"))
    work_off(relayed(world))
    assert world.dispatch(POISON).status == "restored"
    assert world.actions().count((POISON, "restore")) == 1


def test_a_parked_restore_that_is_discarded_is_not_issued_again() -> None:
    """It is tried again by its own rule, under a new command."""
    world, fault, letter = with_parked_restore()
    discard(
        letter.dead_letter_id,
        world.dead_letters,
        by="operator:1",
        reason="known",
        at=world.scenario.clock.now(),
    )
    assert world.recorded(Dispatch.BmsCommandReissued) == []
    fault.error = None
    world.scenario.after(RETRY)
    work_off(relayed(world))
    assert world.dispatch(POISON).status == "restored"


def test_a_restore_that_is_parked_again_and_again_has_one_open_letter() -> None:
    world, _, letter = with_parked_restore()
    for _ in range(3):
        world.scenario.at(world.scenario.clock.now() + timedelta(hours=1)).after(RETRY)
        work_off(relayed(world))
    assert [record.issue for record in world.dispatch(POISON).latest("restore").values()] == [4]
    assert [one.dead_letter_id for one in world.dead_letters.listed()] == [letter.dead_letter_id]
    assert world.dispatch(POISON).status == "restore_failed"


def test_parked_work_whose_outcome_cannot_be_recorded_stays_open() -> None:
    """Its letter is there at once, and the outcome follows once it can be recorded."""
    world = InProcessSystem.accepted(POISON).until("scheduled")
    world.scenario.at(PREPARE_AT).after(StartPreparation(dr_event_id=DR_EVENT_ID))
    relayed(world)
    Fault(world, TypeError("a defect"))
    handle: Callable[..., Any] = world.calls.commands.handle
    failures = iter([TypeError("another")] * (2 * MAX_TRIES))

    async def failing(command: Any, *arguments: Any, **options: Any) -> Any:
        if type(command).__name__ == "RecordBmsGivenUp" and (failure := next(failures, None)) is not None:
            assert [letter.subject for letter in world.dead_letters.listed(queue="bms_command")] == [POISON]
            assert outcomes(world, "prepare") == ["requested"]
            raise failure
        return await handle(command, *arguments, **options)

    world.calls.commands.handle = failing  # type: ignore[method-assign]
    work_off(world)
    assert next(failures, None) is None
    assert outcomes(world, "prepare") == ["gave_up"]
    assert len(world.dead_letters.listed(queue="bms_command")) == 1


def _unused() -> Never:
    raise AssertionError("this replay needs no connection")


def _quick() -> Any:
    return type("Limits", (), {"retry_wall_s": 0.01})()
