"""A halt of the relay ends it, whatever else is under way."""

import asyncio
from typing import Any
from uuid import UUID

import msgspec
import pytest

from application.event_store.event_mapper import UnknownTopic
from application.ports.event_store.event_log import LogEntry, LogEntryUnreadable
from domain.dr_event import DREvent
from interfaces.workers.decide.relay import Relay
from tests.fakes.event_store.event_log import FakeEventLog
from tests.fakes.event_store.reader_positions import FakeReaderPositions
from tests.in_process_system import InProcessSystem

PATIENCE_S = 20.0


def test_a_halt_ends_the_relay_even_while_earlier_work_is_pending() -> None:
    """The commands before it wait without an end, and a newer relay is to continue."""
    world = InProcessSystem.accepted("fac-001").until("preparing")
    [accepted] = world.recorded(DREvent.Accepted)
    other = msgspec.structs.replace(accepted, originator_id=UUID(int=2))
    entries = [LogEntry(place, accepted.TOPIC, fact) for place, fact in enumerate((accepted, other), start=1)]
    begun: list[str] = []

    class OlderRelease:
        async def handle(self, command: Any, *_: Any, **__: Any) -> None:
            begun.append(type(command).__name__)
            if len(begun) == 1:
                await asyncio.Event().wait()
            raise UnknownTopic("upgrade this process")

    async def scenario() -> None:
        values = {name: getattr(world.relay, name) for name in Relay.__dataclass_fields__}
        changes = {"event_log": FakeEventLog(entries), "positions": FakeReaderPositions()}
        relay = Relay(**(values | changes | {"commands": OlderRelease()}))
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(LogEntryUnreadable, match="upgrade this process"):
                await relay.run(asyncio.Event())

    asyncio.run(scenario())
    assert len(begun) == 2
