"""What a store said of a name, remembered for a few seconds so that the door is fast; longer while the store is away.

While it is away nobody can be let in or shut out anew, so whoever was let in lately may go on reading. What changes
something needs the store anyway.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

import structlog

from application.ports.api_keys import ApiKeysUnavailable
from interfaces.web.shared_reads import Failed, JoinedReads

_log = structlog.get_logger(__name__)

REMEMBERED_S = 5.0
"""How long a revoked key, or a session that was ended, may still be taken."""
ASKED_ANEW_S = REMEMBERED_S / 2
"""What is older is answered at once all the same, and looked up meanwhile: who is busy never waits for the store."""
GATHERED_S = 0.25
"""So long those are gathered that are looked up beside the call: a thousand keys in a few reads, not in hundreds."""
IN_OUTAGE_S = 600.0
"""And for reading while the store is away."""
MOST_REMEMBERED = 10_000
ANSWER_WITHIN_S = 2.0
"""Who can do without the store waits no longer for it."""
LEFT_ALONE_S = 1.0
"""After it failed, so long nobody asks it who can do without."""

TName = TypeVar("TName", bound=Hashable)
TFound = TypeVar("TFound")


class RememberedLookups(Generic[TName, TFound]):
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
        self._look_ups: JoinedReads[TName, TFound] = JoinedReads(look_up)
        self._is_away = is_away
        self._monotonic = monotonic
        self._remembered: OrderedDict[TName, tuple[float, TFound | None]] = OrderedDict()
        self._alone_until = float("-inf")
        self._forgotten = 0
        self._due: list[TName] = []
        self._asked_anew: set[TName] = set()
        """Those that are due, and those that are looked up."""
        self._asking_anew: asyncio.Task[None] | None = None

    async def find(self, name: TName, *, only_reads: bool = False) -> TFound | None:
        """What the store says, or said lately. Raises ApiKeysUnavailable."""
        now = self._monotonic()
        looked_at, known = self._remembered.get(name, (float("-inf"), None))
        if now < looked_at + REMEMBERED_S:
            self._keep(name, looked_at, now)
            return known
        if not only_reads or known is None or now >= looked_at + IN_OUTAGE_S:
            if self._is_away():  # each would hold a thread until it gives up
                raise ApiKeysUnavailable("the store does not answer")
            return await self._ask(name)
        if now < self._alone_until or self._is_away():
            return known
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await self._ask(name)
        except (ApiKeysUnavailable, TimeoutError):
            self._alone_until = self._monotonic() + LEFT_ALONE_S
            return known

    def remembered(self, name: TName) -> TFound | None:
        """What the store said lately; None where it would have to be asked."""
        now = self._monotonic()
        looked_at, known = self._remembered.get(name, (float("-inf"), None))
        if now >= looked_at + REMEMBERED_S:
            return None
        self._keep(name, looked_at, now)
        return known

    def forget(self, name: TName) -> None:
        """It is asked for anew; what a look-up that is under way has found may be older."""
        self._forgotten += 1
        self._remembered.pop(name, None)

    def _keep(self, name: TName, looked_at: float, now: float) -> None:
        if (
            now < max(looked_at + ASKED_ANEW_S, self._alone_until)
            or name in self._asked_anew
            or self._is_away()
        ):
            return
        self._due.append(name)
        self._asked_anew.add(name)
        if self._asking_anew is None:
            self._asking_anew = asyncio.create_task(self._ask_beside())

    async def _ask_beside(self) -> None:
        try:
            while self._due:
                await asyncio.sleep(GATHERED_S)
                names, self._due = self._due, []
                if not self._is_away():
                    await self._ask_for(names)
                self._asked_anew.difference_update(names)
        finally:
            self._asking_anew = None

    async def _ask_for(self, names: Sequence[TName]) -> None:
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
            elif forgotten == self._forgotten:
                self._remember(name, found)

    async def _ask(self, name: TName) -> TFound | None:
        forgotten = self._forgotten
        found = await self._look_ups.get(name)
        if forgotten == self._forgotten:
            self._remember(name, found)
        return found

    def _remember(self, name: TName, found: TFound | None) -> None:
        self._remembered[name] = (self._monotonic(), found)
        self._remembered.move_to_end(name)
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)
