"""AsyncBatcher: concurrent requests, the number of calls that they cause, and who gets which answer."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from application import async_batcher
from application.async_batcher import AsyncBatcher
from tests.patience import ANSWER_S


class Slow:
    """Answers a key with its upper-case form when released; records the keys of each call."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.let = asyncio.Event()
        self.failing = False
        self.under_way = self.most_under_way = 0

    async def __call__(self, keys: Sequence[str]) -> list[str | None]:
        self.asked.append(tuple(keys))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await self.let.wait()
        self.under_way -= 1
        if self.failing:
            raise ConnectionError("away")
        return [None if key == "unknown" else key.upper() for key in keys]


def sharing(slow: Slow, **options: Any) -> AsyncBatcher[str, str | None]:
    """Requests for a key share an answer, also that of a call under way."""
    return AsyncBatcher(slow, key=str, joins_running=True, **options)


def test_a_thousand_requests_for_one_key_make_one_call() -> None:
    async def scenario() -> None:
        slow = Slow()
        asks = sharing(slow)
        tasks = [asyncio.create_task(asks.get("a")) for _ in range(1_000)]
        await asyncio.sleep(0)
        slow.let.set()
        assert await asyncio.gather(*tasks) == ["A"] * 1_000
        assert slow.asked == [("a",)]

    asyncio.run(scenario())


def test_requests_during_a_call_share_the_next_call() -> None:
    async def scenario() -> None:
        slow = Slow()
        asks = sharing(slow, limit=3)
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(asks.get(name)) for name in "abcdef"]
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(asks.get_all(["a", "g"])))
        await asyncio.sleep(0)
        slow.let.set()
        assert (await asyncio.gather(*tasks))[-1] == ["A", "G"]
        assert [len(keys) for keys in slow.asked] == [3, 3, 1]
        assert slow.most_under_way == 1

    asyncio.run(scenario())


def test_consecutive_calls_may_have_a_minimum_interval() -> None:
    async def scenario() -> None:
        slow = Slow()
        slow.let.set()
        asks = sharing(slow, min_interval_s=3.0)
        assert await asks.get("a") == "A"
        later = []
        for name in "abc":
            later.append(asyncio.create_task(asks.get(name)))
            await asyncio.sleep(0.005)
        await asyncio.gather(*later)
        assert slow.asked == [("a",), ("a", "b", "c")]

    asyncio.run(scenario())


def test_the_number_of_concurrent_calls_is_limited() -> None:
    async def scenario() -> None:
        slow = Slow()
        asks = sharing(slow, limit=1, at_once=2)
        tasks = []
        for name in "abcd":
            tasks.append(asyncio.create_task(asks.get(name)))
            await asyncio.sleep(0)
        slow.let.set()
        await asyncio.gather(*tasks)
        assert (slow.most_under_way, len(slow.asked)) == (2, 4)

    asyncio.run(scenario())


def test_a_call_can_start_in_the_loop_step_in_which_the_previous_one_ended() -> None:
    async def scenario() -> None:
        slow = Slow()
        slow.let.set()
        asks = sharing(slow)
        for _ in range(50):
            async with asyncio.timeout(ANSWER_S):
                assert await asks.get("a") == "A"

    asyncio.run(scenario())


