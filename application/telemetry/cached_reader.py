"""Answers from the nearest place that knows: the cache, the store, or what was known last.

Whatever is away, the store is asked at most once at a time, for all that is missing; while the cache is away an answer
is remembered here for as long as it would be fresh there.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar, cast

import msgspec
import structlog

from application.circuit_breaker import CircuitBreaker
from application.ports.clock import Clock
from application.ports.shared_cache import CacheUnavailable, SharedCache
from application.ports.telemetry.store import TelemetryStoreUnavailable
from application.telemetry.request_coalescer import RequestCoalescer

_log = structlog.get_logger(__name__)

FRESH_S = 10.0
"""Clock seconds."""
STORE_WITHIN_S = 2.0
"""Wall seconds after which who has an old answer gets it."""
STORE_LEFT_ALONE_S = 1.0
"""Wall seconds, after it failed, in which only those ask it who have no old answer."""

STORE_ASKED_EVERY_S = 0.005
"""Wall seconds from one question to the next: one is work for a thread, however few keys it has."""

REMEMBERED_BYTES = 16_000_000
LEAST_BYTES = 300
"""Of an answer with its key, whatever is in it."""

Source = Literal["cache", "store", "last_known"]
TValue = TypeVar("TValue", bound=msgspec.Struct)


class Answer(msgspec.Struct, Generic[TValue], frozen=True):
    """What was found; `value` None: the store knows nothing of it."""

    value: TValue | None
    source: Source
    read_at: datetime
    """When the store said so, on the clock."""


class _Kept(msgspec.Struct, Generic[TValue], frozen=True, array_like=True):
    """As it lies in the cache."""

    value: TValue | None
    read_at: datetime


class ReadThroughCache(Generic[TValue]):
    """Of one kind (`name`), by text keys; of one event loop.

    `load` is synchronous and called in a thread: many keys in one round trip; it leaves out what it does not know, and
    raises TelemetryStoreUnavailable. `size_of` says about how many bytes of memory an answer takes: at most
    `remembered` of them and `remembered_bytes` are remembered here.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[Sequence[str]], Mapping[str, TValue]],
        kind: type[TValue],
        clock: Clock,
        cache: SharedCache | None = None,
        *,
        kept_s: float = 86_400.0,
        remembered: int = 10_000,
        remembered_bytes: int = REMEMBERED_BYTES,
        size_of: Callable[[TValue], int] = lambda _: LEAST_BYTES,
        loads_at_once: int = 1,
    ) -> None:
        self._name = name
        self._load = load
        self._clock = clock
        self._cache = cache
        self._kept_s = kept_s
        self._encode = msgspec.msgpack.Encoder().encode
        kept_type: Any = _Kept[kind]  # type: ignore[valid-type]
        self._decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(kept_type).decode
        self._remembered: OrderedDict[str, _Kept[TValue]] = OrderedDict()
        self._seen_stored: OrderedDict[str, tuple[bytes, Answer[TValue]]] = OrderedDict()
        """What was read out of the cache last, so that it is not decoded again and again."""
        self._most_remembered, self._most_bytes = remembered, remembered_bytes
        self._size_of = size_of
        self._remembered_bytes = 0
        self._from_cache = RequestCoalescer(self._ask_cache)
        self._from_store = RequestCoalescer(
            self._ask_store, most=500, at_once=loads_at_once, begins_every_s=STORE_ASKED_EVERY_S
        )
        self._store_breaker = CircuitBreaker(open_s=STORE_LEFT_ALONE_S)
        self._putting: set[asyncio.Task[None]] = set()

    async def get(self, key: str) -> Answer[TValue]:
        """As `get_many`, of one."""
        return (await self.get_many([key]))[key]

    async def get_many(
        self, keys: Sequence[str], *, cache_was_asked: bool = False
    ) -> dict[str, Answer[TValue]]:
        """An answer for every key. Raises TelemetryStoreUnavailable where one is in none of the places.

        `cache_was_asked`: by whoever calls, just now, who gave what it had to `fresh`.
        """
        known = self._seen_here(keys) if cache_was_asked else await self._kept(keys)
        answers = {
            key: Answer(kept.value, "cache", kept.read_at)
            for key, kept in known.items()
            if self._is_fresh(kept.read_at)
        }
        missing = [key for key in keys if key not in answers]
        if not missing:
            return answers
        old = {key: known[key] for key in missing if key in known}
        try:
            loaded = await self._loaded(missing, can_do_without=len(old) == len(set(missing)))
        except TelemetryStoreUnavailable:
            if len(old) < len(set(missing)):
                raise
            loaded = {}
        for key in missing:
            if key in loaded:
                answers[key] = Answer(loaded[key].value, "store", loaded[key].read_at)
            else:
                answers[key] = Answer(old[key].value, "last_known", old[key].read_at)
        return answers

    def named(self, key: str) -> str:
        """How the cache calls the answer to `key`."""
        return f"{self._name}:{key}"

    def fresh(self, key: str, stored: bytes) -> Answer[TValue] | None:
        """What somebody read out of the cache, if it is fresh; remembered as if it had been asked for here."""
        seen = self._seen_stored.get(key)
        if seen is None or seen[0] != stored:
            kept = self._decoded(stored)
            if kept is None:
                return None
            self._remember({key: kept})
            seen = self._seen_stored[key] = stored, Answer(kept.value, "cache", kept.read_at)
            if len(self._seen_stored) > self._most_remembered:
                self._seen_stored.popitem(last=False)
        answer = seen[1]
        if self._is_fresh(answer.read_at):
            return answer
        self._remember({key: _Kept(answer.value, answer.read_at)})  # for when the store does not answer
        return None

    async def put_many(self, values: Mapping[str, TValue], read_at: datetime) -> None:
        """Into the cache, for all processes. Raises CacheUnavailable."""
        await self._put({key: _Kept(value, read_at) for key, value in values.items()})

    def _is_fresh(self, read_at: datetime) -> bool:
        return abs((self._clock.now() - read_at).total_seconds()) < FRESH_S

    async def _kept(self, keys: Sequence[str]) -> dict[str, _Kept[TValue]]:
        """Fresh or old, the newest of what the cache holds and what was seen here."""
        seen = self._seen_here(keys)
        if self._cache is None:
            return seen
        try:
            found = await self._from_cache.get(keys)
        except CacheUnavailable:
            return seen
        newer = {key: kept for key, kept in found.items() if _is_newer(kept, seen.get(key))}
        return seen | newer

    def _seen_here(self, keys: Sequence[str]) -> dict[str, _Kept[TValue]]:
        return {key: self._remembered[key] for key in keys if key in self._remembered}

    async def _ask_cache(self, keys: Sequence[str]) -> dict[str, _Kept[TValue]]:
        found = await cast("SharedCache", self._cache).get_many([self.named(key) for key in keys])
        kept = {
            key: one
            for key, answer in zip(keys, found, strict=True)
            if answer is not None and (one := self._decoded(answer)) is not None
        }
        self._remember(kept)
        return kept

    def _decoded(self, answer: bytes) -> _Kept[TValue] | None:
        """None for what another release wrote in another shape."""
        try:
            return cast("_Kept[TValue]", self._decode(answer))
        except msgspec.MsgspecError:
            return None

    async def _loaded(self, keys: Sequence[str], *, can_do_without: bool) -> dict[str, _Kept[TValue]]:
        if can_do_without and self._store_breaker.is_open:
            raise TelemetryStoreUnavailable("the store failed just now")
        if not can_do_without:
            return await self._from_store.get(keys)
        try:
            async with asyncio.timeout(STORE_WITHIN_S):
                return await self._from_store.get(keys)
        except TimeoutError as error:
            self._store_breaker.trip()
            raise TelemetryStoreUnavailable(f"no answer in {STORE_WITHIN_S:g} s") from error

    async def _ask_store(self, keys: Sequence[str]) -> dict[str, _Kept[TValue]]:
        read_at = self._clock.now()
        try:
            found = await asyncio.to_thread(self._load, keys)
        except TelemetryStoreUnavailable:
            self._store_breaker.trip()
            raise
        kept = {key: _Kept(found.get(key), read_at) for key in keys}
        self._remember(kept)
        if self._cache is not None:
            # Nobody waits for the cache to have it.
            task = asyncio.create_task(self._put_quietly(kept))
            self._putting.add(task)
            task.add_done_callback(self._putting.discard)
        return kept

    def _remember(self, kept: Mapping[str, _Kept[TValue]]) -> None:
        for key, one in kept.items():
            before = self._remembered.get(key)
            if _is_newer(one, before):
                self._remembered[key] = one
                self._remembered_bytes += self._size(one) - self._size(before)
            self._remembered.move_to_end(key)
        while len(self._remembered) > self._most_remembered or self._remembered_bytes > self._most_bytes:
            _, forgotten = self._remembered.popitem(last=False)
            self._remembered_bytes -= self._size(forgotten)

    def _size(self, kept: _Kept[TValue] | None) -> int:
        if kept is None:
            return 0
        return LEAST_BYTES if kept.value is None else max(LEAST_BYTES, self._size_of(kept.value))

    async def _put_quietly(self, kept: Mapping[str, _Kept[TValue]]) -> None:
        try:
            await self._put(kept)
        except CacheUnavailable as error:
            _log.debug("an answer is not in the cache", kind=self._name, why=str(error))

    async def _put(self, kept: Mapping[str, _Kept[TValue]]) -> None:
        if self._cache is not None:
            await self._cache.put_many(
                {self.named(key): self._encode(one) for key, one in kept.items()},
                kept_wall_s=max(FRESH_S, self._clock.wall_seconds(self._kept_s)),
            )


def _is_newer(kept: _Kept[Any], seen: _Kept[Any] | None) -> bool:
    return seen is None or kept.read_at >= seen.read_at
