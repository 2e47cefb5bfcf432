"""The relay may stop anywhere and start over: repeated work has no effect."""

import asyncio
from typing import Any

import pytest

from domain.errors import DomainError
from interfaces.workers.decide.relay import READER, Relay
from tests.fakes.event_store.reader_positions import FakeReaderPositions
from tests.in_process_system import InProcessSystem

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


@pytest.mark.parametrize("strike", range(1, 5))
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
