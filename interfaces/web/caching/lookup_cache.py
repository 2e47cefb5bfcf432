"""A refresh-ahead cache of look-ups in a store, such as API keys by id.

Entries are fresh for a few seconds. While the store does not answer they stay usable for reads for some minutes:
callers that were admitted lately may go on reading. Writes need the store anyway.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from application.bounded_cache import BoundedCache
from application.circuit_breaker import CircuitBreaker
from application.ports.access.api_keys import ApiKeysUnavailable
from interfaces.web.caching.coalescing import BatchLoader

_log = structlog.get_logger(__name__)

LOOKUP_FRESH_S = 5.0
"""For how long a revoked key, or an ended session, may still be accepted."""
REFRESH_AFTER_S = LOOKUP_FRESH_S / 2
"""Existing names are looked up again after this time, in the background, so that no caller waits for it."""
RECENTLY_USED_S = 60.0
"""Only names that were used so recently are refreshed."""
REFRESH_EVERY_S = 1.0
"""All that are due are looked up in one read: a thousand keys in a few reads, not in hundreds."""
USABLE_IN_OUTAGE_S = 600.0
"""For reads while the store does not answer."""
MAX_ENTRIES = 10_000
LOOKUP_TIMEOUT_S = 2.0
"""For callers that have a usable entry."""
PAUSE_AFTER_FAILURE_S = 1.0
"""The open period of the breaker: callers with a usable entry do not try the store after a failure."""

TName = TypeVar("TName", bound=Hashable)
TFound = TypeVar("TFound")


@dataclass(slots=True)
class _Entry(Generic[TFound]):
    found: TFound | None
    looked_at: float
    used_at: float


class LookupCache(Generic[TName, TFound]):
    """Unknown names are cached too, so that guessing is cheap for the store. For one event loop."""

    def __init__(
        self,
        name: str,
        look_up: Callable[[Collection[TName]], Mapping[TName, TFound]],
        *,
        is_away: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`name`: the label of its metrics.

        `look_up` runs in a thread and takes many names; it raises ApiKeysUnavailable. It is not called while
        `is_away` returns True.
        """
        self._look_ups: BatchLoader[TName, TFound] = BatchLoader(look_up)
        self._is_away = is_away
        self._monotonic = monotonic
        self._entries = BoundedCache[TName, _Entry[TFound]](
            name, max_size=MAX_ENTRIES, ttl_s=USABLE_IN_OUTAGE_S, monotonic=monotonic
        )
        self._breaker = CircuitBreaker(open_s=PAUSE_AFTER_FAILURE_S, monotonic=monotonic)
        self._invalidations = 0
        self._refreshing: asyncio.Task[None] | None = None

    async def find(self, name: TName, *, only_reads: bool = False) -> TFound | None:
        """The fresh entry, or a look-up. `only_reads`: an older entry will do if the store does not answer.

        Raises ApiKeysUnavailable.
        """
        now = self._monotonic()
        entry = self._touch(name, now)
        if entry is not None and now < entry.looked_at + LOOKUP_FRESH_S:
            return entry.found
        if entry is None or entry.found is None or not only_reads:
            if self._is_away():  # each attempt would hold a thread until its timeout
                raise ApiKeysUnavailable("the store does not answer")
            return await self._look_up_now(name)
        if self._is_away() or not self._breaker.allows_call():
            return entry.found
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                found = await self._look_up_now(name)
        except (ApiKeysUnavailable, TimeoutError):
            self._breaker.record_failure()
            return entry.found
        self._breaker.record_success()
        return found

    def invalidate(self, name: TName) -> None:
        """Remove the entry. The result of a look-up that runs now is discarded, since it may be older."""
        self._invalidations += 1
        self._entries.pop(name)

    def _touch(self, name: TName, now: float) -> _Entry[TFound] | None:
        entry = self._entries.get(name)
        if entry is None:
            return None
        entry.used_at = now
        if self._refreshing is None and entry.found is not None:
            self._refreshing = asyncio.create_task(self._refresh_loop())
        return entry

    async def _refresh_loop(self) -> None:
        """Runs until no name was used for RECENTLY_USED_S."""
        try:
            await asyncio.sleep(REFRESH_EVERY_S)
            while (due := self._due()) is not None:
                if due and not self._is_away() and self._breaker.allows_call():
                    await self._refresh(due)
                await asyncio.sleep(REFRESH_EVERY_S)
        finally:
            self._refreshing = None

    def _due(self) -> list[TName] | None:
        """The names to refresh now; None if no existing name was used recently."""
        now = self._monotonic()
        recent = [
            (name, entry)
            for name, entry in self._entries.items()
            if entry.found is not None and now < entry.used_at + RECENTLY_USED_S
        ]
        return (
            [name for name, entry in recent if now >= entry.looked_at + REFRESH_AFTER_S] if recent else None
        )

    async def _refresh(self, names: Sequence[TName]) -> None:
        """In the background. A caller that needs the store later gets the error of its own look-up."""
        invalidations = self._invalidations
        try:
            answers = await self._look_ups.read_all(names)
        except ApiKeysUnavailable:
            self._breaker.record_failure()
            return
        self._breaker.record_success()
        for name, found in answers.items():
            if isinstance(found, Exception):
                _log.error("a background look-up failed", why=repr(found))
                if (entry := self._entries.get(name)) is not None:
                    entry.used_at = float("-inf")  # not refreshed before it is used again
            elif invalidations == self._invalidations:
                self._store(name, found)

    async def _look_up_now(self, name: TName) -> TFound | None:
        invalidations = self._invalidations
        found = await self._look_ups.get(name)
        if invalidations == self._invalidations:
            self._store(name, found)
        return found

    def _store(self, name: TName, found: TFound | None) -> None:
        now, before = self._monotonic(), self._entries.get(name)
        self._entries.put(name, _Entry(found, now, now if before is None else before.used_at))
