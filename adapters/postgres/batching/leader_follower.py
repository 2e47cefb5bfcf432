"""Who works: of the threads that want the same kind of thing at the same moment, one leads and works for all.

A caller that finds nobody leading leads at once, so a lone caller waits for nothing. What arrives while it works
is the next batch; whoever is first in it leads that one. A leader leads one batch: nobody works for the others
longer than its own turn takes.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from eventsourcing.persistence import InterfaceError, OperationalError


class QueuedRequest:
    """What one caller wants, and how that ended."""

    __slots__ = ("_gate", "error", "is_leading")

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.is_leading = False
        self._gate = threading.Lock()
        self._gate.acquire()

    @property
    def is_answered(self) -> bool:
        """By an error or by what it wanted."""
        return self.error is not None

    def wait(self) -> None:
        """Until it is answered or may lead."""
        self._gate.acquire()

    def wake(self) -> None:
        self._gate.release()


TRequest = TypeVar("TRequest", bound=QueuedRequest)


class QueueFull(OperationalError):
    """As many wait already as may: nothing was done for this caller."""


class LeaderFollowerQueue(Generic[TRequest]):
    """Turns in the order in which they came, and the right to work on them, held by one thread at a time."""

    def __init__(
        self,
        process: Callable[[list[TRequest]], None],
        next_batch: Callable[[deque[TRequest]], list[TRequest]],
        *,
        max_waiting: int = 1_000,
    ) -> None:
        """`work` answers each turn of a batch; `take` removes the next batch, at least one, from those that wait."""
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
        """Returns when the turn is answered. Raises what `work` said of it.

        QueueFull when too many wait, InterfaceError when closed or inherited over a fork: nothing was done then.
        """
        self.join_all([request])
        if request.error is not None:
            raise request.error

    def join_all(self, requests: Sequence[TRequest]) -> None:
        """Returns when each is answered; by an `error` where `join` would have raised it, but for InterfaceError of a
        fork, which is raised here, too."""
        if self.is_inherited:  # before the lock: in a child it may be held by nobody that lives
            raise InterfaceError("this event store was opened in the parent process: open one after the fork")
        queued: deque[TRequest] = deque()
        try:
            for request in requests:
                if self._enqueue(request):
                    queued.append(request)
            while queued:
                self._complete(queued.popleft())
        except BaseException:  # one of the others may have been given the lead, and nobody would ever work
            for request in queued:
                self._withdraw(request)
            raise

    @property
    def is_inherited(self) -> bool:
        """Was it made in a process that forked into this one? Its threads and its connection are not ours then."""
        return os.getpid() != self._pid

    def close(self) -> None:
        """Refuse what comes from now on, and return when all that waits is answered."""
        with self._idle:
            self._is_closed = True
            self._idle.wait_for(lambda: not self._has_leader)

    def _enqueue(self, request: TRequest) -> bool:
        """False where it is refused: its error says why."""
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
            request.error = InterfaceError("this caller was never answered: it is not known what was done")

    def _follow(self, request: TRequest) -> None:
        try:
            request.wait()
        except BaseException:  # a signal: whoever waits behind must not wait for a leader that is gone
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
        """With the lock held: who works on the next batch, if anybody waits."""
        if not self._waiting:
            self._has_leader = False
            if self._is_closed:
                self._idle.notify_all()
            return None
        self._waiting[0].is_leading = True
        return self._waiting[0]


def _interrupted(error: BaseException) -> OperationalError:
    translated = OperationalError(
        f"the thread that worked for this caller was stopped ({type(error).__name__})"
    )
    translated.__cause__ = error
    return translated
