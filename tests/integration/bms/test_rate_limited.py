"""A BMS that answers 429: neither success nor refusal, and the breaker stays closed."""

import asyncio

import pytest

from adapters.bms.soap import SoapBuildingControl
from adapters.clock import SystemClock
from application.ports.dispatch.building_control import BmsBusy
from tests.fakes.dispatch.call_slots import FakeCallSlots
from tests.integration.bms.rig import http, order, raw_server
from tests.sample_values import THIS_MACHINE

MORE_THAN_THE_BREAKER_BEARS = 7


def test_a_rate_limited_call_has_an_open_outcome_and_leaves_the_breaker_closed() -> None:
    asked = 0

    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        writer.write(http(b"slow down", status="429 Too Many Requests", extra="Retry-After: 60\r\n"))

    async def scenario() -> None:
        control = SoapBuildingControl(
            clock=SystemClock(), secret=lambda _: b"", networks=THIS_MACHINE, slots=FakeCallSlots()
        )
        async with raw_server(answer) as connection:
            for _ in range(MORE_THAN_THE_BREAKER_BEARS):
                with pytest.raises(BmsBusy, match="HTTP 429") as busy:
                    await control.execute(connection, order())
                assert busy.value.wait_s == 60.0
        await control.aclose()

    asyncio.run(scenario())
    assert asked == MORE_THAN_THE_BREAKER_BEARS
