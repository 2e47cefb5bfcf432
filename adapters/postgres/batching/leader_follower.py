"""Leader-follower queue: one of several concurrent threads processes the requests of all.

A caller that finds no leader becomes the leader at once, so a single caller never waits. Requests that arrive
while a batch is processed form the next batch, and the first caller in it leads that one. A leader processes
one batch only, so that no caller works for the others longer than for its own batch.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from eventsourcing.persistence import InterfaceError, OperationalError


class QueuedRequest:
    """The request of one caller, and its result."""

    __slots__ = ("_gate", "error", "is_leading")

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.is_leading = False
        self._gate = threading.Lock()
        self._gate.acquire()

    @property
    def is_answered(self) -> bool:
        """Is there a result or an error?"""
        return self.error is not None

    def wait(self) -> None:
        """Block until the request is answered or its caller becomes the leader."""
        self._gate.acquire()

    def wake(self) -> None:
        self._gate.release()


TRequest = TypeVar("TRequest", bound=QueuedRequest)


class QueueFull(OperationalError):
    """The queue is full; nothing was done for this caller."""


class LeaderFollowerQueue(Generic[TRequest]):
    """Requests in order of arrival, processed by one leading thread at a time."""

    def __init__(
        self,
        process: Callable[[list[TRequest]], None],
        next_batch: Callable[[deque[TRequest]], list[TRequest]],
        *,
        max_waiting: int = 1_000,
    ) -> None:
        """`process` answers each request of a batch. `next_batch` removes the next batch, with at least one
        request, from the waiting ones."""
        self._process = process
        self._next_batch = next_batch
        self._max_waiting = max_waiting
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._waiting: deque[TRequest] = deque()
        self._has_leader = False
        self._is_closed = False
        self._pid = os.getpid()

    def join(self, request: TRequest) -> None:
        """Returns when the request is answered. Raises the error that `process` set.

        Raises QueueFull if too many requests wait, and InterfaceError if the queue is closed or was inherited
        over a fork; nothing was done in these cases.
        """
        self.join_all([request])
        if request.error is not None:
            raise request.error

    def join_all(self, requests: Sequence[TRequest]) -> None:
        """Returns when each request is answered. Errors that `join` would raise are set as `error`;
        InterfaceError after a fork is raised here too."""
        if self.is_inherited:  # before the lock: in a child process its owner may not exist
            raise InterfaceError("this event store was opened in the parent process: open one after the fork")
        queued: deque[TRequest] = deque()
        try:
            for request in requests:
                if self._enqueue(request):
                    queued.append(request)
            while queued:
                self._complete(queued.popleft())
        except (
            BaseException
        ):  # one of the other requests may have become the leader, and nobody would process its batch
            for request in queued:
                self._withdraw(request)
            raise

    @property
    def is_inherited(self) -> bool:
        """Was this queue created in a parent process before a fork? Its threads and connections belong to the
        parent then."""
        return os.getpid() != self._pid

    def close(self) -> None:
        """Refuse new requests, and return when the waiting ones are answered."""
        with self._idle:
            self._is_closed = True
            self._idle.wait_for(lambda: not self._has_leader)

    def _enqueue(self, request: TRequest) -> bool:
        """False if the request is refused; its `error` says why."""
        with self._lock:
            if self._is_closed:
                request.error = InterfaceError("this event store is closed")
                return False
            if len(self._waiting) >= self._max_waiting:
                request.error = QueueFull(
                    f"{self._max_waiting} callers wait already: nothing was done, try later"
                )
                return False
            self._waiting.append(request)
            if not self._has_leader:
                self._has_leader = request.is_leading = True
            return True

    def _complete(self, request: TRequest) -> None:
        if not request.is_leading:
            self._follow(request)
        if request.is_leading:
            self._lead(request)
        if not request.is_answered:
            request.error = InterfaceError("the request was never answered: the outcome is unknown")

    def _follow(self, request: TRequest) -> None:
        try:
            request.wait()
        except BaseException:  # a signal: the requests behind it must not wait for a leader that is gone
            self._withdraw(request)
            raise

    def _withdraw(self, request: TRequest) -> None:
        with self._lock:
            if request in self._waiting:
                self._waiting.remove(request)
            next_leader = self._next_leader() if request.is_leading else None
        if next_leader is not None:
            next_leader.wake()

    def _lead(self, own: TRequest) -> None:
        batch: list[TRequest] = []
        try:
            with self._lock:
                batch = self._next_batch(self._waiting)
            self._process(batch)
        except BaseException as error:
            for request in batch:
                if not request.is_answered:
                    request.error = _interrupted(error) if request is not own else error
            raise
        finally:
            with self._lock:
                next_leader = self._next_leader()
            if next_leader is not None:
                next_leader.wake()
            for request in batch:
                if request is not own:
                    request.wake()

    def _next_leader(self) -> TRequest | None:
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
