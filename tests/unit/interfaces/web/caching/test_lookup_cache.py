"""The lookup cache: cached names need no wait, and removed names are evicted within seconds."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from application.ports.access.api_keys import ApiKeysUnavailable
from interfaces.web.caching import lookup_cache
from interfaces.web.caching.lookup_cache import LOOKUP_FRESH_S, RECENTLY_USED_S, REFRESH_AFTER_S, LookupCache

WITHIN_S = 20.0


@dataclass
class Store:
    """Returns the same value for every name. It may be slow or unreachable."""

    word: str | None = "first"
    is_away: bool = False
    asked: int = 0
    begun: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def look_up(self, names: Collection[str]) -> dict[str, str]:
        self.asked += 1
        word = self.word
        self.begun.set()
        assert self.go_on.wait(WITHIN_S)
        if self.is_away:
            raise ApiKeysUnavailable("away")
        return {} if word is None else dict.fromkeys(names, word)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store() -> Store:
    return Store()


def fresh(lookups: LookupCache[str, str], name: str) -> str | None:
    """The entry that `find` would return at once, used now; None if it would read the store."""
    now = lookups._monotonic()
    entry = lookups._touch(name, now)
    return None if entry is None or now >= entry.looked_at + LOOKUP_FRESH_S else entry.found


async def looked_up_at(store: Store, clock: Clock) -> LookupCache[str, str]:
    """A cache that looked the name up at 0 and is due to refresh it. The store blocks from now on."""
    lookups = LookupCache[str, str]("names", store.look_up, monotonic=clock)
    store.go_on.set()
    assert await lookups.find("key") == "first"
    store.go_on.clear()
    store.begun.clear()
    clock.now = REFRESH_AFTER_S
    return lookups


async def is_out(lookups: LookupCache[str, str], store: Store) -> bool:
    """Whether the name is evicted once the store continues and does not return it."""
    store.go_on.set()
    await until(lambda: fresh(lookups, "key") is None)
    return await lookups.find("key") is None


async def until(so: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not so():  # noqa: ASYNC110 - the lookup runs in a thread
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup_cache, "REFRESH_EVERY_S", 0.01)


def test_a_frequent_caller_is_looked_up_in_the_background_without_waiting(store: Store) -> None:
    async def scenario() -> None:
        clock = Clock()
        lookups = await looked_up_at(store, clock)
        store.word = "second"
        assert fresh(lookups, "key") == "first"
        assert [await lookups.find("key") for _ in range(3)] == ["first"] * 3
        store.go_on.set()
        await until(lambda: fresh(lookups, "key") == "second")
        assert store.asked == 2, "one lookup, however often the name was used"
        clock.now = REFRESH_AFTER_S + LOOKUP_FRESH_S - 0.1
        await until(lambda: store.asked == 3)

    asyncio.run(scenario())


def test_a_name_removed_from_the_store_is_evicted_by_the_next_refresh(store: Store) -> None:
    async def scenario() -> None:
        lookups = await looked_up_at(store, Clock())
        store.word = None
        fresh(lookups, "key")
        assert await is_out(lookups, store)

    asyncio.run(scenario())


def test_an_invalidated_key_is_not_cached_again_by_an_earlier_lookup(store: Store) -> None:
    async def scenario() -> None:
        lookups = await looked_up_at(store, Clock())
        fresh(lookups, "key")
        assert await asyncio.to_thread(store.begun.wait, WITHIN_S)
        store.word = None
        lookups.invalidate("key")
        assert await is_out(lookups, store)

    asyncio.run(scenario())


def test_an_unreachable_store_affects_no_cached_key_and_admits_none_once_its_entry_expires(
    store: Store,
) -> None:
    async def scenario() -> None:
        clock = Clock()
        lookups = await looked_up_at(store, clock)
        store.is_away = True
        store.go_on.set()
        assert fresh(lookups, "key") == "first"
        await until(lambda: store.asked == 2)
        await asyncio.sleep(0.1)
        assert (fresh(lookups, "key"), store.asked) == ("first", 2), "no retry for a while"
        clock.now = LOOKUP_FRESH_S
        assert fresh(lookups, "key") is None
        with pytest.raises(ApiKeysUnavailable):
            await lookups.find("key")

    asyncio.run(scenario())


def test_many_names_due_for_refresh_are_looked_up_in_one_read(store: Store) -> None:
    async def scenario() -> None:
        clock = Clock()
        lookups = LookupCache[str, str]("names", store.look_up, monotonic=clock)
        store.go_on.set()
        names = [f"key-{number}" for number in range(100)]
        await asyncio.gather(*map(lookups.find, names))
        asked, clock.now, store.word = store.asked, REFRESH_AFTER_S, "second"
        assert fresh(lookups, "key-7") == "first"
        await until(lambda: fresh(lookups, "key-7") == "second")
        assert store.asked == asked + 1
        assert {fresh(lookups, name) for name in names} == {"second"}

    asyncio.run(scenario())


def test_a_recently_used_name_is_refreshed_until_it_is_unused_for_a_minute(
    store: Store,
) -> None:
    async def scenario() -> None:
        clock = Clock()
        lookups = await looked_up_at(store, clock)
        store.go_on.set()
        assert fresh(lookups, "key") == "first"
        for turn in range(2, 10):
            await until(lambda turn=turn: store.asked == turn)  # type: ignore[misc]
            clock.now += REFRESH_AFTER_S
        await until(lambda: store.asked == 10)
        clock.now += RECENTLY_USED_S
        await until(lambda: lookups._refreshing is None)
        asked = store.asked
        assert await lookups.find("key") == "first"
        assert store.asked == asked + 1

    asyncio.run(scenario())


def test_a_name_absent_from_the_store_is_not_refreshed(store: Store) -> None:
    async def scenario() -> None:
        clock, store.word = Clock(), None
        lookups = LookupCache[str, str]("names", store.look_up, monotonic=clock)
        store.go_on.set()
        assert await lookups.find("guessed") is None
        clock.now = REFRESH_AFTER_S
        assert await lookups.find("guessed") is None
        assert (store.asked, lookups._refreshing) == (1, None)

    asyncio.run(scenario())


def test_a_failed_lookup_of_one_name_does_not_stop_the_refresh_of_others() -> None:
    failing = {"key-1"}

    def look_up(names: Collection[str]) -> dict[str, str]:
        if not failing.isdisjoint(names):
            raise ValueError("undecodable")
        return dict.fromkeys(names, "second" if failing else "first")

    async def scenario() -> None:
        clock, wanted = Clock(), failing.copy()
        failing.clear()
        lookups = LookupCache[str, str]("names", look_up, monotonic=clock)
        await asyncio.gather(*map(lookups.find, ("key-1", "key-2")))
        clock.now = REFRESH_AFTER_S
        failing.update(wanted)
        assert [fresh(lookups, name) for name in ("key-1", "key-2")] == ["first"] * 2
        await until(lambda: fresh(lookups, "key-2") == "second")
        await asyncio.sleep(0.1)
        assert fresh(lookups, "key-1") == "first"

    with capture_logs() as logs:
        asyncio.run(scenario())
    assert ["undecodable" in str(line) for line in logs].count(True) == 1, "logged once"
