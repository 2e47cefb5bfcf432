"""After a crash the relay may read commands in other groups (a regression of fault storm seed 100)."""

import asyncio
from typing import Any
from uuid import UUID

import msgspec

from application.ports.dispatch.work_queue import BmsWork
from application.ports.event_store.event_log import LogEntry
from domain.dispatch import Dispatch
from domain.identifiers import dispatch_id
from interfaces.workers.relay.relay import READER, Relay
from tests.bms_reader import BmsReader
from tests.fakes.event_store.event_log import FakeEventLog
from tests.fakes.event_store.reader_positions import FakeReaderPositions
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID

STREAM = dispatch_id(DR_EVENT_ID, "fac-001")
PATIENCE_S = 20.0


def requested_by_itself() -> Dispatch.BmsCommandRequested:
    """A single requested command."""
    world = InProcessSystem.accepted("fac-001").until("preparing")
    [requested] = world.recorded(Dispatch.BmsCommandRequested)
    assert isinstance(requested, Dispatch.BmsCommandRequested)
    return requested


def another(requested: Dispatch.BmsCommandRequested, zone_id: str) -> Dispatch.BmsCommandRequested:
    """The next command of the same stream, saved later."""
    command = msgspec.structs.replace(requested.command, command_id=UUID(int=99), zone_id=zone_id)
    return msgspec.structs.replace(
        requested, originator_version=requested.originator_version + 1, command=command
    )


def test_a_command_published_singly_and_read_again_with_the_next_is_not_lost() -> None:
    world = InProcessSystem.accepted("fac-001")
    first = requested_by_itself()
    second = another(first, "shop")

    async def relayed(*facts: Any) -> None:
        """Runs a relay from the beginning, because the earlier one died before it moved its position."""
        log = FakeEventLog(
            LogEntry(place, "dispatch.bms-command-requested.v1", fact)
            for place, fact in enumerate(facts, start=1)
        )
        positions, stop = FakeReaderPositions(), asyncio.Event()
        values = {name: getattr(world.relay, name) for name in Relay.__dataclass_fields__}
        relay = Relay(**(values | {"event_log": log, "positions": positions}))
        running = asyncio.create_task(relay.run(stop))
        async with asyncio.timeout(PATIENCE_S):
            while positions.position(READER) < len(facts):  # noqa: ASYNC110 - another task changes the condition
                await asyncio.sleep(0.002)
        stop.set()
        await running

    async def published() -> set[UUID]:
        found: set[UUID] = set()
        reader = BmsReader(world.queue)
        while (item := await reader.next("fac-001", wait_s=0)) is not None:
            work = msgspec.json.decode(item.body, type=BmsWork)
            found |= {*work.more, *([work.command_id] if work.command_id else [])}
            await item.done()
        return found

    async def scenario() -> set[UUID]:
        await relayed(first)
        await relayed(first, second)
        return await published()

    assert asyncio.run(scenario()) == {first.command.command_id, second.command.command_id}
