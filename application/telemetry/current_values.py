"""Current values of facilities for display: from the shared cache, from the store, or as last known."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from threading import Lock

import structlog

from application.ports.clock import Clock
from application.ports.shared_cache import CacheUnavailable, SharedCache
from application.ports.telemetry.store import CurrentValue, TelemetryStore, TelemetryStoreUnavailable
from application.telemetry.cached_reader import CachedAnswer, ReadThroughCache

_log = structlog.get_logger(__name__)

WRITE_THROUGH_EVERY_S = 1.0
"""The shortest interval between two rounds, wall seconds."""
WRITE_THROUGH_PAUSES_S = 10.0
"""The longest pause after a slow round, wall seconds."""
WRITTEN_AT_ONCE = 500
"""Facilities in one round."""
SHARE_OF_TIME = 0.03
"""The share of time that warming the cache may take, however many facilities there are. A round of more than
0.3 s exceeds its share, since WRITE_THROUGH_PAUSES_S bounds the pause after it."""
WAITING_AT_MOST = 10_000
METER_BYTES = 300
"""The approximate memory of one meter's values."""
CURRENT_BYTES = 32_000_000
"""The memory for values held in this process."""


class CurrentValues:
    """Current values with caching. Belongs to one event loop. `cache` None: each process caches for itself."""

    def __init__(self, store: TelemetryStore, clock: Clock, cache: SharedCache | None = None) -> None:
        self._store = store
        self._current = ReadThroughCache(
            "current",
            self._load_current,
            CurrentValue,
            clock,
            cache,
            max_bytes=CURRENT_BYTES,
            size_of=lambda value: METER_BYTES * (1 + len(value.meters)),
        )

    async def current(
        self, facility_ids: Sequence[str], *, skip_cache: bool = False
    ) -> dict[str, CachedAnswer[CurrentValue]]:
        """An answer for each facility. Raises TelemetryStoreUnavailable where one has none in any source.

        `skip_cache`: the caller has just read the shared cache and passed the result to `fresh`.
        """
        return await self._current.get_many(facility_ids, skip_cache=skip_cache)

    def cache_key(self, facility_id: str) -> str:
        """The key of the facility's value in the shared cache."""
        return self._current.cache_key(facility_id)

    def fresh(self, facility_id: str, stored: bytes) -> CachedAnswer[CurrentValue] | None:
        """The answer in `stored`, read from the shared cache, if it is fresh."""
        return self._current.fresh(facility_id, stored)

    def _load_current(self, facility_ids: Sequence[str]) -> Mapping[str, CurrentValue]:
        return {value.facility_id: value for value in self._store.current(facility_ids)}


class WriteThrough:
    """Writes stored values through to the shared cache: at most once a second, for the facilities marked
    since.

    It never delays the writer of readings. Facilities beyond the limit are dropped, and loaded from the store
    on request.
    """

    def __init__(self, store: TelemetryStore, clock: Clock, cache: SharedCache) -> None:
        self._store = store
        self._clock = clock
        self._answers = ReadThroughCache("current", lambda _: {}, CurrentValue, clock, cache)
        self._touched: OrderedDict[str, None] = OrderedDict()
        self._lock = Lock()

    def note(self, facility_ids: Collection[str]) -> None:
        """Mark facilities whose readings were just stored. Thread-safe."""
        with self._lock:
            self._touched.update(dict.fromkeys(facility_ids))
            while len(self._touched) > WAITING_AT_MOST:
                self._touched.popitem(last=False)

    async def round(self) -> float:
        """Do the next round. Returns the pause after it, wall seconds."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        await self.write()
        asked_for_s = (loop.time() - began_s) / SHARE_OF_TIME
        return min(max(WRITE_THROUGH_EVERY_S, asked_for_s), WRITE_THROUGH_PAUSES_S)

    async def write(self) -> int:
        """Returns the number of facilities whose values were put into the cache."""
        with self._lock:
            count = min(WRITTEN_AT_ONCE, len(self._touched))
            ids = [self._touched.popitem(last=False)[0] for _ in range(count)]
        if not ids:
            return 0
        read_at = self._clock.now()
        try:
            values = await asyncio.to_thread(self._store.current, ids)
            await self._answers.put_many({value.facility_id: value for value in values}, read_at)
        except (TelemetryStoreUnavailable, CacheUnavailable) as error:
            _log.debug("cache not updated", facilities=len(ids), why=str(error))
            return 0
        return len(values)
