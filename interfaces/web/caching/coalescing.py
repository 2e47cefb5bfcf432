"""Coalescing of concurrent reads of the store: one read serves all callers that wait for it.

A thousand pages receive the same message at the same moment, and read the same list. A caller that arrives while a read
runs joins the next one, so its result was always read after it was requested. There is one exception: if a read failed
as unavailable after a long wait, the callers of the next one get that error too, since they would wait as long again.
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
MAX_BATCH = 200
MAX_SPLIT_READS = 64
LONG_WAIT_S = 2.0
"""Wall seconds."""
MIN_INTERVAL_S = 0.005
"""Wall seconds between the starts of two reads of one kind. A read of one row costs as much as one of ten: without the
pause, reads of one or two rows would use the whole interpreter at half of its load."""


class ReadCoalescer:
    """At most one running and one waiting read for each name. For one event loop; reads run in threads."""

    def __init__(self, *, min_interval_s: float = MIN_INTERVAL_S) -> None:
        self._min_interval_s = min_interval_s
        self._running: dict[Hashable, asyncio.Future[Any]] = {}
        self._next: dict[Hashable, asyncio.Future[Any]] = {}
        self._pauses: dict[Hashable, asyncio.TimerHandle] = {}

    async def read(self, name: Hashable, read: Callable[[], TRead]) -> TRead:
        """The result of `read`, or of another caller's read with the same name. Raises what that raised.

        The name contains everything that the result depends on, including who may see it.
        """
        joined = self._next.get(name)
        if joined is None:
            joined = self._next[name] = asyncio.ensure_future(self._run(name, read))
            joined.add_done_callback(_retrieve)
        shared: TRead = await asyncio.shield(joined)
        return shared

    async def _run(self, name: Hashable, read: Callable[[], TRead]) -> TRead:
        before, began = self._running.get(name), time.monotonic()
        if before is not None:
            await asyncio.wait({before})
        await self._pause(name)
        own = self._running[name] = self._next.pop(name)
        try:
            if before is not None and time.monotonic() - began > LONG_WAIT_S:
                _reraise_unavailable(before)
            return await asyncio.to_thread(read)
        finally:
            if self._running.get(name) is own:
                del self._running[name]

    async def _pause(self, name: Hashable) -> None:
        """Wait until the next read may start, and record the start."""
        loop = asyncio.get_running_loop()
        pause = self._pauses.get(name)
        if pause is not None:
            await asyncio.sleep(pause.when() - loop.time())
            pause.cancel()
        self._pauses[name] = loop.call_later(self._min_interval_s, self._pauses.pop, name)


class LoadError(NamedTuple):
    """Why one of several things could not be read."""

    error: Exception


class BatchLoader(Generic[TKey, TRead]):
    """Loads single things in batches: the keys that are requested while a batch is read form the next batch.

    One read at a time, since a second one would compete with it for the interpreter. For one event loop; `read` runs in
    a thread and omits keys that do not exist.
    """

    def __init__(
        self,
        read: Callable[[Collection[TKey]], Mapping[TKey, TRead]],
        *,
        most: int = MAX_BATCH,
        min_interval_s: float = MIN_INTERVAL_S,
        when_idle: Callable[[], object] = lambda: None,
    ) -> None:
        """`when_idle` is called whenever no caller waits and no read runs."""
        self._when_idle = when_idle
        self._min_interval_s = min_interval_s
        self._read = read
        self._most = most
        self._waiting: dict[TKey, asyncio.Future[TRead | None]] = {}
        self._worker: asyncio.Task[None] | None = None

    async def get(self, key: TKey) -> TRead | None:
        """None if it does not exist. Raises what `read` raised; a caller that is cancelled does not affect others."""
        joined = self._waiting.get(key)
        if joined is None:
            joined = self._waiting[key] = asyncio.get_running_loop().create_future()
            joined.add_done_callback(_retrieve)
            if self._worker is None:
                self._worker = asyncio.create_task(self._work())
        return await asyncio.shield(joined)

    async def read_all(self, keys: Sequence[TKey]) -> dict[TKey, TRead | LoadError | None]:
        """Read these keys in batches of their own, not shared with other callers.

        Raises UNAVAILABLE errors; an error of a single key is its LoadError.
        """
        results: dict[TKey, TRead | LoadError | None] = {}
        for first in range(0, len(keys), self._most):
            results |= await asyncio.to_thread(self._load, keys[first : first + self._most])
        return results

    async def _work(self) -> None:
        try:
            while self._waiting:
                next_start = time.monotonic() + self._min_interval_s
                keys = list(self._waiting)[: self._most]
                batch = {key: self._waiting.pop(key) for key in keys}
                await self._resolve(batch)
                await asyncio.sleep(max(0.0, next_start - time.monotonic()))
        finally:
            self._worker = None
            if not self._waiting:
                self._when_idle()

    async def _resolve(self, batch: Mapping[TKey, asyncio.Future[TRead | None]]) -> None:
        """Load the batch; every caller gets a result or an error, whatever happens."""
        began = time.monotonic()
        try:
            results = await asyncio.to_thread(self._load, list(batch))
        except asyncio.CancelledError:
            for joined in batch.values():
                joined.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - raised again by every caller
            waited: list[asyncio.Future[TRead | None]] = []
            if isinstance(error, UNAVAILABLE) and time.monotonic() - began > LONG_WAIT_S:
                waited, self._waiting = list(self._waiting.values()), {}
            for joined in (*batch.values(), *waited):
                joined.set_exception(error)
        else:
            for key, joined in batch.items():
                if isinstance(result := results[key], LoadError):
                    joined.set_exception(result.error)
                else:
                    joined.set_result(result)

    def _load(self, keys: Sequence[TKey]) -> dict[TKey, TRead | LoadError | None]:
        """Runs in a thread. If the batch fails, it is split in halves until the keys that fail are isolated.

        If as many reads as isolate one key all failed, nothing can be read: the remaining keys get the error of their
        last read. After MAX_SPLIT_READS reads the remaining keys are read one by one.
        """
        results: dict[TKey, TRead | LoadError | None] = {}
        reads_to_isolate, reads, any_success = 1 + 2 * (len(keys) - 1).bit_length(), 0, False
        undecided: list[tuple[Sequence[TKey], LoadError | None]] = [(keys, None)]
        while undecided:
            some, failed = undecided.pop()
            if failed is not None and not any_success and reads >= reads_to_isolate:
                results |= dict.fromkeys(some, failed)
                continue
            if reads >= MAX_SPLIT_READS and len(some) > 1:
                undecided += [((key,), failed) for key in some]
                continue
            reads += 1
            try:
                found = self._read(some)
            except UNAVAILABLE:
                raise
            except Exception as error:  # noqa: BLE001 - raised again by the caller of that key
                failed = LoadError(error)
                if len(some) == 1:
                    results[some[0]] = failed
                else:  # every second one: keys that fail are often adjacent
                    undecided += [(some[1::2], failed), (some[::2], failed)]
            else:
                any_success = True
                results |= {key: found.get(key) for key in some}
        return results


class RowLoader:
    """Loads rows of read models by key; the rows of one read model are read in batches.

    A view is referenced only while a caller waits for one of its rows: a view of the past is made for a single request.
    """

    def __init__(self) -> None:
        self._reads: dict[int, BatchLoader[str, Any]] = {}

    async def get(self, view: View[Row], key: str) -> Row | None:
        """Without a check of who may see it. Raises ReadModelsUnavailable."""
        name = id(view)
        reads = self._reads.get(name)
        if reads is None:

            def among(keys: Collection[str]) -> Mapping[str, Row]:
                return view.by_key(keys)  # holds a reference to the view, so that its id is not reused

            reads = BatchLoader(among, when_idle=lambda: self._reads.pop(name, None))
            self._reads[name] = reads
        row: Row | None = await reads.get(key)
        return row


def _reraise_unavailable(failed: asyncio.Future[Any]) -> None:
    """Raise the error of `failed` if it says that the store did not answer; other errors concern its callers only."""
    error = None if failed.cancelled() else failed.exception()
    if isinstance(error, UNAVAILABLE):
        raise error


def _retrieve(joined: asyncio.Future[Any]) -> None:
    """Mark an error as retrieved: asyncio would log it if no caller waits any more."""
    if not joined.cancelled():
        joined.exception()
