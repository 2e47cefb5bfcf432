"""Commands, BMS work and callbacks of the relay have separate limits; none blocks the others."""

import asyncio
from typing import Any
from uuid import UUID

import msgspec
import pytest

from application.command_bus import retry
from application.dispatch import callback_publisher
from application.event_store.event_mapper import UnknownTopic
from application.ports.dispatch.work_queue import BmsWork, CallbackWork, WorkQueueFull
from application.ports.event_store.event_log import LogEntry, LogEntryUnreadable
from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from interfaces.workers.relay import relay as relay_module
from interfaces.workers.relay.relay import READER, Relay
from tests.fakes.event_store.event_log import FakeEventLog
from tests.fakes.event_store.reader_positions import FakeReaderPositions
from tests.in_process_system import InProcessSystem

PATIENCE_S = 20.0


class Publisher:
    """Accepts BMS work at once, and callbacks only if `has_room` is set."""

    def __init__(self) -> None:
        self.works: list[BmsWork] = []
        self.callbacks: list[CallbackWork] = []
        self.has_room = False

    async def publish_bms(self, work: BmsWork, *, message_id: str) -> None:
        self.works.append(work)

    async def publish_callback(self, work: CallbackWork, *, message_id: str) -> None:
        if not self.has_room:
            raise WorkQueueFull("no room")
        self.callbacks.append(work)


def facts(world: InProcessSystem, kind: type[Any]) -> Any:
    return next(iter(world.recorded(kind)))


def renumbered(intent: DREvent.CallbackRequested, number: int) -> DREvent.CallbackRequested:
    """The same intent for another DR event."""
    return msgspec.structs.replace(intent, originator_id=UUID(int=number), callback_id=UUID(int=number))


def relay_over(world: InProcessSystem, publisher: Publisher, log: list[Any]) -> Relay:
    entries = [LogEntry(place, type(fact).TOPIC, fact) for place, fact in enumerate(log, start=1)]
    values = {name: getattr(world.relay, name) for name in Relay.__dataclass_fields__}
    changes = {
        "event_log": FakeEventLog(entries),
        "positions": FakeReaderPositions(),
        "publisher": publisher,
    }
    return Relay(**(values | changes))


@pytest.fixture
def log() -> tuple[InProcessSystem, list[Any]]:
    """More callbacks of different DR events than may run at once, then work for a building."""
    world = InProcessSystem.accepted("fac-001").until("preparing")
    callback = facts(world, DREvent.CallbackRequested)
    callbacks = [renumbered(callback, number) for number in range(1, 3 * relay_module.CALLBACKS_AT_ONCE)]
    return world, [*callbacks, facts(world, Dispatch.BmsCommandRequested)]


def test_a_full_callback_queue_does_not_delay_bms_work(
    log: tuple[InProcessSystem, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "DEFAULT_PAUSES", retry.Pauses(0.01, 0.01))
    monkeypatch.setattr(relay_module, "BATCH", 2)
    monkeypatch.setattr(relay_module, "MOST_UNDER_WAY", 4)  # fewer than there are callbacks
    world, entries = log

    async def scenario() -> None:
        publisher, stop = Publisher(), asyncio.Event()
        relay = relay_over(world, publisher, entries)
        running = asyncio.create_task(relay.run(stop))
        async with asyncio.timeout(PATIENCE_S):
            while not publisher.works:  # noqa: ASYNC110 - published by the relay
                await asyncio.sleep(0.002)
            assert relay.positions.position(READER) == 0  # not past callbacks that are not yet published
            publisher.has_room = True
            while relay.positions.position(READER) < len(entries):  # noqa: ASYNC110 - another task changes the condition
                await asyncio.sleep(0.002)
        stop.set()
        await running
        assert len(publisher.callbacks) == len(entries) - 1
        assert len(publisher.works) == 1

    asyncio.run(scenario())


def test_a_halt_ends_the_relay_even_while_earlier_work_is_pending(
    log: tuple[InProcessSystem, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The callbacks before it wait without an end, and a newer relay is to continue."""
    monkeypatch.setattr(retry, "DEFAULT_PAUSES", retry.Pauses(0.01, 0.01))
    monkeypatch.setattr(callback_publisher, "FULL_WAIT_S", 3_600.0)
    world, entries = log

    class OlderRelease:
        async def handle(self, *_: Any, **__: Any) -> None:
            raise UnknownTopic("upgrade this process")

    async def scenario() -> None:
        relay = relay_over(world, Publisher(), [*entries, facts(world, DREvent.Accepted)])
        object.__setattr__(relay, "commands", OlderRelease())
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(LogEntryUnreadable, match="upgrade this process"):
                await relay.run(asyncio.Event())

    asyncio.run(scenario())
