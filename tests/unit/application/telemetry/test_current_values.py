"""Current values: the source of an answer, its age, and the calls that it takes."""

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from threading import Event
from typing import Any

import pytest

from application.ports.telemetry.store import CurrentValue, TelemetryStoreUnavailable
from application.telemetry import cached_reader
from application.telemetry.cached_reader import FRESH_S
from application.telemetry.current_values import CurrentValues, WriteThrough
from domain.telemetry.meter_reading import MeterReading
from tests.fakes.clock import FakeClock
from tests.fakes.shared_cache import FakeSharedCache
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.patience import ANSWER_S

NOW = datetime(2026, 7, 14, 12, 0, tzinfo=UTC)


class CountingStore(FakeTelemetryStore):
    """Records its calls; `hangs` blocks them until it is set."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, ...]] = []
        self.released = Event()
        self.released.set()

    def current(self, facility_ids: Sequence[str]) -> list[CurrentValue]:
        self.asked.append(tuple(facility_ids))
        self.released.wait(ANSWER_S)
        return super().current(facility_ids)


class CurrentValuesProcess:
    """One process, over a store and a cache that may be shared."""

    def __init__(self, shared: "CurrentValuesProcess | None" = None, *, has_cache: bool = True) -> None:
        self.clock: FakeClock = shared.clock if shared else FakeClock(NOW)
        self.store: CountingStore = shared.store if shared else CountingStore()
        self.cache: FakeSharedCache = shared.cache if shared else FakeSharedCache()
        self.values = CurrentValues(self.store, self.clock, self.cache if has_cache else None)

    def reading(self, facility: str = "a", kw: float = 10.0) -> None:
        self.store.write_readings(0, 1, [MeterReading(facility, "m", self.clock.now(), kw, 1.0)])

    async def kw(self, facility: str = "a") -> tuple[float | None, str]:
        answer = (await self.values.current([facility]))[facility]
        await settled()
        return None if answer.value is None else answer.value.kw, answer.source


async def settled() -> None:
    """Wait for background work (a write into the cache) to end."""
    for _ in range(5):
        await asyncio.sleep(0)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def test_all_processes_together_read_the_store_once_in_ten_seconds() -> None:
    async def scenario() -> None:
        one = CurrentValuesProcess()
        other = CurrentValuesProcess(one)
        one.reading()
        assert [await one.kw(), await one.kw(), await other.kw()] == [
            (10.0, "store"),
            (10.0, "cache"),
            (10.0, "cache"),
        ]
        one.clock.advance(seconds=FRESH_S)
        assert await other.kw() == (10.0, "store")
        assert len(one.store.asked) == 2

    run(scenario())


def test_many_facilities_need_one_round_trip_to_the_cache_and_one_to_the_store() -> None:
    async def scenario() -> None:
        process = CurrentValuesProcess()
        names = [f"f{n}" for n in range(200)]
        for name in names[:150]:
            process.reading(name)
        answers = await process.values.current(names)
        assert [answers[name].value is None for name in names] == [False] * 150 + [True] * 50
        assert (len(process.cache.asked), len(process.store.asked)) == (1, 1)

    run(scenario())


def test_a_thousand_readers_of_one_facility_share_one_query() -> None:
    async def scenario() -> None:
        process = CurrentValuesProcess(has_cache=False)
        process.reading()
        await asyncio.gather(*(process.values.current(["a"]) for _ in range(1_000)))
        assert process.store.asked == [("a",)]

    run(scenario())


def test_an_unknown_facility_is_not_loaded_repeatedly() -> None:
    async def scenario() -> None:
        process = CurrentValuesProcess()
        assert [await process.kw("nobody"), await process.kw("nobody")] == [(None, "store"), (None, "cache")]

    run(scenario())


def test_without_the_cache_answers_are_cached_in_the_process_for_the_same_time() -> None:
    async def scenario() -> None:
        process = CurrentValuesProcess()
        process.cache.available = False
        process.reading()
        assert [await process.kw(), await process.kw()] == [(10.0, "store"), (10.0, "cache")]
        process.clock.advance(seconds=FRESH_S)
        assert await process.kw() == (10.0, "store")

    run(scenario())


def test_answers_in_memory_are_served_while_cache_and_store_are_unavailable() -> None:
    async def scenario() -> None:
        one = CurrentValuesProcess()
        other = CurrentValuesProcess(one)
        one.reading()
        await one.kw()
        await other.kw()
        one.clock.advance(seconds=60)
        one.cache.available = one.store.available = False
        answer = (await other.values.current(["a"]))["a"]
        assert (answer.source, answer.read_at, answer.value is not None) == ("last_known", NOW, True)

    run(scenario())


def test_a_value_without_any_source_is_an_error() -> None:
    async def scenario() -> None:
        process = CurrentValuesProcess()
        process.store.available = False
        with pytest.raises(TelemetryStoreUnavailable):
            await process.values.current(["a"])

    run(scenario())


def test_a_failed_store_is_skipped_if_there_is_a_stale_answer() -> None:
    async def scenario() -> None:
        process = CurrentValuesProcess()
        process.reading()
        await process.kw()
        process.store.available = False
        process.clock.advance(seconds=60)
        for _ in range(50):
            assert await process.kw() == (10.0, "last_known")
        assert len(process.store.asked) == 2

    run(scenario())


def test_a_hanging_store_does_not_delay_a_stale_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_reader, "STORE_TIMEOUT_S", 0.05)

    async def scenario() -> None:
        process = CurrentValuesProcess()
        process.reading()
        await process.kw()
        process.clock.advance(seconds=60)
        process.store.released.clear()
        answers = await asyncio.gather(*(process.kw() for _ in range(100)))
        assert set(answers) == {(10.0, "last_known")}
        assert len(process.store.asked) == 2
        process.store.released.set()

    run(scenario())


def test_an_unreadable_cache_entry_is_ignored() -> None:
    async def scenario() -> None:
        process = CurrentValuesProcess()
        process.reading()
        await process.cache.put_many({"current:a": b"\xc1 not ours"}, ttl_wall_s=60.0)
        assert await process.kw() == (10.0, "store")

    run(scenario())


def test_stored_values_are_written_to_the_cache_before_the_first_request() -> None:
    async def scenario() -> None:
        process = CurrentValuesProcess()
        through = WriteThrough(process.store, process.clock, process.cache)
        process.reading("a", 10.0)
        through.note(["a", "unknown"])
        assert await through.write() == 1
        process.clock.advance(seconds=5)
        process.reading("a", 20.0)
        through.note({"a"})
        await through.write()
        assert await process.kw() == (20.0, "cache")
        assert await through.write() == 0

    run(scenario())


def test_cache_warming_is_bounded_and_its_failures_are_ignored() -> None:
    async def scenario() -> None:
        process = CurrentValuesProcess()
        through = WriteThrough(process.store, process.clock, process.cache)
        through.note([f"f{n}" for n in range(20_000)])
        await through.write()
        assert len(process.store.asked[0]) == 500
        process.cache.available = False
        assert await through.write() == 0
        process.store.available = False
        assert await through.write() == 0

    run(scenario())
