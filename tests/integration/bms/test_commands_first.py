"""A non-urgent call lets a running command finish first, but does not wait for long."""

import asyncio
from datetime import UTC, datetime

from adapters.bms.soap import SoapBuildingControl
from adapters.clock import AcceleratedClock
from application.ports.clock import Clock
from application.ports.dispatch.building_control import BmsError
from tests.integration.bms.rig import fast_clock, http, order, raw_server
from tests.sample_values import THIS_MACHINE

PATIENCE_S = 20.0


def slow_clock() -> Clock:
    """A clock on which two seconds last longer than any test."""
    now = datetime.now(UTC)
    return AcceleratedClock(epoch=now, started_at=now, speed=0.01)


class Bms:
    """A BMS that answers a command only on demand and records incoming requests."""

    def __init__(self) -> None:
        self.came: list[str] = []
        self.command_came, self.may_answer = asyncio.Event(), asyncio.Event()

    async def answer(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        is_command = b"PrepareCommand" in request
        self.came.append("command" if is_command else "question")
        if is_command:
            self.command_came.set()
            await self.may_answer.wait()
        writer.write(http(b"nonsense, but an answer"))


async def queried_during_command(bms: Bms, clock: Clock, *, until_question: bool) -> None:
    control = SoapBuildingControl(clock=clock, secret=lambda _: b"", networks=THIS_MACHINE)
    async with asyncio.timeout(PATIENCE_S), raw_server(bms.answer) as connection:
        other = connection.__class__(
            facility_id="fac-002",
            address=connection.address,
            profile=connection.profile,
            credentials_ref=None,
        )
        command = asyncio.create_task(control.execute(connection, order()))
        await bms.command_came.wait()
        question = asyncio.create_task(control.zone_state(other, "hall"))
        if until_question:
            await asyncio.wait([question])
        else:
            await asyncio.sleep(0.05)
        came_before = list(bms.came)
        bms.may_answer.set()
        results = await asyncio.gather(command, question, return_exceptions=True)
        assert all(isinstance(found, BmsError) for found in results)
        bms.came = came_before
    await control.aclose()


def test_a_query_waits_for_the_command() -> None:
    bms = Bms()
    asyncio.run(queried_during_command(bms, slow_clock(), until_question=False))
    assert bms.came == ["command"]


def test_a_query_does_not_wait_for_a_slow_command() -> None:
    bms = Bms()
    asyncio.run(queried_during_command(bms, fast_clock(), until_question=True))
    assert bms.came == ["command", "question"]
