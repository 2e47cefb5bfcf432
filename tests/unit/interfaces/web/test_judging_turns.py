"""A few posts are judged at a time, in the order of asking, and nobody waits for ever."""

import asyncio

import pytest

from interfaces.web.judging_turns import JudgingTurns
from interfaces.web.problems import Problem


def test_no_more_are_judged_at_once_than_may_and_all_in_the_order_of_asking() -> None:
    inside, most, order = 0, 0, []

    async def judged(turns: JudgingTurns, number: int) -> None:
        nonlocal inside, most
        async with turns.turn():
            inside += 1
            most = max(most, inside)
            order.append(number)
            await asyncio.sleep(0)
            inside -= 1

    async def story() -> None:
        turns = JudgingTurns(3)
        await asyncio.gather(*(judged(turns, number) for number in range(20)))

    asyncio.run(story())
    assert (most, order) == (3, list(range(20)))


def test_one_that_is_refused_gives_its_turn_back() -> None:
    async def story() -> None:
        turns = JudgingTurns(1)
        for _ in range(3):
            with pytest.raises(RuntimeError, match="refused"):
                async with turns.turn():
                    raise RuntimeError("refused")

    asyncio.run(story())


def test_who_gets_no_turn_in_time_is_told_when_to_come_back() -> None:
    async def story() -> None:
        turns = JudgingTurns(1, within_s=0.0)
        async with turns.turn():
            with pytest.raises(Problem) as refusal:
                async with turns.turn():
                    pass
            assert (refusal.value.name, "Retry-After" in refusal.value.headers) == ("unavailable", True)
        async with turns.turn():
            pass

    asyncio.run(story())
