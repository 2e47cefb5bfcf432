"""Batching on an event loop: requests that arrive while a call is under way share the next call.

A single request does not wait. The only batcher for coroutines; `adapters.postgres.thread_batcher` is the one for
threads (ADR 0089).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextvars import copy_context
from typing import Generic, NamedTuple, TypeVar

LONG_WAIT_S = 2.0
"""Wall seconds."""

TRequest = TypeVar("TRequest")
TAnswer = TypeVar("TAnswer")


class _PendingRequest(NamedTuple, Generic[TRequest, TAnswer]):
    request: TRequest
    future: asyncio.Future[TAnswer]


class AsyncBatcher(Generic[TRequest, TAnswer]):
    """Collects requests and passes them to `call` together. Belongs to one event loop."""

    def __init__(
        self,
        call: Callable[[Sequence[TRequest]], Awaitable[Sequence[TAnswer | Exception]]],
        *,
        key: Callable[[TRequest], Hashable] | None = None,
        joins_running: bool = False,
        limit: int = 1_000,
        at_once: int = 1,
        max_wait_s: float = 0.0,
        min_interval_s: float = 0.0,
        unavailable: tuple[type[Exception], ...] = (),
        when_idle: Callable[[], object] | None = None,
    ) -> None:
        """`call` returns an answer, or its error, for each of at most `limit` requests, in their order. What it raises
        is raised in every caller of the batch. At most `at_once` calls run.

        `key`: requests of equal keys share an answer; None: every request has its own. An answer counts only for
        requests that were made before its call began; with `joins_running` for those made during the call too.
        `max_wait_s`: wall seconds that the first request of a batch waits for others, unless `flush` is called.
        `min_interval_s`: the least wall seconds between the starts of two calls, where a call costs about the same for
        one request as for ten.
        `unavailable`: errors that say that the server does not answer. If a call ends in one after LONG_WAIT_S, the
        requests that wait get it too, since their call would take as long.
        `when_idle` is called whenever no request waits and no call runs.
        """
        self._call = call
        self._context = copy_context()
        """What the callers' own log lines say is not true of a batch."""
        self._key = key
        self._joins_running = joins_running
        self._limit = limit
        self._at_once = at_once
        self._max_wait_s = max_wait_s
        self._min_interval_s = min_interval_s
        self._unavailable = unavailable
        self._when_idle = when_idle
        self._waiting: list[_PendingRequest[TRequest, TAnswer]] = []
        self._shared: dict[Hashable, asyncio.Future[TAnswer]] = {}
        self._running = 0
        self._workers: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def get(self, request: TRequest) -> TAnswer:
        """The answer. Raises its error. A cancelled caller does not affect the others."""
        future = self.put(request)
        return await (future if self._key is None else asyncio.shield(future))

    async def get_all(self, requests: Sequence[TRequest]) -> list[TAnswer]:
        """The answers in the order of `requests`. Raises the first error once all are answered."""
        futures = [self.put(request) for request in requests]
        if futures:
            await asyncio.wait(futures)
        return [future.result() for future in futures]

    def put(self, request: TRequest) -> asyncio.Future[TAnswer]:
        """Queue the request. Other callers may await the same future: do not cancel it."""
        future = None if self._key is None else self._shared.get(self._key(request))
        if future is None:
            future = asyncio.get_running_loop().create_future()
            self._waiting.append(_PendingRequest(request, future))
            if self._key is not None:
                self._shared[self._key(request)] = future
            self._begin_in_time()
        return future

    def flush(self) -> None:
        """Begin the call for the waiting requests now, if `at_once` allows it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting and self._running < self._at_once:
            # Counted here and decremented in its last step: a task is done some time before its callbacks run.
            self._running += 1
            task = asyncio.create_task(self._work(), context=self._context.copy())
            self._workers.add(task)
            task.add_done_callback(self._workers.discard)

    def _begin_in_time(self) -> None:
        if not self._max_wait_s:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._max_wait_s, self.flush)

    async def _work(self) -> None:
        batch: list[_PendingRequest[TRequest, TAnswer]] = []
        try:
            while self._waiting:
                may_begin_again = time.monotonic() + self._min_interval_s
                batch = self._take(self._limit)
                await self._answer(batch)
                if self._min_interval_s:
                    await asyncio.sleep(max(0.0, may_begin_again - time.monotonic()))
        except BaseException:  # the event loop ends: no caller may wait for ever
            for entry in (*batch, *self._take(len(self._waiting))):
                entry.future.cancel()
            raise
        finally:
            self._running -= 1
            if self._when_idle is not None and not self._running and not self._waiting:
                self._when_idle()

    def _take(self, limit: int) -> list[_PendingRequest[TRequest, TAnswer]]:
        batch, self._waiting = self._waiting[:limit], self._waiting[limit:]
        if not self._joins_running:
            self._unshare(batch)
        return batch

    async def _answer(self, batch: list[_PendingRequest[TRequest, TAnswer]]) -> None:
        began = time.monotonic()
        pairs: list[tuple[_PendingRequest[TRequest, TAnswer], TAnswer | BaseException]]
        try:
            answers = await self._call([entry.request for entry in batch])
            pairs = list(zip(batch, answers, strict=True))
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - raised again in every caller
            if isinstance(error, self._unavailable) and time.monotonic() - began > LONG_WAIT_S:
                batch += self._take(len(self._waiting))
            pairs = [(entry, error) for entry in batch]
        if self._joins_running:
            self._unshare(batch)
        for entry, answer in pairs:
            _resolve(entry.future, answer)

    def _unshare(self, batch: Sequence[_PendingRequest[TRequest, TAnswer]]) -> None:
        if self._key is not None:
            for entry in batch:
                self._shared.pop(self._key(entry.request), None)


def _resolve(future: asyncio.Future[TAnswer], answer: TAnswer | BaseException) -> None:
    if future.done():  # its caller was cancelled
        return
    if isinstance(answer, BaseException):
        future.set_exception(answer)
        future.exception()  # asyncio would log it if no caller waits any more
    else:
        future.set_result(answer)
