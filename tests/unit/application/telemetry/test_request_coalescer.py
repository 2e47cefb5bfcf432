"""Concurrent requests, and the number of calls that they cause."""

import asyncio
from collections.abc import Sequence

import pytest

from application.telemetry.request_coalescer import RequestCoalescer


class Slow:
    """Answers a key with its upper-case form when released; records the keys of each call."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.let = asyncio.Event()
        self.failing = False
        self.under_way = self.most_under_way = 0

    async def __call__(self, keys: Sequence[str]) -> dict[str, str]:
        self.asked.append(tuple(keys))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await self.let.wait()
        self.under_way -= 1
        if self.failing:
            raise ConnectionError("away")
        return {key: key.upper() for key in keys if key != "unknown"}


def test_a_thousand_requests_for_one_key_make_one_call() -> None:
    async def scenario() -> None:
        slow = Slow()
        asks = RequestCoalescer(slow)
        tasks = [asyncio.create_task(asks.get(["a"])) for _ in range(1_000)]
        await asyncio.sleep(0)
        slow.let.set()
        assert await asyncio.gather(*tasks) == [{"a": "A"}] * 1_000
        assert slow.asked == [("a",)]

    asyncio.run(scenario())


def test_requests_during_a_call_share_the_next_call() -> None:
    async def scenario() -> None:
        slow = Slow()
        asks = RequestCoalescer(slow, most=3)
        tasks = [asyncio.create_task(asks.get([name])) for name in "abcdef"]
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(asks.get(["a", "g"])))
        await asyncio.sleep(0)
        slow.let.set()
        assert (await asyncio.gather(*tasks))[-1] == {"a": "A", "g": "G"}
        assert [len(keys) for keys in slow.asked] == [3, 3, 1]
        assert slow.most_under_way == 1

    asyncio.run(scenario())


def test_consecutive_calls_may_have_a_minimum_interval() -> None:
    async def scenario() -> None:
        slow = Slow()
        slow.let.set()
        asks = RequestCoalescer(slow, begins_every_s=0.2)
        assert await asks.get(["a"]) == {"a": "A"}
        later = []
        for name in "abc":
            later.append(asyncio.create_task(asks.get([name])))
            await asyncio.sleep(0.005)
        await asyncio.gather(*later)
        assert slow.asked == [("a",), ("a", "b", "c")]

    asyncio.run(scenario())


def test_the_number_of_concurrent_calls_is_limited() -> None:
    async def scenario() -> None:
        slow = Slow()
        asks = RequestCoalescer(slow, most=1, at_once=2)
        tasks = []
        for name in "abcd":
            tasks.append(asyncio.create_task(asks.get([name])))
            await asyncio.sleep(0)
        slow.let.set()
        await asyncio.gather(*tasks)
        assert (slow.most_under_way, len(slow.asked)) == (2, 4)

    asyncio.run(scenario())


def test_a_call_can_start_in_the_loop_step_in_which_the_previous_one_ended() -> None:
    async def scenario() -> None:
        slow = Slow()
        slow.let.set()
        asks = RequestCoalescer(slow)
        for _ in range(50):
            async with asyncio.timeout(10):
                assert await asks.get(["a"]) == {"a": "A"}

    asyncio.run(scenario())


def test_a_failure_is_raised_to_every_waiting_caller_and_to_no_later_one() -> None:
    async def scenario() -> None:
        slow = Slow()
        slow.failing = True
        slow.let.set()
        asks = RequestCoalescer(slow)
        answers = await asyncio.gather(*(asks.get(["a"]) for _ in range(3)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [ConnectionError] * 3
        slow.failing = False
        assert await asks.get(["a"]) == {"a": "A"}

    asyncio.run(scenario())


def test_a_cancelled_caller_does_not_affect_the_others() -> None:
    async def scenario() -> None:
        slow = Slow()
        asks = RequestCoalescer(slow)
        impatient, patient = (asyncio.create_task(asks.get(["a"])) for _ in range(2))
        await asyncio.sleep(0)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        slow.let.set()
        assert await patient == {"a": "A"}

    asyncio.run(scenario())


def test_absent_keys_are_omitted_and_no_keys_make_no_call() -> None:
    async def scenario() -> None:
        slow = Slow()
        slow.let.set()
        asks = RequestCoalescer(slow)
        assert await asks.get(["unknown", "a"]) == {"a": "A"}
        assert await asks.get([]) == {}
        assert len(slow.asked) == 1

    asyncio.run(scenario())
