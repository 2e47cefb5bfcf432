"""Rate-limited reads: one call of the cache, whose answer is used when the store does not answer."""

import asyncio

import pytest

from application.bounded_cache import BoundedCache
from application.ports.telemetry.store import TelemetryStoreUnavailable
from application.telemetry.cached_reader import FRESH_S
from application.telemetry.current_values import CurrentValues
from application.telemetry.rate_limited_reads import RateLimitedCurrentValues
from tests.unit.application.telemetry.test_current_values import CurrentValuesProcess, settled


def reads_of(process: CurrentValuesProcess, *, max_entries: int | None = None) -> RateLimitedCurrentValues:
    values = process.values
    if max_entries is not None:
        values = CurrentValues(process.store, process.clock, process.cache)
        values._current._entries = BoundedCache("few answers", max_size=max_entries)
        values._current._decoded = BoundedCache("few decoded answers", max_size=max_entries)
    return RateLimitedCurrentValues(values, process.cache, every_s=1e-9)


async def source_of(reads: RateLimitedCurrentValues, facility_id: str = "a") -> tuple[str, float | None]:
    read = await reads.read("key", facility_id)
    await settled()
    assert read.answer is not None
    return read.answer.source, None if read.answer.value is None else read.answer.value.kw


def test_the_cache_is_called_once_per_read() -> None:
    async def scenario() -> None:
        process = CurrentValuesProcess()
        process.reading()
        reads = reads_of(process)
        assert [await source_of(reads) for _ in range(2)] == [("store", 10.0), ("cache", 10.0)]
        process.clock.advance(seconds=FRESH_S)
        assert await source_of(reads) == ("store", 10.0)
        assert process.cache.asked == []  # apart from the rate-limited calls
        process.cache.available = False
        assert await source_of(reads) == ("cache", 10.0)

    asyncio.run(scenario())


def test_an_answer_read_from_the_cache_is_served_while_the_store_is_unavailable() -> None:
    async def scenario() -> None:
        process = CurrentValuesProcess()
        for name in ("a", "b", "c"):
            process.reading(name)
            await process.kw(name)
        reads = reads_of(CurrentValuesProcess(process), max_entries=1)  # it evicts the other entries
        for name in ("a", "b", "c"):
            assert await source_of(reads, name) == ("cache", 10.0)
        process.clock.advance(seconds=2 * FRESH_S)
        process.store.available = False
        for name in ("a", "b", "c"):
            assert await source_of(reads, name) == ("last_known", 10.0)
        with pytest.raises(TelemetryStoreUnavailable):
            await reads.read("key", "never seen")

    asyncio.run(scenario())
