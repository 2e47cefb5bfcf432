"""Batching over threads: one of several concurrent callers makes the call for all (leader and followers).

A caller that finds no leader becomes the leader at once, so a single caller never waits. Requests that arrive
while a batch is processed form the next batch, and the first caller in it leads that one. A leader processes
one batch only, so that no caller works for the others longer than for its own batch.

The only batcher for threads; `application.async_batcher` is the one for coroutines (ADR 0089).
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from eventsourcing.persistence import InterfaceError, OperationalError

TRequest = TypeVar("TRequest")
TAnswer = TypeVar("TAnswer")


class QueueFull(OperationalError):
    """The queue is full; nothing was done for this caller."""


class _QueuedRequest(Generic[TRequest, TAnswer]):
    """The request of one caller, and its outcome."""

    __slots__ = ("gate", "is_answered", "is_leading", "outcome", "request")

    def __init__(self, request: TRequest) -> None:
        self.request = request
        self.outcome: TAnswer | Exception
        self.is_answered = self.is_leading = False
        self.gate = threading.Lock()
        self.gate.acquire()

    def answer(self, outcome: TAnswer | Exception) -> None:
        self.outcome, self.is_answered = outcome, True


class ThreadBatcher(Generic[TRequest, TAnswer]):
    """Passes the requests of concurrent threads to `call` together, in order of arrival and by one thread at a
    time. Each answer is computed after its request was made."""

    def __init__(
        self,
        call: Callable[[Sequence[TRequest]], Sequence[TAnswer | Exception]],
        *,
        sizes: Callable[[TRequest], Sequence[int]] = lambda _: (),
        limits: Sequence[int] = (),
        max_waiting: int = 1_000,
        unavailable: tuple[type[Exception], ...] = (),
        repeats: bool = False,
    ) -> None:
        """`call` returns an answer, or its error, for each request, in their order.

        `sizes` of a request are summed over a batch, and none of the sums exceeds its of `limits`, unless the batch is
        a single request. At most `max_waiting` requests wait.
        `unavailable`: errors of `call` that concern every caller of the batch. Another one is raised in the leader, and
        its followers are told that they were interrupted. With `repeats` the requests of the batch are called one by
        one then, so that the error of one request fails no other.
        """
        self._call = call
        self._sizes = sizes
        self._limits = limits
        self._max_waiting = max_waiting
        self._unavailable = unavailable
        self._repeats = repeats
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._waiting: deque[_QueuedRequest[TRequest, TAnswer]] = deque()
        self._has_leader = False
        self._is_closed = False
        self._pid = os.getpid()

    def get(self, request: TRequest) -> TAnswer:
        """The answer. Raises its error.

        Raises QueueFull if too many requests wait, and InterfaceError if the batcher is closed or was inherited
        over a fork; nothing was done in these cases.
        """
        [answer] = self.get_each([request])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def get_each(self, requests: Sequence[TRequest]) -> list[TAnswer | Exception]:
        """The answer to each request, or the error that `get` would raise. InterfaceError after a fork is raised
        here too."""
        if self.is_inherited:  # before the lock: in a child process its owner may not exist
            raise InterfaceError("this store was opened in the parent process: open one after the fork")
        entries: list[_QueuedRequest[TRequest, TAnswer]] = [_QueuedRequest(request) for request in requests]
        queued: deque[_QueuedRequest[TRequest, TAnswer]] = deque()
        try:
            for entry in entries:
                if self._enqueue(entry):
                    queued.append(entry)
            while queued:
                self._complete(queued.popleft())
        except (
            BaseException
        ):  # another request may have become the leader, and nobody would process its batch
            for entry in queued:
                self._withdraw(entry)
            raise
        return [entry.outcome for entry in entries]

    @property
    def is_inherited(self) -> bool:
        """Was this batcher created in a parent process before a fork? Its threads and connections belong to the
        parent then."""
        return os.getpid() != self._pid

    def close(self) -> None:
        """Refuse new requests, and return when the waiting ones are answered."""
        with self._idle:
            self._is_closed = True
            self._idle.wait_for(lambda: not self._has_leader)

    def _enqueue(self, entry: _QueuedRequest[TRequest, TAnswer]) -> bool:
        """False if the request is refused; its outcome says why."""
        with self._lock:
            if self._is_closed:
                entry.answer(InterfaceError("this store is closed"))
                return False
            if len(self._waiting) >= self._max_waiting:
                detail = f"{self._max_waiting} callers wait already: nothing was done, try later"
                entry.answer(QueueFull(detail))
                return False
            self._waiting.append(entry)
            if not self._has_leader:
                self._has_leader = entry.is_leading = True
            return True

    def _complete(self, entry: _QueuedRequest[TRequest, TAnswer]) -> None:
        if not entry.is_leading:
            self._follow(entry)
        if entry.is_leading:
            self._lead(entry)
        if not entry.is_answered:
            entry.answer(InterfaceError("the request was never answered: the outcome is unknown"))

    def _follow(self, entry: _QueuedRequest[TRequest, TAnswer]) -> None:
        """Block until the request is answered or its caller becomes the leader."""
        try:
            entry.gate.acquire()
        except BaseException:  # a signal: the requests behind it must not wait for a leader that is gone
            self._withdraw(entry)
            raise

    def _withdraw(self, entry: _QueuedRequest[TRequest, TAnswer]) -> None:
        with self._lock:
            if entry in self._waiting:
                self._waiting.remove(entry)
            next_leader = self._next_leader() if entry.is_leading else None
        if next_leader is not None:
            next_leader.gate.release()

    def _lead(self, own: _QueuedRequest[TRequest, TAnswer]) -> None:
        batch: list[_QueuedRequest[TRequest, TAnswer]] = []
        try:
            with self._lock:
                batch = self._take()
            self._answer(batch)
        except BaseException as error:
            for entry in batch:
                if not entry.is_answered:
                    entry.answer(_interrupted(error))
            raise
        finally:
            with self._lock:
                next_leader = self._next_leader()
            if next_leader is not None:
                next_leader.gate.release()
            for entry in batch:
                if entry is not own:
                    entry.gate.release()

    def _take(self) -> list[_QueuedRequest[TRequest, TAnswer]]:
        """The next batch, with at least one request. The caller holds the lock."""
        batch = [self._waiting.popleft()]
        sums = list(self._sizes(batch[0].request))
        while self._waiting:
            sums = [a + b for a, b in zip(sums, self._sizes(self._waiting[0].request), strict=True)]
            if any(size > limit for size, limit in zip(sums, self._limits, strict=True)):
                break
            batch.append(self._waiting.popleft())
        return batch

    def _answer(self, batch: Sequence[_QueuedRequest[TRequest, TAnswer]]) -> None:
        try:
            answers = self._call([entry.request for entry in batch])
            for entry, answer in zip(batch, answers, strict=True):
                entry.answer(answer)
        except self._unavailable as error:
            for entry in batch:  # a new one for each caller, because a raised error carries its traceback
                entry.answer(type(error)(str(error)))
        except Exception as error:
            if not self._repeats:
                raise
            if len(batch) == 1:
                batch[0].answer(error)
            else:
                for entry in batch:
                    self._answer([entry])

    def _next_leader(self) -> _QueuedRequest[TRequest, TAnswer] | None:
        """Appoint the leader of the next batch, if a request waits. The caller holds the lock."""
        if not self._waiting:
            self._has_leader = False
            if self._is_closed:
                self._idle.notify_all()
            return None
        self._waiting[0].is_leading = True
        return self._waiting[0]


def _interrupted(error: BaseException) -> OperationalError:
    translated = OperationalError(
        f"the thread that processed this request was stopped ({type(error).__name__})"
    )
    translated.__cause__ = error
    return translated