def test_a_failure_is_raised_to_every_waiting_caller_and_to_no_later_one() -> None:
    async def scenario() -> None:
        slow = Slow()
        slow.failing = True
        slow.let.set()
        asks = sharing(slow)
        answers = await asyncio.gather(*(asks.get("a") for _ in range(3)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [ConnectionError] * 3
        slow.failing = False
        assert await asks.get("a") == "A"

    asyncio.run(scenario())


def test_a_cancelled_caller_does_not_affect_the_others() -> None:
    async def scenario() -> None:
        slow = Slow()
        asks = sharing(slow)
        impatient, patient = (asyncio.create_task(asks.get("a")) for _ in range(2))
        await asyncio.sleep(0)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        slow.let.set()
        assert await patient == "A"

    asyncio.run(scenario())


def test_the_answers_are_in_the_order_of_the_requests_and_no_requests_make_no_call() -> None:
    async def scenario() -> None:
        slow = Slow()
        slow.let.set()
        asks = sharing(slow)
        assert await asks.get_all(["unknown", "a", "a"]) == [None, "A", "A"]
        assert await asks.get_all([]) == []
        assert len(slow.asked) == 1

    asyncio.run(scenario())


def test_an_answer_counts_only_for_requests_made_before_its_call() -> None:
    async def scenario() -> None:
        slow = Slow()
        asks: AsyncBatcher[str, str | None] = AsyncBatcher(slow, key=str)
        first = asyncio.create_task(asks.get("a"))
        for _ in range(2):  # its task, then the call
            await asyncio.sleep(0)
        assert slow.asked == [("a",)]
        later = [asyncio.create_task(asks.get(name)) for name in "aba"]
        await asyncio.sleep(0)
        slow.let.set()
        assert await first == "A"
        assert await asyncio.gather(*later) == ["A", "B", "A"]
        assert slow.asked == [("a",), ("a", "b")]

    asyncio.run(scenario())


def test_without_a_key_every_request_has_its_own_answer() -> None:
    async def scenario() -> None:
        slow = Slow()
        slow.let.set()
        asks: AsyncBatcher[str, str | None] = AsyncBatcher(slow)
        assert await asyncio.gather(*(asks.get("a") for _ in range(3))) == ["A"] * 3
        assert slow.asked == [("a", "a", "a")]

    asyncio.run(scenario())


def test_the_error_of_one_request_is_raised_for_it_only() -> None:
    async def call(requests: Sequence[str]) -> list[str | Exception]:
        return [ValueError(one) if one == "bad" else one for one in requests]

    async def scenario() -> None:
        asks: AsyncBatcher[str, str] = AsyncBatcher(call)
        good, bad = await asyncio.gather(asks.get("good"), asks.get("bad"), return_exceptions=True)
        assert (good, str(bad), type(bad)) == ("good", "bad", ValueError)

    asyncio.run(scenario())


def test_a_request_may_wait_for_others_until_it_is_flushed() -> None:
    async def scenario() -> None:
        slow = Slow()
        slow.let.set()
        asks: AsyncBatcher[str, str | None] = AsyncBatcher(slow, max_wait_s=3_600.0)
        futures = [asks.put("a")]
        await asyncio.sleep(0.01)
        futures.append(asks.put("b"))
        assert slow.asked == []
        asks.flush()
        assert await asyncio.gather(*futures) == ["A", "B"]
        assert slow.asked == [("a", "b")]

    asyncio.run(scenario())


def test_a_long_wait_for_an_unavailable_server_ends_for_all_who_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(async_batcher, "LONG_WAIT_S", 0.05)

    async def calls(unavailable: tuple[type[Exception], ...]) -> int:
        slow = Slow()
        slow.failing = True
        asks: AsyncBatcher[str, str | None] = AsyncBatcher(slow, limit=1, unavailable=unavailable)
        tasks = [asyncio.create_task(asks.get(name)) for name in "ab"]
        await asyncio.sleep(0.1)
        slow.let.set()
        await asyncio.wait(tasks)
        assert [type(task.exception()) for task in tasks] == [ConnectionError] * 2
        return len(slow.asked)

    assert asyncio.run(calls((ConnectionError,))) == 1
    assert asyncio.run(calls(())) == 2


def test_no_caller_waits_for_ever_if_the_batcher_is_cancelled_or_answers_are_missing() -> None:
    async def too_few(requests: Sequence[str]) -> list[str]:
        return list(requests[1:])

    async def scenario() -> None:
        missing: AsyncBatcher[str, str] = AsyncBatcher(too_few)
        with pytest.raises(ValueError, match="shorter"):
            await missing.get("a")
        asks = sharing(Slow(), limit=1)
        futures = [asks.put("a"), asks.put("b")]
        await asyncio.sleep(0)
        for worker in list(asks._workers):
            worker.cancel()
        await asyncio.wait(futures)
        assert all(future.cancelled() for future in futures)

    asyncio.run(scenario())


def test_when_idle_is_called_after_the_last_call() -> None:
    async def scenario() -> None:
        slow, idle = Slow(), list[int]()
        slow.let.set()
        asks: AsyncBatcher[str, str | None] = AsyncBatcher(
            slow, limit=1, when_idle=lambda: idle.append(len(slow.asked))
        )
        await asyncio.gather(asks.get("a"), asks.get("b"))
        await asyncio.sleep(0)
        assert idle == [2]

    asyncio.run(scenario())
