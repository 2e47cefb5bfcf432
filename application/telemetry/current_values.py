"""What facilities draw now, for people who look: from the cache, the store, or as last known."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from threading import Lock

import structlog

from application.ports.clock import Clock
from application.ports.shared_cache import CacheUnavailable, SharedCache
from application.ports.telemetry.store import CurrentValue, TelemetryStore, TelemetryStoreUnavailable
from application.telemetry.cached_reader import Answer, ReadThroughCache

_log = structlog.get_logger(__name__)

WRITE_THROUGH_EVERY_S = 1.0
"""Wall seconds, at most."""
WRITE_THROUGH_PAUSES_S = 10.0
"""Wall seconds at most, after a round that took long."""
WRITTEN_AT_ONCE = 500
"""Facilities in one round."""
SHARE_OF_TIME = 0.03
"""What keeping the cache warm may take, however many facilities there are. A round of more than 0.3 s takes more than
its share: WRITE_THROUGH_PAUSES_S bounds the pause after it."""
WAITING_AT_MOST = 10_000
METER_BYTES = 300
"""About what the values of one meter take in memory."""
CURRENT_BYTES = 32_000_000
"""Of what is remembered while the cache is away."""


class CurrentValues:
    """Of one event loop. `cache` None: every process remembers for itself."""

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
    ) -> dict[str, Answer[CurrentValue]]:
        """An answer for each. Raises TelemetryStoreUnavailable where one is known nowhere.

        `skip_cache`: what it had was given to `fresh` just now.
        """
        return await self._current.get_many(facility_ids, skip_cache=skip_cache)

    def cache_key(self, facility_id: str) -> str:
        """The key of its value in the cache."""
        return self._current.cache_key(facility_id)

    def fresh(self, facility_id: str, stored: bytes) -> Answer[CurrentValue] | None:
        """What lay in the cache under that key, if it is fresh."""
        return self._current.fresh(facility_id, stored)

    def _load_current(self, facility_ids: Sequence[str]) -> Mapping[str, CurrentValue]:
        return {value.facility_id: value for value in self._store.current(facility_ids)}


class WriteThrough:
    """Keeps the cache warm with what has just been stored: once a second at most, the facilities noted since.

    It never holds up who stores: what is too much is left out, and read from the store when somebody asks.
    """

    def __init__(self, store: TelemetryStore, clock: Clock, cache: SharedCache) -> None:
        self._store = store
        self._clock = clock
        self._answers = ReadThroughCache("current", lambda _: {}, CurrentValue, clock, cache)
        self._touched: OrderedDict[str, None] = OrderedDict()
        self._lock = Lock()

    def note(self, facility_ids: Collection[str]) -> None:
        """Readings of these are in the store now. From any thread."""
        with self._lock:
            self._touched.update(dict.fromkeys(facility_ids))
            while len(self._touched) > WAITING_AT_MOST:
                self._touched.popitem(last=False)

    async def run(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        while not stop.is_set():
            began_s = loop.time()
            await self.write()
            asked_for_s = (loop.time() - began_s) / SHARE_OF_TIME
            pause_s = min(max(WRITE_THROUGH_EVERY_S, asked_for_s), WRITE_THROUGH_PAUSES_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause_s)

    async def write(self) -> int:
        """The next round; how many facilities' values are in the cache now."""
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
            _log.debug("the cache was not kept warm", facilities=len(ids), why=str(error))
            return 0
        return len(values)
