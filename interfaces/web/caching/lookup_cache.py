"""What a store said of a name, remembered for a few seconds so that the door is fast; longer while the store is away.

While it is away nobody can be let in or shut out anew, so whoever was let in lately may go on reading. What changes
something needs the store anyway.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from application.ports.access.api_keys import ApiKeysUnavailable
from interfaces.web.caching.coalescing import BatchLoader, Failed

_log = structlog.get_logger(__name__)

REMEMBERED_S = 5.0
"""How long a revoked key, or a session that was ended, may still be taken."""
ASKED_ANEW_S = REMEMBERED_S / 2
"""Whom the store knows is looked up anew by then, whether asked for or not: who comes again waits for no look-up."""
USED_S = 60.0
"""Of those who came so lately."""
GATHERED_S = 0.25
"""As many as are due are looked up at once: a thousand keys in a few reads, not in hundreds."""
IN_OUTAGE_S = 600.0
"""And for reading while the store is away."""
MOST_REMEMBERED = 10_000
ANSWER_WITHIN_S = 2.0
"""Who can do without the store waits no longer for it."""
LEFT_ALONE_S = 1.0
"""After it failed, so long nobody asks it who can do without."""

TName = TypeVar("TName", bound=Hashable)
TFound = TypeVar("TFound")


@dataclass(slots=True)
class _Known(Generic[TFound]):
    found: TFound | None
    looked_at: float
    used_at: float


class LookupCache(Generic[TName, TFound]):
    """Names that the store does not know are remembered too, so that guessing costs it little. On one event loop."""

    def __init__(
        self,
        look_up: Callable[[Collection[TName]], Mapping[TName, TFound]],
        *,
        is_away: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`look_up` is called in a thread, of many names at once; it raises ApiKeysUnavailable. While the store
        `is_away` it is not called."""
        self._look_ups: BatchLoader[TName, TFound] = BatchLoader(look_up)
        self._is_away = is_away
        self._monotonic = monotonic
        self._remembered: OrderedDict[TName, _Known[TFound]] = OrderedDict()
        self._alone_until = float("-inf")
        self._forgotten = 0
        self._keeping: asyncio.Task[None] | None = None

    async def find(self, name: TName, *, only_reads: bool = False) -> TFound | None:
        """What the store says, or said lately. Raises ApiKeysUnavailable."""
        now = self._monotonic()
        known = self._used(name, now)
        if known is not None and now < known.looked_at + REMEMBERED_S:
            return known.found
        if known is None or known.found is None or not only_reads or now >= known.looked_at + IN_OUTAGE_S:
            if self._is_away():  # each would hold a thread until it gives up
                raise ApiKeysUnavailable("the store does not answer")
            return await self._ask(name)
        if now < self._alone_until or self._is_away():
            return known.found
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await self._ask(name)
        except (ApiKeysUnavailable, TimeoutError):
            self._alone_until = self._monotonic() + LEFT_ALONE_S
            return known.found

    def remembered(self, name: TName) -> TFound | None:
        """What the store said lately; None where it would have to be asked."""
        now = self._monotonic()
        known = self._used(name, now)
        return None if known is None or now >= known.looked_at + REMEMBERED_S else known.found

    def forget(self, name: TName) -> None:
        """It is asked for anew; what a look-up that is under way has found may be older."""
        self._forgotten += 1
        self._remembered.pop(name, None)

    def _used(self, name: TName, now: float) -> _Known[TFound] | None:
        known = self._remembered.get(name)
        if known is None:
            return None
        known.used_at = now
        if self._keeping is None and known.found is not None:
            self._keeping = asyncio.create_task(self._keep())
        return known

    async def _keep(self) -> None:
        """Ends when nobody came for a while."""
        try:
            await asyncio.sleep(GATHERED_S)
            while (due := self._due()) is not None:
                if due and self._monotonic() >= self._alone_until and not self._is_away():
                    await self._ask_beside(due)
                await asyncio.sleep(GATHERED_S)
        finally:
            self._keeping = None

    def _due(self) -> list[TName] | None:
        """None where nobody came for a while. Whom the store does not know may come for ever: they are not kept."""
        now = self._monotonic()
        kept = [
            (name, known)
            for name, known in self._remembered.items()
            if known.found is not None and now < known.used_at + USED_S
        ]
        return [name for name, known in kept if now >= known.looked_at + ASKED_ANEW_S] if kept else None

    async def _ask_beside(self, names: Sequence[TName]) -> None:
        """Nobody waits for it: who needs the store, once what is known is too old, is told what is wrong then."""
        forgotten = self._forgotten
        try:
            told = await self._look_ups.read_all(names)
        except ApiKeysUnavailable:
            self._alone_until = self._monotonic() + LEFT_ALONE_S
            return
        for name, found in told.items():
            if isinstance(found, Failed):
                _log.error("a look-up beside the call failed", why=repr(found.error))
                if (known := self._remembered.get(name)) is not None:
                    known.used_at = float("-inf")  # not again before somebody comes by that name
            elif forgotten == self._forgotten:
                self._remember(name, found)

    async def _ask(self, name: TName) -> TFound | None:
        forgotten = self._forgotten
        found = await self._look_ups.get(name)
        if forgotten == self._forgotten:
            self._remember(name, found)
        return found

    def _remember(self, name: TName, found: TFound | None) -> None:
        now, before = self._monotonic(), self._remembered.get(name)
        self._remembered[name] = _Known(found, now, now if before is None else before.used_at)
        self._remembered.move_to_end(name)
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)
