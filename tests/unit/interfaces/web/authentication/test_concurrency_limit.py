"""A limited number of posts run at a time, in the order of arrival, and waits are bounded."""

import asyncio
from threading import Barrier, Event, Lock

import pytest

from interfaces.web.authentication.concurrency_limit import ConcurrencyLimit
from interfaces.web.problems import Problem

PATIENCE_S = 30.0


def test_the_number_of_concurrent_calls_equals_the_limit() -> None:
    counting, together, inside, most = Lock(), Barrier(3), 0, 0

    def judge() -> None:
        nonlocal inside, most
        with counting:
            inside += 1
            most = max(most, inside)
        together.wait(PATIENCE_S)
        with counting:
            inside -= 1

    async def scenario() -> None:
        turns = ConcurrencyLimit(3)
        await asyncio.gather(*(turns.run(judge) for _ in range(12)))

    asyncio.run(scenario())
    assert most == 3


def test_calls_run_in_the_order_of_arrival() -> None:
    async def scenario() -> list[int]:
        turns, order = ConcurrencyLimit(1), list[int]()
        await asyncio.gather(*(turns.run(order.append, number) for number in range(20)))
        return order

    assert asyncio.run(scenario()) == list(range(20))


def test_a_call_that_fails_releases_its_slot() -> None:
    def refuse() -> None:
        raise RuntimeError("refused")

    async def scenario() -> None:
        turns = ConcurrencyLimit(1)
        for _ in range(3):
            with pytest.raises(RuntimeError, match="refused"):
                await turns.run(refuse)

    asyncio.run(scenario())


def test_a_caller_that_gets_no_slot_in_time_receives_retry_after() -> None:
    async def scenario() -> None:
        turns, go_on = ConcurrencyLimit(1, within_s=0.0), Event()
        first = asyncio.create_task(turns.run(go_on.wait, PATIENCE_S))
        await asyncio.sleep(0)
        with pytest.raises(Problem) as refusal:
            await turns.run(len, "")
        assert (refusal.value.name, "Retry-After" in refusal.value.headers) == ("unavailable", True)
        go_on.set()
        assert await first
        assert await turns.run(len, "free") == 4

    asyncio.run(scenario())


def test_a_cancelled_call_releases_its_slot_only_when_its_thread_ends() -> None:
    async def scenario() -> None:
        turns, begun, go_on = ConcurrencyLimit(1), Event(), Event()

        def judge() -> None:
            begun.set()
            go_on.wait(PATIENCE_S)

        gone = asyncio.create_task(turns.run(judge))
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        following = asyncio.create_task(turns.run(go_on.is_set))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not following.done(), "the thread of the cancelled call still runs"
        go_on.set()
        assert await following

    asyncio.run(scenario())
