"""Reads of the store that many ask for at the same time, done once for all of them.

A thousand pages hear of the same happening in the same moment, and all of them read the same list anew. Whoever asks
while a read is under way goes with the next one, so what anybody is told was read after it was asked for. Only where a
store did not answer after a long wait they are told so as well: it hangs, and they would wait as long once more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from interfaces.web.caching.unavailable import UNAVAILABLE
from projections.queries.views import Row, View

TRead = TypeVar("TRead")
TKey = TypeVar("TKey", bound=Hashable)
MOST_TOGETHER = 200
MOST_HALVINGS = 64
LONG_S = 2.0
"""Wall seconds."""
BEGINS_EVERY_S = 0.005
"""Wall seconds from the beginning of a read to that of the next of its kind. A read costs as much for one as for ten,
so without a rest between them reads of one or two each would take all of the interpreter at half of its load already,
and whoever asks would wait for that."""


class SharedReads:
    """One read at a time under each name, and one that waits. Of one event loop; reads run in threads."""

    def __init__(self, *, begins_every_s: float = BEGINS_EVERY_S) -> None:
        self._begins_every_s = begins_every_s
        self._running: dict[Hashable, asyncio.Future[Any]] = {}
        self._next: dict[Hashable, asyncio.Future[Any]] = {}
        self._rests: dict[Hashable, asyncio.TimerHandle] = {}

    async def read(self, name: Hashable, read: Callable[[], TRead]) -> TRead:
        """What `read` gives, or the read of somebody else that asked under the same name. Raises what that raised.

        The name says all that the answer depends on, whom it may be shown to as well.
        """
        joined = self._next.get(name)
        if joined is None:
            joined = self._next[name] = asyncio.ensure_future(self._turn(name, read))
            joined.add_done_callback(_seen)
        shared: TRead = await asyncio.shield(joined)
        return shared

    async def _turn(self, name: Hashable, read: Callable[[], TRead]) -> TRead:
        before, began = self._running.get(name), time.monotonic()
        if before is not None:
            await asyncio.wait({before})
        await self._rested(name)
        own = self._running[name] = self._next.pop(name)
        try:
            if before is not None and time.monotonic() - began > LONG_S:
                _raise_again(before)
            return await asyncio.to_thread(read)
        finally:
            if self._running.get(name) is own:
                del self._running[name]

    async def _rested(self, name: Hashable) -> None:
        """Returns when the next read may begin, and notes that it does."""
        loop = asyncio.get_running_loop()
        resting = self._rests.get(name)
        if resting is not None:
            await asyncio.sleep(resting.when() - loop.time())
            resting.cancel()
        self._rests[name] = loop.call_later(self._begins_every_s, self._rests.pop, name)


class Failed(NamedTuple):
    """What one of many could not be read for."""

    error: Exception


class BatchLoader(Generic[TKey, TRead]):
    """Single things, read many at once: those that are asked for while a read is under way make up the next one.

    One read at a time: a second one beside it would take the interpreter from the first. Of one event loop; `read` runs
    in a thread and leaves out what there is not.
    """

    def __init__(
        self,
        read: Callable[[Collection[TKey]], Mapping[TKey, TRead]],
        *,
        most: int = MOST_TOGETHER,
        begins_every_s: float = BEGINS_EVERY_S,
        when_idle: Callable[[], object] = lambda: None,
    ) -> None:
        """`when_idle` is called each time that nobody waits any more and nothing is under way."""
        self._when_idle = when_idle
        self._begins_every_s = begins_every_s
        self._read = read
        self._most = most
        self._asked: dict[TKey, asyncio.Future[TRead | None]] = {}
        self._worker: asyncio.Task[None] | None = None

    async def get(self, key: TKey) -> TRead | None:
        """None where there is none. Raises what `read` raised; who stops waiting disturbs nobody."""
        joined = self._asked.get(key)
        if joined is None:
            joined = self._asked[key] = asyncio.get_running_loop().create_future()
            joined.add_done_callback(_seen)
            if self._worker is None:
                self._worker = asyncio.create_task(self._work())
        return await asyncio.shield(joined)

    async def read_all(self, keys: Sequence[TKey]) -> dict[TKey, TRead | Failed | None]:
        """These at once, shared with nobody: many are less work so than each by itself. Raises as `get`, but for what
        is of one alone."""
        told: dict[TKey, TRead | Failed | None] = {}
        for first in range(0, len(keys), self._most):
            told |= await asyncio.to_thread(self._told, keys[first : first + self._most])
        return told

    async def _work(self) -> None:
        try:
            while self._asked:
                may_begin_again = time.monotonic() + self._begins_every_s
                keys = list(self._asked)[: self._most]
                together = {key: self._asked.pop(key) for key in keys}
                await self._answer(together)
                await asyncio.sleep(max(0.0, may_begin_again - time.monotonic()))
        finally:
            self._worker = None
            if not self._asked:
                self._when_idle()

    async def _answer(self, together: Mapping[TKey, asyncio.Future[TRead | None]]) -> None:
        """Whatever happens, whoever waits is told."""
        began = time.monotonic()
        try:
            told = await asyncio.to_thread(self._told, list(together))
        except asyncio.CancelledError:
            for joined in together.values():
                joined.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - raised again by everyone who waits for it
            waited: list[asyncio.Future[TRead | None]] = []
            if isinstance(error, UNAVAILABLE) and time.monotonic() - began > LONG_S:
                waited, self._asked = list(self._asked.values()), {}
            for joined in (*together.values(), *waited):
                joined.set_exception(error)
        else:
            for key, joined in together.items():
                if isinstance(answer := told[key], Failed):
                    joined.set_exception(answer.error)
                else:
                    joined.set_result(answer)

    def _told(self, keys: Sequence[TKey]) -> dict[TKey, TRead | Failed | None]:
        """In a thread. What cannot be read is the error of whoever asked for that alone: it is looked for by halves.

        Where so many reads as find one succeed in nothing, nothing can be read: those that are left are told the error
        of the read that they were in. What MOST_HALVINGS have not found is read one by one.
        """
        told: dict[TKey, TRead | Failed | None] = {}
        find_one, reads, is_readable = 1 + 2 * (len(keys) - 1).bit_length(), 0, False
        undecided: list[tuple[Sequence[TKey], Failed | None]] = [(keys, None)]
        while undecided:
            some, failed = undecided.pop()
            if failed is not None and not is_readable and reads >= find_one:
                told |= dict.fromkeys(some, failed)
                continue
            if reads >= MOST_HALVINGS and len(some) > 1:
                undecided += [((key,), failed) for key in some]
                continue
            reads += 1
            try:
                found = self._read(some)
            except UNAVAILABLE:
                raise
            except Exception as error:  # noqa: BLE001 - raised again by who asked for that one
                failed = Failed(error)
                if len(some) == 1:
                    told[some[0]] = failed
                else:  # every other one: those that cannot be read often stand together
                    undecided += [(some[1::2], failed), (some[::2], failed)]
            else:
                is_readable = True
                told |= {key: found.get(key) for key in some}
        return told


class RowLoader:
    """Rows of read models by their keys; each read model's are read together.

    A view is kept only while somebody waits for a row of it: one of the past is made for a single request.
    """

    def __init__(self) -> None:
        self._reads: dict[int, BatchLoader[str, Any]] = {}

    async def get(self, view: View[Row], key: str) -> Row | None:
        """Whoever may see it. Raises ReadModelsUnavailable."""
        name = id(view)
        reads = self._reads.get(name)
        if reads is None:

            def among(keys: Collection[str]) -> Mapping[str, Row]:
                return view.by_key(keys)  # which keeps the view, so its id stays its own

            reads = BatchLoader(among, when_idle=lambda: self._reads.pop(name, None))
            self._reads[name] = reads
        row: Row | None = await reads.get(key)
        return row


def _raise_again(failed: asyncio.Future[Any]) -> None:
    """That the store did not answer, if it was that; what else was refused is the own business of whoever asked."""
    error = None if failed.cancelled() else failed.exception()
    if isinstance(error, UNAVAILABLE):
        raise error


def _seen(joined: asyncio.Future[Any]) -> None:
    """An error that nobody waits for any more is not worth a complaint of asyncio's."""
    if not joined.cancelled():
        joined.exception()
