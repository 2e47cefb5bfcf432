"""Of the calls that wait for a slot, commands are made before questions about the state of a zone."""

import asyncio

from msgspec.structs import replace

from adapters.bms.soap import SoapBuildingControl
from adapters.clock import SystemClock
from application.ports.dispatch.building_control import BmsError
from tests.fakes.dispatch.call_slots import FakeCallSlots
from tests.integration.bms.rig import http, order, raw_server
from tests.sample_values import THIS_MACHINE

PATIENCE_S = 20.0


class Bms:
    """A BMS that answers only once the expected number of calls is there, and records incoming requests."""

    def __init__(self, *, at_once: int) -> None:
        self.at_once = at_once
        self.came: list[str] = []
        self.may_answer = asyncio.Event()

    async def answer(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        self.came.append("command" if b"PrepareCommand" in request else "question")
        if len(self.came) >= self.at_once:
            self.may_answer.set()
        await self.may_answer.wait()
        writer.write(http(b"nonsense, but an answer"))


async def called(bms: Bms) -> None:
    """A question about one building, then a command to another one, while a third is being called."""
    slots = FakeCallSlots(bms.at_once)
    control = SoapBuildingControl(
        clock=SystemClock(), secret=lambda _: b"", networks=THIS_MACHINE, slots=slots
    )
    async with asyncio.timeout(PATIENCE_S), raw_server(bms.answer) as connection:
        others = [replace(connection, facility_id=facility_id) for facility_id in ("fac-002", "fac-003")]
        calls = [
            control.execute(connection, order()),
            control.zone_state(others[0], "hall"),
            control.execute(others[1], order()),
        ]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(found, BmsError) for found in results)
    await control.aclose()


def test_a_command_gets_the_next_slot_before_a_question_that_came_earlier() -> None:
    bms = Bms(at_once=1)
    asyncio.run(called(bms))
    assert bms.came == ["command", "command", "question"]


def test_a_question_does_not_wait_for_a_slow_command_while_a_slot_is_free() -> None:
    bms = Bms(at_once=3)
    asyncio.run(called(bms))
    assert sorted(bms.came) == ["command", "command", "question"]
