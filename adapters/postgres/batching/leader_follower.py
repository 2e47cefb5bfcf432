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


class Turn:
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


TTurn = TypeVar("TTurn", bound=Turn)


class QueueFull(OperationalError):
    """As many wait already as may: nothing was done for this caller."""


class LeaderFollowerQueue(Generic[TTurn]):
    """Turns in the order in which they came, and the right to work on them, held by one thread at a time."""

    def __init__(
        self,
        work: Callable[[list[TTurn]], None],
        take: Callable[[deque[TTurn]], list[TTurn]],
        *,
        max_waiting: int = 1_000,
    ) -> None:
        """`work` answers each turn of a batch; `take` removes the next batch, at least one, from those that wait."""
        self._work = work
        self._take = take
        self._max_waiting = max_waiting
        self._lock = threading.Lock()
        self._left = threading.Condition(self._lock)
        self._waiting: deque[TTurn] = deque()
        self._is_led = False
        self._is_closed = False
        self._pid = os.getpid()

    def join(self, turn: TTurn) -> None:
        """Returns when the turn is answered. Raises what `work` said of it.

        QueueFull when too many wait, InterfaceError when closed or inherited over a fork: nothing was done then.
        """
        self.join_all([turn])
        if turn.error is not None:
            raise turn.error

    def join_all(self, turns: Sequence[TTurn]) -> None:
        """Returns when each is answered; by an `error` where `join` would have raised it, but for InterfaceError of a
        fork, which is raised here, too."""
        if self.is_inherited:  # before the lock: in a child it may be held by nobody that lives
            raise InterfaceError("this event store was opened in the parent process: open one after the fork")
        entered: deque[TTurn] = deque()
        try:
            for turn in turns:
                if self._has_entered(turn):
                    entered.append(turn)
            while entered:
                self._see_through(entered.popleft())
        except BaseException:  # one of the others may have been given the lead, and nobody would ever work
            for turn in entered:
                self._leave(turn)
            raise

    @property
    def is_inherited(self) -> bool:
        """Was it made in a process that forked into this one? Its threads and its connection are not ours then."""
        return os.getpid() != self._pid

    def close(self) -> None:
        """Refuse what comes from now on, and return when all that waits is answered."""
        with self._left:
            self._is_closed = True
            self._left.wait_for(lambda: not self._is_led)

    def _has_entered(self, turn: TTurn) -> bool:
        """False where it is refused: its error says why."""
        with self._lock:
            if self._is_closed:
                turn.error = InterfaceError("this event store is closed")
                return False
            if len(self._waiting) >= self._max_waiting:
                turn.error = QueueFull(
                    f"{self._max_waiting} callers wait already: nothing was done, try later"
                )
                return False
            self._waiting.append(turn)
            if not self._is_led:
                self._is_led = turn.is_leading = True
            return True

    def _see_through(self, turn: TTurn) -> None:
        if not turn.is_leading:
            self._follow(turn)
        if turn.is_leading:
            self._lead(turn)
        if not turn.is_answered:
            turn.error = InterfaceError("this caller was never answered: it is not known what was done")

    def _follow(self, turn: TTurn) -> None:
        try:
            turn.wait()
        except BaseException:  # a signal: whoever waits behind must not wait for a leader that is gone
            self._leave(turn)
            raise

    def _leave(self, turn: TTurn) -> None:
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
            next_leader = self._next_leader() if turn.is_leading else None
        if next_leader is not None:
            next_leader.wake()

    def _lead(self, own: TTurn) -> None:
        batch: list[TTurn] = []
        try:
            with self._lock:
                batch = self._take(self._waiting)
            self._work(batch)
        except BaseException as error:
            for turn in batch:
                if not turn.is_answered:
                    turn.error = _unknown(error) if turn is not own else error
            raise
        finally:
            with self._lock:
                next_leader = self._next_leader()
            if next_leader is not None:
                next_leader.wake()
            for turn in batch:
                if turn is not own:
                    turn.wake()

    def _next_leader(self) -> TTurn | None:
        """With the lock held: who works on the next batch, if anybody waits."""
        if not self._waiting:
            self._is_led = False
            if self._is_closed:
                self._left.notify_all()
            return None
        self._waiting[0].is_leading = True
        return self._waiting[0]


def _unknown(error: BaseException) -> OperationalError:
    found = OperationalError(f"the thread that worked for this caller was stopped ({type(error).__name__})")
    found.__cause__ = error
    return found
