"""The memory of answers in a process is bounded for any content."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from application.telemetry.cached_reader import MIN_ENTRY_BYTES, ReadThroughCache
from tests.fakes.clock import FakeClock

NOW = datetime(2026, 7, 14, 12, 0, tzinfo=UTC)


class Text(msgspec.Struct, frozen=True):
    value: bytes


class ReaderProcess:
    """A reader without a cache. The store answers the key "name:size" with that many bytes."""

    def __init__(self, max_bytes: int) -> None:
        self.asked: list[str] = []
        self.answers = ReadThroughCache(
            "text",
            self._load,
            Text,
            FakeClock(NOW),
            max_bytes=max_bytes,
            size_of=lambda text: len(text.value),
        )

    def _load(self, keys: Sequence[str]) -> Mapping[str, Text]:
        self.asked += keys
        return {key: Text(b"x" * int(key.partition(":")[2])) for key in keys if not key.startswith("unknown")}

    def ask(self, *keys: str) -> list[str]:
        """Read one after the other. Returns the keys that were loaded from the store."""

        async def scenario() -> None:
            for key in keys:
                await self.answers.get(key)

        self.asked = []
        asyncio.run(scenario())
        return self.asked


def test_large_answers_are_evicted_before_the_limit_of_entries() -> None:
    house = ReaderProcess(10_000)
    assert house.ask("a:4000", "b:4000", "a:4000") == ["a:4000", "b:4000"]
    assert house.ask("c:4000") == ["c:4000"]
    # The entry that was read longest ago was evicted.
    assert house.ask("c:4000", "a:4000", "b:4000") == ["b:4000"]


def test_an_answer_larger_than_the_cache_is_returned_and_not_cached() -> None:
    house = ReaderProcess(1_000)
    assert house.ask("a:2000", "a:2000") == ["a:2000", "a:2000"]
    assert house.ask("b:500", "b:500") == ["b:500"]


def test_small_and_unknown_answers_count_with_a_minimum_size() -> None:
    house = ReaderProcess(3 * MIN_ENTRY_BYTES)
    many = [f"unknown-{n}:0" for n in range(4)]
    house.ask(*many)
    assert house.ask(*reversed(many)) == [many[0]]
