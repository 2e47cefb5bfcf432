"""Names looked up in a store: who is known waits for nobody, and who is shut out is out within seconds."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection
from dataclasses import dataclass, field

import pytest

from application.ports.api_keys import ApiKeysUnavailable
from interfaces.web import remembered_lookups
from interfaces.web.remembered_lookups import ASKED_ANEW_S, REMEMBERED_S, RememberedLookups

WITHIN_S = 20.0


@dataclass
class Store:
    """Says one word of every name; may be slow, or away."""

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


async def known_at(store: Store, clock: Clock) -> RememberedLookups[str, str]:
    """The name was looked up at 0, and half of the time is over; the store answers slowly from here."""
    lookups = RememberedLookups[str, str](store.look_up, monotonic=clock)
    store.go_on.set()
    assert await lookups.find("key") == "first"
    store.go_on.clear()
    store.begun.clear()
    clock.now = ASKED_ANEW_S
    return lookups


async def is_out(lookups: RememberedLookups[str, str], store: Store) -> bool:
    """Once the store goes on, and says that it knows nobody of the name."""
    store.go_on.set()
    await until_asked_anew(lookups)
    return lookups.remembered("key") is None and await lookups.find("key") is None


async def until_asked_anew(lookups: RememberedLookups[str, str]) -> None:
    assert lookups._asking_anew is not None
    await asyncio.wait_for(lookups._asking_anew, WITHIN_S)


def test_who_comes_again_and_again_is_looked_up_beside_and_never_waits(store: Store) -> None:
    async def story() -> None:
        clock = Clock()
        lookups = await known_at(store, clock)
        store.word = "second"
        assert lookups.remembered("key") == "first"
        assert [await lookups.find("key") for _ in range(3)] == ["first"] * 3
        store.go_on.set()
        await until_asked_anew(lookups)
        assert store.asked == 2, "once, however often it came meanwhile"
        clock.now = REMEMBERED_S
        assert lookups.remembered("key") == "second"
        await until_asked_anew(lookups)

    asyncio.run(story())


def test_one_that_the_store_knows_no_more_is_out_once_it_was_looked_up_beside(store: Store) -> None:
    async def story() -> None:
        lookups = await known_at(store, Clock())
        store.word = None
        lookups.remembered("key")
        assert await is_out(lookups, store)

    asyncio.run(story())


def test_what_was_forgotten_is_not_remembered_by_a_look_up_that_began_before(store: Store) -> None:
    async def story() -> None:
        lookups = await known_at(store, Clock())
        lookups.remembered("key")
        assert await asyncio.to_thread(store.begun.wait, WITHIN_S)
        store.word = None
        lookups.forget("key")
        assert await is_out(lookups, store)

    asyncio.run(story())


def test_a_store_that_is_away_disturbs_nobody_who_is_still_known_and_lets_in_nobody_after_that(
    store: Store,
) -> None:
    async def story() -> None:
        clock = Clock()
        lookups = await known_at(store, clock)
        store.is_away = True
        store.go_on.set()
        assert lookups.remembered("key") == "first"
        await until_asked_anew(lookups)
        assert (lookups.remembered("key"), lookups._asked_anew) == ("first", set()), (
            "it is left alone for a while"
        )
        clock.now = REMEMBERED_S
        assert lookups.remembered("key") is None
        with pytest.raises(ApiKeysUnavailable):
            await lookups.find("key")

    asyncio.run(story())


def test_many_who_are_due_are_looked_up_in_one_read(store: Store) -> None:
    async def story() -> None:
        clock = Clock()
        lookups = RememberedLookups[str, str](store.look_up, monotonic=clock)
        store.go_on.set()
        names = [f"key-{number}" for number in range(100)]
        await asyncio.gather(*map(lookups.find, names))
        asked, clock.now, store.word = store.asked, ASKED_ANEW_S, "second"
        for name in names:
            assert lookups.remembered(name) == "first"
            await asyncio.sleep(0)
        await until_asked_anew(lookups)
        assert store.asked == asked + 1
        assert {lookups.remembered(name) for name in names} == {"second"}

    asyncio.run(story())


def test_one_whose_look_up_hangs_is_not_looked_up_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered_lookups, "GATHERED_S", 0.01)

    async def story() -> None:
        lookups = await known_at(store, Clock())
        for _ in range(20):
            assert lookups.remembered("key") == "first"
            await asyncio.sleep(0.005)
        assert (store.asked, lookups._due) == (2, [])
        store.go_on.set()
        await until_asked_anew(lookups)
        assert lookups._asked_anew == set()

    asyncio.run(story())


def test_after_a_look_up_that_failed_the_others_are_looked_up_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remembered_lookups, "GATHERED_S", 0.01)
    failing = {"key-1"}

    def look_up(names: Collection[str]) -> dict[str, str]:
        if not failing.isdisjoint(names):
            raise ValueError("undecodable")
        return dict.fromkeys(names, "second" if failing else "first")

    async def story() -> None:
        clock, wanted = Clock(), failing.copy()
        failing.clear()
        lookups = RememberedLookups[str, str](look_up, monotonic=clock)
        await asyncio.gather(*map(lookups.find, ("key-1", "key-2")))
        clock.now = ASKED_ANEW_S
        failing.update(wanted)
        assert [lookups.remembered(name) for name in ("key-1", "key-2")] == ["first"] * 2
        await until_asked_anew(lookups)
        assert (lookups._asked_anew, lookups._due) == (set(), [])
        assert [lookups.remembered(name) for name in ("key-1", "key-2")] == ["first", "second"]

    asyncio.run(story())
