"""Concurrent reads are coalesced into one. A failed or cancelled read does not affect other callers."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Collection, Coroutine
from typing import Any

import msgspec
import pytest

from application import async_batcher
from interfaces.web.caching.coalescing import BatchLoader, ReadCoalescer, RowLoader
from projections.audit.replay import DREventNotRecorded
from projections.queries.views import ReadModelsUnavailable
from tests.patience import ANSWER_S

Scenario = Callable[[], Coroutine[Any, Any, None]]


class Gate:
    """A read that blocks until the test releases it."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.open = threading.Semaphore(0)
        self.failing: set[int] = set()
        self.error: type[Exception] = ReadModelsUnavailable

    def read(self, asked: Any = None) -> int:
        number = len(self.begun)
        self.begun.append(asked)
        assert self.open.acquire(timeout=ANSWER_S)
        if number in self.failing:
            raise self.error(number)
        return number

    async def has_begun(self, count: int) -> None:
        async with asyncio.timeout(ANSWER_S):
            while len(self.begun) < count:  # noqa: ASYNC110 - the read begins in a thread
                await asyncio.sleep(0.001)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def run_scenario(scenario: Scenario) -> None:
    asyncio.run(asyncio.wait_for(scenario(), ANSWER_S))


def test_requests_during_a_read_share_the_next_read() -> None:
    async def scenario() -> None:
        gate, shared = Gate(), ReadCoalescer()
        first = asyncio.create_task(shared.read("page", gate.read))
        await gate.has_begun(1)
        later = [asyncio.create_task(shared.read("page", gate.read)) for _ in range(50)]
        await settled()
        assert len(gate.begun) == 1
        gate.open.release(2)
        assert await first == 0
        assert await asyncio.gather(*later) == [1] * 50
        gate.open.release()
        assert await shared.read("page", gate.read) == 2
        async with asyncio.timeout(ANSWER_S):
            while shared._reads:  # noqa: ASYNC110 - until the minimum interval is over
                await asyncio.sleep(0.001)

    run_scenario(scenario)


def test_a_read_with_another_key_does_not_wait() -> None:
    async def scenario() -> None:
        gate, other, shared = Gate(), Gate(), ReadCoalescer()
        first = asyncio.create_task(shared.read(("page", "utility-1"), gate.read))
        await gate.has_begun(1)
        other.open.release()
        assert await shared.read(("page", "utility-2"), other.read) == 0
        gate.open.release()
        assert await first == 0

    run_scenario(scenario)


def test_a_failed_read_raises_only_for_the_callers_that_share_it() -> None:
    async def scenario() -> None:
        gate, shared = Gate(), ReadCoalescer()
        gate.failing = {1}
        first = asyncio.create_task(shared.read("page", gate.read))
        await gate.has_begun(1)
        sharing = [asyncio.create_task(shared.read("page", gate.read)) for _ in range(3)]
        gate.open.release(3)
        assert await first == 0
        results = await asyncio.gather(*sharing, return_exceptions=True)
        assert [type(result) for result in results] == [ReadModelsUnavailable] * 3
        assert await shared.read("page", gate.read) == 2

    run_scenario(scenario)


def test_a_cancelled_caller_does_not_cancel_the_read_of_the_others() -> None:
    async def scenario() -> None:
        gate, shared = Gate(), ReadCoalescer()
        impatient = asyncio.create_task(shared.read("page", gate.read))
        patient = asyncio.create_task(shared.read("page", gate.read))
        await gate.has_begun(1)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        gate.open.release()
        assert await patient == 0

    run_scenario(scenario)


def test_keys_requested_during_a_read_are_loaded_together_and_each_once() -> None:
    async def scenario() -> None:
        gate = Gate()

        def read(keys: Collection[str]) -> dict[str, str]:
            number = gate.read(sorted(keys))
            return {key: f"{key} of read {number}" for key in keys if key != "none"}

        joined = BatchLoader(read, most=3)
        first = asyncio.create_task(joined.get("a"))
        await gate.has_begun(1)
        # "a" is read again, because it was requested after the first read had begun.
        later = [asyncio.create_task(joined.get(key)) for key in ("a", "b", "a", "none", "z")]
        await settled()
        gate.open.release(3)
        assert await first == "a of read 0"
        assert await asyncio.gather(*later) == [
            "a of read 1",
            "b of read 1",
            "a of read 1",
            None,
            "z of read 2",
        ]
        assert gate.begun == [["a"], ["a", "b", "none"], ["z"]]

    run_scenario(scenario)


