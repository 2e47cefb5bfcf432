"""The virtual loop: time, the random order, and processes that are killed and stopped."""

import asyncio
from collections.abc import Coroutine
from contextvars import copy_context
from typing import Any, cast

import pytest

from tests.simulation.runtime.processes import Process
from tests.simulation.runtime.virtual_loop import OWNER, Killed, Stuck, VirtualLoop


def run(scenario: Coroutine[Any, Any, Any], seed: int = 1) -> Any:
    loop = VirtualLoop(seed)
    try:
        return loop.run_until_complete(scenario)
    finally:
        loop.close_down()


def loop_now() -> VirtualLoop:
    return cast("VirtualLoop", asyncio.get_running_loop())


def started(process: Process, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """`work`, run by that process."""
    inside = copy_context()
    inside.run(OWNER.set, process)
    return asyncio.get_running_loop().create_task(work, context=inside)


def test_time_jumps_to_the_next_scheduled_callback() -> None:
    async def scenario() -> float:
        await asyncio.sleep(86_400)
        return loop_now().time()

    assert run(scenario()) == pytest.approx(86_400)


def test_a_handle_has_all_that_asyncio_gives_to_its_own() -> None:
    """The loop's handles skip asyncio's constructor: an attribute of a newer Python would be missing."""
    loop = VirtualLoop(1)
    try:
        for ours in (loop.call_soon(print, 1), loop.call_later(5.0, print, 1)):
            theirs = asyncio.TimerHandle(ours.when(), print, (1,), loop)  # type: ignore[attr-defined]
            names = {*asyncio.Handle.__slots__, *asyncio.TimerHandle.__slots__} - {"__weakref__", "_context"}
            assert {name: getattr(ours, name) for name in names} == {
                name: getattr(theirs, name) for name in names
            }
    finally:
        loop.close_down()


def test_the_seed_determines_the_order_of_ready_tasks() -> None:
    async def scenario() -> list[int]:
        done: list[int] = []

        async def one(number: int) -> None:
            for _ in range(3):
                await asyncio.sleep(0)
            done.append(number)

        await asyncio.gather(*(one(number) for number in range(6)))
        return done

    orders = {seed: run(scenario(), seed) for seed in range(8)}
    assert len({tuple(order) for order in orders.values()}) > 1
    assert all(run(scenario(), seed) == order for seed, order in orders.items())


def test_a_call_in_a_thread_runs_inline_and_raises_to_its_caller() -> None:
    async def scenario() -> None:
        assert await asyncio.to_thread(lambda: 7) == 7
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)

    run(scenario())


def test_other_tasks_run_inside_a_slow_call() -> None:
    async def scenario() -> list[str]:
        happened: list[str] = []

        def slow() -> None:
            happened.append("loaded")
            loop_now().let_others_run(5.0)
            happened.append("saved")

        async def other() -> None:
            await asyncio.sleep(1)
            happened.append("another")

        await asyncio.gather(asyncio.to_thread(slow), other())
        return happened

    assert run(scenario()) == ["loaded", "another", "saved"]


def test_a_killed_process_runs_nothing_not_even_finally_blocks() -> None:
    async def scenario() -> list[str]:
        happened: list[str] = []
        process = Process("worker", 1)

        async def work() -> None:
            try:
                await asyncio.sleep(10)
                happened.append("worked")
            finally:
                happened.append("cleaned up")

        started(process, work())
        await asyncio.sleep(5)
        process.kill()
        await asyncio.sleep(100)
        return list(happened)

    assert run(scenario()) == []


def test_a_stopped_process_resumes_where_it_was() -> None:
    async def scenario() -> list[float]:
        woke: list[float] = []
        process = Process("worker", 1)

        async def work() -> None:
            await asyncio.sleep(10)
            woke.append(loop_now().time())

        started(process, work())
        await asyncio.sleep(5)
        process.stopped = True
        await asyncio.sleep(60)
        process.stopped = False
        loop_now().resume(process)
        await asyncio.sleep(1)
        return woke

    assert run(scenario()) == [pytest.approx(65)]


def test_a_call_of_a_killed_process_never_returns() -> None:
    async def scenario() -> bool:
        def dies() -> None:
            raise Killed

        task = asyncio.create_task(asyncio.to_thread(dies))
        await asyncio.sleep(10)
        return task.done()

    assert run(scenario()) is False


def test_a_loop_that_cannot_advance_raises_stuck() -> None:
    loop = VirtualLoop(1)
    waiting = asyncio.Event()
    with pytest.raises(Stuck):
        loop.run_until_complete(waiting.wait())
    loop.close_down()
