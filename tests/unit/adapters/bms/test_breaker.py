"""The BMS breaker uses the time of its event loop: a wall clock that is set back does not prolong its open period."""

import asyncio

import pytest

from adapters.bms.breaker import BmsBreakers
from application.ports.dispatch.building_control import BmsRefused, BmsTimedOut, BmsUnreachable
from tests.simulation.runtime.virtual_loop import VirtualLoop

A_DAY_S = 86_400.0


async def called(breakers: BmsBreakers, error: Exception | None = None) -> None:
    async with breakers.guarding("fac-001"):
        if error is not None:
            raise error


async def timed_out(breakers: BmsBreakers, times: int) -> None:
    for _ in range(times):
        with pytest.raises(BmsTimedOut):
            await called(breakers, BmsTimedOut("silent"))


async def a_day_with_a_silent_bms() -> list[str]:
    changes: list[str] = []
    breakers = BmsBreakers(
        threshold=5, open_wall_s=A_DAY_S, listener=lambda facility_id, state: changes.append(state)
    )
    await timed_out(breakers, 4)
    with pytest.raises(BmsRefused):
        await called(breakers, BmsRefused("local_override", "an answer: the count begins anew"))
    await timed_out(breakers, 5)
    await asyncio.sleep(A_DAY_S - 1)
    with pytest.raises(BmsUnreachable, match="breaker open"):
        await called(breakers)
    await asyncio.sleep(1)
    await timed_out(breakers, 1)
    with pytest.raises(BmsUnreachable, match="breaker open"):
        await called(breakers)
    await asyncio.sleep(A_DAY_S)
    await called(breakers)
    await called(breakers)
    return changes


def test_the_breaker_opens_for_its_period_then_tries_one_call_and_closes_after_an_answer() -> None:
    loop = VirtualLoop(1)
    try:
        changes = loop.run_until_complete(a_day_with_a_silent_bms())
    finally:
        loop.close_down()
    assert changes == ["opened", "half-opened", "opened", "half-opened", "closed"]