def test_a_failed_batch_read_raises_for_each_caller_and_the_next_read_succeeds() -> None:
    async def scenario() -> None:
        gate = Gate()
        gate.failing = {0}

        def read(keys: Collection[str]) -> dict[str, int]:
            return dict.fromkeys(keys, gate.read())

        joined = BatchLoader(read)
        gate.open.release(2)
        results = await asyncio.gather(joined.get("a"), joined.get("b"), return_exceptions=True)
        assert [type(result) for result in results] == [ReadModelsUnavailable, ReadModelsUnavailable]
        assert await joined.get("a") == 1

    run_scenario(scenario)


def test_a_read_that_fails_after_a_long_wait_also_fails_for_waiting_callers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(async_batcher, "LONG_WAIT_S", 0.05)

    async def scenario() -> None:
        gate, shared = Gate(), ReadCoalescer()
        gate.failing = {0}
        asking = [asyncio.create_task(shared.read("page", gate.read))]
        await gate.has_begun(1)
        asking += [asyncio.create_task(shared.read("page", gate.read)) for _ in range(3)]
        await asyncio.sleep(0.1)
        gate.open.release()
        results = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(result) for result in results] == [ReadModelsUnavailable] * 4
        assert len(gate.begun) == 1
        gate.open.release()
        assert await shared.read("page", gate.read) == 1

    async def scenario_of_many() -> None:
        gate = Gate()
        gate.failing = {0}
        joined: BatchLoader[str, int] = BatchLoader(lambda keys: dict.fromkeys(keys, gate.read()))
        asking = [asyncio.create_task(joined.get("a"))]
        await gate.has_begun(1)
        asking += [asyncio.create_task(joined.get(key)) for key in ("a", "b")]
        await asyncio.sleep(0.1)
        gate.open.release()
        results = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(result) for result in results] == [ReadModelsUnavailable] * 3
        gate.open.release()
        assert await joined.get("b") == 1

    run_scenario(scenario)
    run_scenario(scenario_of_many)


def test_a_slow_not_recorded_error_is_not_shared_with_later_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(async_batcher, "LONG_WAIT_S", 0.05)

    async def scenario() -> None:
        gate, shared = Gate(), ReadCoalescer()
        gate.failing, gate.error = {0}, DREventNotRecorded
        first = asyncio.create_task(shared.read("audit", gate.read))
        await gate.has_begun(1)
        later = asyncio.create_task(shared.read("audit", gate.read))
        await asyncio.sleep(0.1)
        gate.open.release(2)
        with pytest.raises(DREventNotRecorded):
            await first
        assert await later == 1

    async def scenario_of_many() -> None:
        gate = Gate()
        gate.failing, gate.error = {0}, DREventNotRecorded
        joined: BatchLoader[str, int] = BatchLoader(lambda keys: dict.fromkeys(keys, gate.read()))
        first = asyncio.create_task(joined.get("a"))
        await gate.has_begun(1)
        later = asyncio.create_task(joined.get("b"))
        await asyncio.sleep(0.1)
        gate.open.release(2)
        with pytest.raises(DREventNotRecorded):
            await first
        assert await later == 1

    run_scenario(scenario)
    run_scenario(scenario_of_many)


def test_a_key_that_cannot_be_read_fails_no_request_for_another_key() -> None:
    read: list[list[str]] = []

    def among(keys: Collection[str]) -> dict[str, str]:
        read.append(sorted(keys))
        if "undecodable" in keys:
            raise msgspec.ValidationError("undecodable")
        return {key: key.upper() for key in keys}

    async def scenario() -> None:
        joined = BatchLoader(among, most=200)
        names = [f"row-{number}" for number in range(199)]
        names.insert(70, "undecodable")
        results = await asyncio.gather(*map(joined.get, names), return_exceptions=True)
        assert isinstance(results.pop(70), msgspec.ValidationError)
        assert results == [name.upper() for name in names if name != "undecodable"]

    run_scenario(scenario)
    assert len(read) <= 17


