"""The relay may stop anywhere and start over: repeated work has no effect."""

import asyncio
from typing import Any

import msgspec
import pytest

from application.commands.dr_event import StartPreparation
from application.ports.dispatch.work_queue import BmsWork
from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.errors import DomainError
from interfaces.workers.relay.relay import READER, Relay
from tests.bms_reader import BmsReader
from tests.fakes.event_store.reader_positions import FakeReaderPositions
from tests.in_process_system import PREPARE_AT, InProcessSystem
from tests.sample_values import DR_EVENT_ID, UTILITY

PATIENCE_S = 20.0


class Killed(BaseException):
    """Stands for a SIGKILL."""


def relay_of(world: InProcessSystem, **changes: Any) -> Relay:
    values: dict[str, Any] = {name: getattr(world.relay, name) for name in Relay.__dataclass_fields__}
    return Relay(**(values | changes))


async def run_until(relay: Relay, world: InProcessSystem) -> None:
    """Run the relay until its position is the head of the log."""
    stop = asyncio.Event()
    running = asyncio.create_task(relay.run(stop))
    async with asyncio.timeout(PATIENCE_S):
        while relay.positions.position(READER) < world.scenario.store.head() and not running.done():  # noqa: ASYNC110 - it is set elsewhere
            await asyncio.sleep(0.002)
    stop.set()
    await running


def test_relaying_the_whole_log_again_changes_nothing() -> None:
    world = InProcessSystem.accepted("fac-001", "fac-002").until("completed")
    head, actions, told = world.scenario.store.head(), world.actions(), len(world.callbacks)
    world.position = 0
    world.settle()
    assert (world.scenario.store.head(), world.actions(), len(world.callbacks)) == (head, actions, told)


@pytest.mark.parametrize("strike", range(1, 7))
def test_a_relay_killed_at_any_failpoint_reaches_the_same_result(strike: int) -> None:
    """After each kill a new relay starts at the stored position."""
    undisturbed = InProcessSystem.accepted("fac-001")
    asyncio.run(run_until(undisturbed.relay, undisturbed))
    world = InProcessSystem.accepted("fac-001")
    reached: list[str] = []

    def strikes(name: str, in_flight: str) -> None:
        reached.append(name)
        if len(reached) == strike:
            raise Killed(name)

    with pytest.raises(Killed):
        asyncio.run(run_until(relay_of(world, reached=strikes), world))
    asyncio.run(run_until(world.relay, world))
    assert _kinds(world) == _kinds(undisturbed)


def _kinds(world: InProcessSystem) -> list[type]:
    return [type(domain_event) for domain_event in world.recorded()]


def test_the_position_does_not_move_past_an_intent_while_the_queue_is_down() -> None:
    world = InProcessSystem.accepted("fac-001")
    positions = FakeReaderPositions()
    relay = relay_of(world, positions=positions)

    async def scenario() -> None:
        world.queue.is_down = True
        stop = asyncio.Event()
        running = asyncio.create_task(relay.run(stop))
        async with asyncio.timeout(PATIENCE_S):
            while not world.recorded(DREvent.CallbackRequested):  # noqa: ASYNC110 - it is set elsewhere
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.05)
            [intent] = world.recorded(DREvent.CallbackRequested)
            assert positions.position(READER) < _position_of(world, intent)
            world.queue.is_down = False
            while positions.position(READER) < world.scenario.store.head():  # noqa: ASYNC110 - it is set elsewhere
                await asyncio.sleep(0.005)
        stop.set()
        await running
        assert await world.queue.next_callback(UTILITY, wait_s=0) is not None

    asyncio.run(scenario())


def _position_of(world: InProcessSystem, domain_event: Any) -> int:
    entries = world.scenario.store.read_after(0, 1_000)
    return next(entry.position for entry in entries if entry.domain_event == domain_event)


def test_the_relay_continues_after_a_domain_error() -> None:
    world = InProcessSystem.accepted("fac-001")

    class RefusingCommands:
        async def handle(self, *_: Any, **__: Any) -> None:
            raise DomainError("not now")

    refused = relay_of(world, commands=RefusingCommands(), positions=FakeReaderPositions())
    asyncio.run(run_until(refused, world))
    assert refused.positions.position(READER) == world.scenario.store.head()


def test_one_of_two_relays_works_and_the_other_waits() -> None:
    world = InProcessSystem.accepted("fac-001")
    reached: list[str] = []
    second = relay_of(world, reached=lambda name, _: reached.append(name), positions=FakeReaderPositions())

    async def scenario() -> None:
        stop = asyncio.Event()
        async with world.relay.locks.held(READER):
            waiting = asyncio.create_task(second.run(stop))
            await asyncio.sleep(0.05)
            assert reached == []
            stop.set()
        async with asyncio.timeout(PATIENCE_S):
            await waiting

    asyncio.run(scenario())


def test_work_on_the_queue_has_the_causation_and_trace_of_its_intent() -> None:
    world = InProcessSystem.accepted("fac-001").until("scheduled")
    world.scenario.at(PREPARE_AT).after(StartPreparation(dr_event_id=DR_EVENT_ID))
    world.relay_all()

    async def taken() -> BmsWork:
        item = await BmsReader(world.queue).next("fac-001", wait_s=0)
        assert item is not None
        return msgspec.json.decode(item.body, type=BmsWork)

    work = asyncio.run(taken())
    [requested] = world.recorded(Dispatch.BmsCommandRequested)
    assert isinstance(requested, Dispatch.BmsCommandRequested)
    assert (work.task, work.command_id) == ("command", requested.command.command_id)
    assert (work.correlation_id, work.causation_id) == (requested.correlation_id, requested.domain_event_id)
    assert (work.tenant, work.trace_id) == (requested.tenant, requested.trace_id)
