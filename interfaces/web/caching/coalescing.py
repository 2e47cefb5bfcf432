"""Coalescing of concurrent reads of the store: one read serves all callers that wait for it.

A thousand pages receive the same message at the same moment, and read the same list. A caller that arrives while a read
runs joins the next one, so its result was always read after it was requested. There is one exception: if a read failed
as unavailable after a long wait, the callers of the next one get that error too, since they would wait as long again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from application.async_batcher import AsyncBatcher
from interfaces.web.caching.unavailable import UNAVAILABLE
from projections.queries.views import Row, View

TRead = TypeVar("TRead")
TKey = TypeVar("TKey", bound=Hashable)
MAX_BATCH = 200
MAX_SPLIT_READS = 64
MIN_INTERVAL_S = 0.005
"""Wall seconds between the starts of two reads of one kind. A read of one row costs as much as one of ten: without the
pause, reads of one or two rows would use the whole interpreter at half of its load."""


class ReadCoalescer:
    """At most one running and one waiting read for each name. For one event loop; reads run in threads."""

    def __init__(self, *, min_interval_s: float = MIN_INTERVAL_S) -> None:
        self._min_interval_s = min_interval_s
        self._reads: dict[Hashable, AsyncBatcher[Callable[[], Any], Any]] = {}

    async def read(self, name: Hashable, read: Callable[[], TRead]) -> TRead:
        """The result of `read`, or of another caller's read with the same name. Raises what that raised.

        The name contains everything that the result depends on, including who may see it.
        """
        reads = self._reads.get(name)
        if reads is None:
            reads = self._reads[name] = AsyncBatcher(
                _read_first,
                key=lambda _: None,  # all share one answer
                min_interval_s=self._min_interval_s,
                unavailable=UNAVAILABLE,
                when_idle=partial(self._reads.pop, name),
            )
        shared: TRead = await reads.get(read)
        return shared


async def _read_first(reads: Sequence[Callable[[], Any]]) -> list[Any]:
    return [await asyncio.to_thread(reads[0])]


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
        when_idle: Callable[[], object] | None = None,
    ) -> None:
        """`when_idle` is called whenever no caller waits and no read runs."""
        self._read = read
        self._most = most
        self._batches: AsyncBatcher[TKey, TRead | None] = AsyncBatcher(
            self._load_batch,
            key=lambda key: key,
            limit=most,
            min_interval_s=min_interval_s,
            unavailable=UNAVAILABLE,
            when_idle=when_idle,
        )

    async def get(self, key: TKey) -> TRead | None:
        """None if it does not exist. Raises what `read` raised; a caller that is cancelled does not affect others."""
        return await self._batches.get(key)

    async def read_all(self, keys: Sequence[TKey]) -> dict[TKey, TRead | Exception | None]:
        """Read these keys in batches of their own, not shared with other callers.

        Raises UNAVAILABLE errors; an error of a single key is its result.
        """
        results: dict[TKey, TRead | Exception | None] = {}
        for first in range(0, len(keys), self._most):
            results |= await asyncio.to_thread(self._load, keys[first : first + self._most])
        return results

    async def _load_batch(self, keys: Sequence[TKey]) -> list[TRead | Exception | None]:
        results = await asyncio.to_thread(self._load, keys)
        return [results[key] for key in keys]

    def _load(self, keys: Sequence[TKey]) -> dict[TKey, TRead | Exception | None]:
        """Runs in a thread. If the batch fails, it is split in halves until the keys that fail are isolated.

        If as many reads as isolate one key all failed, nothing can be read: the remaining keys get the error of their
        last read. After MAX_SPLIT_READS reads the remaining keys are read one by one.
        """
        results: dict[TKey, TRead | Exception | None] = {}
        reads_to_isolate, reads, any_success = 1 + 2 * (len(keys) - 1).bit_length(), 0, False
        undecided: list[tuple[Sequence[TKey], Exception | None]] = [(keys, None)]
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
                failed = error
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

            reads = BatchLoader(among, when_idle=partial(self._reads.pop, name))
            self._reads[name] = reads
        row: Row | None = await reads.get(key)
        return row