@pytest.mark.parametrize(
    ("undecodable", "most_reads"),
    [
        ({3, 70, 150}, 50),
        ({20, 21, 22, 23, 24}, 100),
        (set(range(0, 200, 25)), 264),
        (set(range(50)), 264),
        (set(range(1, 200)), 264),
    ],
    ids=["three", "neighbours", "one of each 25", "a quarter", "all but one"],
)
def test_any_number_of_undecodable_keys_fails_no_other_key(undecodable: set[int], most_reads: int) -> None:
    read: list[int] = []

    def among(keys: Collection[int]) -> dict[int, str]:
        read.append(len(keys))
        if not undecodable.isdisjoint(keys):
            raise msgspec.ValidationError(str(undecodable.intersection(keys)))
        return {key: f"row {key}" for key in keys}

    async def scenario() -> None:
        joined = BatchLoader(among, most=200)
        results = await asyncio.gather(*map(joined.get, range(200)), return_exceptions=True)
        for key, result in enumerate(results):
            if key in undecodable:
                assert isinstance(result, msgspec.ValidationError)
                assert str(result) == str({key}), "the error of its own row"
            else:
                assert result == f"row {key}"

    run_scenario(scenario)
    assert read[0] == 200
    assert len(read) <= most_reads


def test_if_no_key_can_be_read_each_caller_gets_the_error_after_few_reads() -> None:
    """For example, rows that another release wrote."""
    read: list[int] = []

    def among(keys: Collection[str]) -> dict[str, str]:
        read.append(len(keys))
        raise msgspec.ValidationError("undecodable")

    async def scenario() -> None:
        joined = BatchLoader(among, most=200)
        names = [f"row-{number}" for number in range(200)]
        results = await asyncio.gather(*map(joined.get, names), return_exceptions=True)
        assert {type(result) for result in results} == {msgspec.ValidationError}

    run_scenario(scenario)
    assert read[0] == 200
    assert len(read) <= 17


def test_a_slow_successful_read_is_not_shared_with_later_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_batcher, "LONG_WAIT_S", 0.05)

    async def scenario() -> None:
        gate, shared = Gate(), ReadCoalescer()
        first = asyncio.create_task(shared.read("page", gate.read))
        await gate.has_begun(1)
        second = asyncio.create_task(shared.read("page", gate.read))
        await asyncio.sleep(0.1)
        gate.open.release(2)
        assert (await first, await second) == (0, 1)

    run_scenario(scenario)


def test_reads_of_one_key_keep_the_minimum_interval() -> None:
    """Requests shortly after a read are combined into one further read."""

    async def scenario() -> None:
        gate, shared = Gate(), ReadCoalescer(min_interval_s=3.0)
        gate.open.release(3)
        assert await shared.read("page", gate.read) == 0
        later = []
        for _ in range(5):
            later.append(asyncio.create_task(shared.read("page", gate.read)))
            await asyncio.sleep(0.005)
        assert await shared.read("another", gate.read) == 1, "another key does not wait"
        assert await asyncio.gather(*later) == [2] * 5
        while shared._reads:  # noqa: ASYNC110 - until the minimum interval is over
            await asyncio.sleep(0.001)

    async def scenario_of_many() -> None:
        gate = Gate()

        def among(keys: Collection[str]) -> dict[str, int]:
            return dict.fromkeys(keys, gate.read(sorted(keys)))

        joined = BatchLoader(among, min_interval_s=3.0)
        gate.open.release(2)
        assert await joined.get("a") == 0
        later = []
        for key in ("a", "b", "c"):
            later.append(asyncio.create_task(joined.get(key)))
            await asyncio.sleep(0.005)
        assert await asyncio.gather(*later) == [1] * 3
        assert gate.begun == [["a"], ["a", "b", "c"]]

    run_scenario(scenario)
    run_scenario(scenario_of_many)


class OneRow:
    """A view of the past, created for one request."""

    def by_key(self, keys: Collection[str]) -> dict[str, str]:
        return {key: f"row {key}" for key in keys}


def test_a_view_is_released_with_its_last_waiting_caller() -> None:
    async def scenario() -> None:
        rows: Any = RowLoader()
        views = [OneRow() for _ in range(20)]
        gone = [weakref.ref(view) for view in views]
        assert await asyncio.gather(*(rows.get(view, "a") for view in views)) == ["row a"] * 20
        impatient = asyncio.create_task(rows.get(views[0], "b"))
        await asyncio.sleep(0)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        async with asyncio.timeout(ANSWER_S):
            while rows._reads:  # noqa: ASYNC110 - the read ends in a thread
                await asyncio.sleep(0.001)
        views.clear()
        gc.collect()
        assert [view() for view in gone] == [None] * 20

    run_scenario(scenario)
