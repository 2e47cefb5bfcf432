"""KeyedExecutor runs jobs of the same key in order, and others concurrently."""

import asyncio
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interfaces.workers.decide.ordered_executor import Job, KeyedExecutor
from tests.sizes import examples

PATIENCE_S = 20.0


@given(
    jobs=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=40),
    at_once=st.integers(1, 4),
)
@settings(max_examples=examples(50), deadline=None)
def test_jobs_of_a_key_run_in_order_and_concurrency_is_limited(
    jobs: list[tuple[str, int]], at_once: int
) -> None:
    async def scenario() -> None:
        lanes, done, running, most = KeyedExecutor(at_once), defaultdict[str, list[int]](list), 0, 0

        def job(lane: str, number: int, turns: int) -> Job:
            async def run() -> None:
                nonlocal running, most
                running += 1
                most = max(most, running)
                for _ in range(turns):
                    await asyncio.sleep(0)
                done[lane].append(number)
                running -= 1

            return run

        futures = [lanes.put(lane, job(lane, n, turns)) for n, (lane, turns) in enumerate(jobs)]
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*futures)
        assert most <= at_once
        for lane, numbers in done.items():
            assert numbers == [n for n, (of, _) in enumerate(jobs) if of == lane]

    asyncio.run(scenario())


def test_a_failed_job_ends_only_the_jobs_of_its_key() -> None:
    async def scenario() -> None:
        lanes, done = KeyedExecutor(2), list[str]()

        async def fails() -> None:
            raise RuntimeError("a bug")

        async def works() -> None:
            done.append("done")

        failing, behind = lanes.put("a", fails), lanes.put("a", works)
        async with asyncio.timeout(PATIENCE_S):
            await lanes.put("b", works)
            with pytest.raises(RuntimeError, match="a bug"):
                await failing
        assert (done, behind.done()) == (["done"], False)
        await lanes.aclose()

    asyncio.run(scenario())


def test_waiting_jobs_are_not_started_after_a_close() -> None:
    async def scenario() -> None:
        lanes, begun, forever = KeyedExecutor(1), list[str](), asyncio.Event()

        async def waits() -> None:
            begun.append("first")
            await forever.wait()

        async def never() -> None:
            begun.append("second")

        lanes.put("a", waits)
        lanes.put("a", never)
        lanes.put("b", never)
        await asyncio.sleep(0)
        await lanes.aclose()
        assert begun == ["first"]

    asyncio.run(scenario())
