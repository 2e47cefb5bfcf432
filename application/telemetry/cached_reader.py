"""Read-through cache of telemetry answers: from the shared cache, from the store, or the last known answer.

At most one load of the store runs at a time, for all missing keys together. While the shared cache is unavailable,
answers are held in this process for the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar, cast

import msgspec
import structlog

from application.async_batcher import AsyncBatcher
from application.bounded_cache import BoundedCache
from application.circuit_breaker import CircuitBreaker
from application.ports.clock import Clock
from application.ports.shared_cache import CacheUnavailable, SharedCache
from application.ports.telemetry.store import TelemetryStoreUnavailable
from domain.event_sourcing.decoders import msgpack_decoder

_log = structlog.get_logger(__name__)

FRESH_S = 10.0
"""The age in clock seconds up to which an answer is served from the cache."""
STORE_TIMEOUT_S = 2.0
"""Wall seconds after which a stale answer is returned instead, where there is one."""
STORE_BLOCKED_S = 1.0
"""Wall seconds after a failure of the store in which it is called only for keys without a stale answer."""

STORE_INTERVAL_S = 0.005
"""Wall seconds between two loads: each occupies a thread, however few keys it has."""

MAX_BYTES = 16_000_000
MIN_ENTRY_BYTES = 300
"""The memory of an answer with its key, at least."""

Source = Literal["cache", "store", "last_known"]
TValue = TypeVar("TValue", bound=msgspec.Struct)


class CachedAnswer(msgspec.Struct, Generic[TValue], frozen=True):
    """A value and its source. `value` None: the store has none."""

    value: TValue | None
    source: Source
    read_at: datetime
    """When the store returned it, by the clock."""


class CacheEntry(msgspec.Struct, Generic[TValue], frozen=True, array_like=True):
    """The form of an answer in the shared cache."""

    value: TValue | None
    read_at: datetime


class ReadThroughCache(Generic[TValue]):
    """Read-through cache for one kind of value (`name`), by text keys. Belongs to one event loop.

    `load` is synchronous and runs in a thread. It loads many keys in one round trip, leaves out unknown keys and
    raises TelemetryStoreUnavailable. `size_of` estimates the memory of a value in bytes. At most `max_entries`
    answers and `max_bytes` are held in this process.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[Sequence[str]], Mapping[str, TValue]],
        kind: type[TValue],
        clock: Clock,
        cache: SharedCache | None = None,
        *,
        ttl_s: float = 86_400.0,
        max_entries: int = 10_000,
        max_bytes: int = MAX_BYTES,
        size_of: Callable[[TValue], int] = lambda _: MIN_ENTRY_BYTES,
        loads_at_once: int = 1,
    ) -> None:
        self._name = name
        self._load = load
        self._clock = clock
        self._cache = cache
        self._ttl_s = ttl_s
        self._encode = msgspec.msgpack.Encoder().encode
        entry_type: Any = CacheEntry[kind]  # type: ignore[valid-type]
        self._decode: Callable[[bytes], Any] = msgpack_decoder(entry_type).decode
        self._size_of = size_of
        self._entries = BoundedCache[str, CacheEntry[TValue]](
            "telemetry answers", max_size=max_bytes, size_of=self._size, max_entries=max_entries
        )
        self._decoded = BoundedCache[str, tuple[bytes, CachedAnswer[TValue]]](
            "decoded telemetry answers", max_size=max_entries
        )
        """The last bytes read from the shared cache by key, decoded, so that the same bytes are decoded once."""
        self._from_cache: AsyncBatcher[str, CacheEntry[TValue] | None] = AsyncBatcher(
            self._load_from_cache, key=str, joins_running=True
        )
        self._from_store: AsyncBatcher[str, CacheEntry[TValue]] = AsyncBatcher(
            self._load_from_store,
            key=str,
            joins_running=True,
            limit=500,
            at_once=loads_at_once,
            min_interval_s=STORE_INTERVAL_S,
        )
        self._store_breaker = CircuitBreaker(open_s=STORE_BLOCKED_S)
        self._putting: set[asyncio.Task[None]] = set()

    async def get(self, key: str) -> CachedAnswer[TValue]:
        """Like `get_many`, for one key."""
        return (await self.get_many([key]))[key]

    async def get_many(
        self, keys: Sequence[str], *, skip_cache: bool = False
    ) -> dict[str, CachedAnswer[TValue]]:
        """An answer for every key. Raises TelemetryStoreUnavailable where a key has none in any source.

        `skip_cache`: the caller has just read the shared cache and passed the result to `fresh`.
        """
        entries = self._local_entries(keys) if skip_cache else await self._cached_entries(keys)
        answers = {
            key: CachedAnswer(entry.value, "cache", entry.read_at)
            for key, entry in entries.items()
            if self._is_fresh(entry.read_at)
        }
        missing = [key for key in keys if key not in answers]
        if not missing:
            return answers
        stale = {key: entries[key] for key in missing if key in entries}
        try:
            loaded = await self._loaded(missing, has_fallback=len(stale) == len(set(missing)))
        except TelemetryStoreUnavailable:
            if len(stale) < len(set(missing)):
                raise
            loaded = {}
        for key in missing:
            if key in loaded:
                answers[key] = CachedAnswer(loaded[key].value, "store", loaded[key].read_at)
            else:
                answers[key] = CachedAnswer(stale[key].value, "last_known", stale[key].read_at)
        return answers

    def cache_key(self, key: str) -> str:
        """The key of the answer to `key` in the shared cache."""
        return f"{self._name}:{key}"

    def fresh(self, key: str, stored: bytes) -> CachedAnswer[TValue] | None:
        """The answer in `stored`, which the caller read from the shared cache, if it is fresh.

        The answer is held in this process like one that was read here.
        """
        decoded = self._decoded.get(key)
        if decoded is None or decoded[0] != stored:
            entry = self._decode_entry(stored)
            if entry is None:
                return None
            self._hold({key: entry})
            decoded = stored, CachedAnswer(entry.value, "cache", entry.read_at)
            self._decoded.put(key, decoded)
        answer = decoded[1]
        if self._is_fresh(answer.read_at):
            return answer
        self._hold(
            {key: CacheEntry(answer.value, answer.read_at)}
        )  # a fallback while the store is unavailable
        return None

    async def put_many(self, values: Mapping[str, TValue], read_at: datetime) -> None:
        """Put values into the shared cache. Raises CacheUnavailable."""
        await self._put({key: CacheEntry(value, read_at) for key, value in values.items()})

    def _is_fresh(self, read_at: datetime) -> bool:
        return abs((self._clock.now() - read_at).total_seconds()) < FRESH_S

    async def _cached_entries(self, keys: Sequence[str]) -> dict[str, CacheEntry[TValue]]:
        """The newest entries of the shared cache and of this process, fresh or stale."""
        local = self._local_entries(keys)
        if self._cache is None:
            return local
        try:
            shared = await self._from_cache.get_all(keys)
        except CacheUnavailable:
            return local
        return local | {
            key: entry
            for key, entry in zip(keys, shared, strict=True)
            if entry is not None and _is_newer(entry, local.get(key))
        }

    def _local_entries(self, keys: Sequence[str]) -> dict[str, CacheEntry[TValue]]:
        entries = zip(keys, self._entries.get_all(keys), strict=True)
        return {key: entry for key, entry in entries if entry is not None}

    async def _load_from_cache(self, keys: Sequence[str]) -> list[CacheEntry[TValue] | None]:
        found = await cast("SharedCache", self._cache).get_many([self.cache_key(key) for key in keys])
        entries = [None if stored is None else self._decode_entry(stored) for stored in found]
        self._hold({key: entry for key, entry in zip(keys, entries, strict=True) if entry is not None})
        return entries

    def _decode_entry(self, stored: bytes) -> CacheEntry[TValue] | None:
        """None for an entry that another release stored in another shape."""
        try:
            return cast("CacheEntry[TValue]", self._decode(stored))
        except msgspec.MsgspecError:
            return None

    async def _loaded(self, keys: Sequence[str], *, has_fallback: bool) -> dict[str, CacheEntry[TValue]]:
        if has_fallback and self._store_breaker.is_open:
            raise TelemetryStoreUnavailable("the store failed just now")
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S if has_fallback else None):
                return dict(zip(keys, await self._from_store.get_all(keys), strict=True))
        except TimeoutError as error:
            self._store_breaker.trip()
            raise TelemetryStoreUnavailable(f"no answer in {STORE_TIMEOUT_S:g} s") from error

    async def _load_from_store(self, keys: Sequence[str]) -> list[CacheEntry[TValue]]:
        read_at = self._clock.now()
        try:
            found = await asyncio.to_thread(self._load, keys)
        except TelemetryStoreUnavailable:
            self._store_breaker.trip()
            raise
        entries = {key: CacheEntry(found.get(key), read_at) for key in keys}
        self._hold(entries)
        if self._cache is not None:
            # In the background: callers do not wait for the shared cache.
            task = asyncio.create_task(self._put_quietly(entries))
            self._putting.add(task)
            task.add_done_callback(self._putting.discard)
        return list(entries.values())

    def _hold(self, entries: Mapping[str, CacheEntry[TValue]]) -> None:
        """Hold entries in this process."""
        for key, entry in entries.items():
            if _is_newer(entry, self._entries.get(key)):
                self._entries.put(key, entry)

    def _size(self, entry: CacheEntry[TValue]) -> int:
        return MIN_ENTRY_BYTES if entry.value is None else max(MIN_ENTRY_BYTES, self._size_of(entry.value))

    async def _put_quietly(self, entries: Mapping[str, CacheEntry[TValue]]) -> None:
        try:
            await self._put(entries)
        except CacheUnavailable as error:
            _log.debug("answer not cached", kind=self._name, why=str(error))

    async def _put(self, entries: Mapping[str, CacheEntry[TValue]]) -> None:
        if self._cache is not None:
            await self._cache.put_many(
                {self.cache_key(key): self._encode(entry) for key, entry in entries.items()},
                ttl_wall_s=max(FRESH_S, self._clock.wall_seconds(self._ttl_s)),
            )


def _is_newer(entry: CacheEntry[Any], other: CacheEntry[Any] | None) -> bool:
    return other is None or entry.read_at >= other.read_at
