"""A question about the state of a zone lets commands be made first, but does not wait for a slow one without end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from adapters.bms import soap_client
from adapters.bms.soap import SoapBuildingControl
from adapters.clock import SystemClock
from application.ports.dispatch.building_control import BmsError
from tests.fakes.dispatch.call_slots import FakeCallSlots
from tests.integration.bms.rig import http, order, raw_server, served_building
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


async def called(bms: Bms, slots: FakeCallSlots) -> None:
    """A question about one building, then a command to another one, while a third is being called."""
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
    asyncio.run(called(bms, FakeCallSlots(1, check_wait_s=0.0)))
    assert bms.came == ["command", "command", "question"]


def test_a_question_waits_for_commands_although_a_slot_is_free() -> None:
    bms = Bms(at_once=2)
    asyncio.run(called(bms, FakeCallSlots(3)))
    assert bms.came == ["command", "command", "question"]


def test_a_question_does_not_wait_for_a_slow_command_without_end() -> None:
    bms = Bms(at_once=3)
    asyncio.run(called(bms, FakeCallSlots(3, check_wait_s=0.05)))
    assert sorted(bms.came) == ["command", "command", "question"]


class RecordedSlots(FakeCallSlots):
    """Records how each call asks for a slot: (urgent, continues)."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[bool, bool]] = []

    @asynccontextmanager
    async def held(self, *, urgent: bool = True, continues: bool = False) -> AsyncIterator[None]:
        self.asked.append((urgent, continues))
        async with super().held(urgent=urgent, continues=continues):
            yield


def test_the_zones_of_a_check_continue_it_but_a_command_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check waits for commands once, not again for each zone: commands to its building would wait for it."""
    monkeypatch.setattr(soap_client, "CONSECUTIVE_S", PATIENCE_S)
    slots = RecordedSlots()

    async def scenario() -> None:
        async with served_building(slots=slots) as served:
            for _ in range(2):
                await served.control.zone_state(served.connection, "hall")
            await served.control.execute(served.connection, order())
            await served.control.command_status(served.connection, order())

    asyncio.run(scenario())
    assert slots.asked == [(False, False), (False, True), (True, False), (True, True)]
