"""Who writes: of the threads that want to save at the same moment, one leads and writes for all.

A caller that finds nobody leading leads at once, so a lone caller waits for nothing. What arrives while it writes
is the next batch; whoever is first in it leads that one. A leader leads one batch: nobody works for the others
longer than its own save takes.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence

from eventsourcing.persistence import InterfaceError, OperationalError, StoredEvent

from application.ports.event_store import IdempotencyRecord

EVENT_OVERHEAD_BYTES = 32
"""An id, a version and the lengths."""


class Save:
    """One caller's domain events, all or none of them, and how that ended."""

    __slots__ = ("_gate", "byte_count", "error", "idempotency", "ids", "is_leading", "stored_events")

    def __init__(
        self, stored_events: Sequence[StoredEvent], idempotency: IdempotencyRecord | None = None
    ) -> None:
        self.stored_events = stored_events
        self.idempotency = idempotency
        self.byte_count = sum(len(e.topic) + len(e.state) + EVENT_OVERHEAD_BYTES for e in stored_events)
        self.ids: list[int] | None = None
        self.error: BaseException | None = None
        self.is_leading = False
        self._gate = threading.Lock()
        self._gate.acquire()

    @property
    def is_answered(self) -> bool:
        return self.ids is not None or self.error is not None

    def wait(self) -> None:
        """Until it is answered or may lead."""
        self._gate.acquire()

    def wake(self) -> None:
        self._gate.release()


class SaveQueue:
    """Saves in the order in which they came, and the right to write them, held by one thread at a time."""

    def __init__(
        self,
        write: Callable[[list[Save]], None],
        *,
        max_waiting: int = 1_000,
        max_batch_events: int = 500,
        max_batch_bytes: int = 128 * 1024,
    ) -> None:
        """`write` answers each save of a batch by its `ids` or its `error`."""
        self._write = write
        self._max_waiting = max_waiting
        self._max_events = max_batch_events
        self._max_bytes = max_batch_bytes
        self._lock = threading.Lock()
        self._waiting: deque[Save] = deque()
        self._is_led = False
        self._is_closed = False
        self._pid = os.getpid()

    def put(self, save: Save) -> list[int]:
        """The positions of its domain events once they are committed. Raises what `write` said of this save.

        OperationalError when too many wait, InterfaceError when closed or inherited over a fork: nothing is saved.
        """
        if self.is_inherited:  # before the lock: in a child it may be held by nobody that lives
            raise InterfaceError("this event store was opened in the parent process: open one after the fork")
        self._enter(save)
        self._take_part(save)
        if save.error is not None:
            raise save.error
        if save.ids is None:
            raise InterfaceError("this save was never answered: it is not known to be saved")
        return save.ids

    @property
    def is_inherited(self) -> bool:
        """Was it made in a process that forked into this one? Its threads and its connection are not ours then."""
        return os.getpid() != self._pid

    def close(self) -> None:
        """Refuse what comes from now on, and return when all that waits is written."""
        last = Save(())
        with self._lock:
            if self._is_closed or not self._is_led:
                self._is_closed = True
                return
            self._is_closed = True
            self._waiting.append(last)
        self._take_part(last)

    def _take_part(self, save: Save) -> None:
        """As one who waits or as the leader; afterwards it is answered."""
        if not save.is_leading:
            self._follow(save)
        if save.is_leading:
            self._lead(save)

    def _enter(self, save: Save) -> None:
        with self._lock:
            if self._is_closed:
                raise InterfaceError("this event store is closed")
            if len(self._waiting) >= self._max_waiting:
                raise OperationalError(
                    f"{self._max_waiting} saves wait already: nothing was saved, try later"
                )
            self._waiting.append(save)
            if not self._is_led:
                self._is_led = save.is_leading = True

    def _follow(self, save: Save) -> None:
        try:
            save.wait()
        except BaseException:  # a signal: whoever waits behind must not wait for a leader that is gone
            self._leave(save)
            raise

    def _leave(self, save: Save) -> None:
        with self._lock:
            if save in self._waiting:
                self._waiting.remove(save)
            next_leader = self._next_leader() if save.is_leading else None
        if next_leader is not None:
            next_leader.wake()

    def _lead(self, own: Save) -> None:
        batch: list[Save] = []
        try:
            with self._lock:
                batch = self._take()
            self._write(batch)
        except BaseException as error:
            for save in batch:
                if not save.is_answered:
                    save.error = _unknown(error) if save is not own else error
            raise
        finally:
            with self._lock:
                next_leader = self._next_leader()
            if next_leader is not None:
                next_leader.wake()
            for save in batch:
                if save is not own:
                    save.wake()

    def _take(self) -> list[Save]:
        """The next batch: at least one save, and no more events or bytes than the bounds."""
        batch = [self._waiting.popleft()]
        events, size = len(batch[0].stored_events), batch[0].byte_count
        while self._waiting:
            following = self._waiting[0]
            events, size = events + len(following.stored_events), size + following.byte_count
            if events > self._max_events or size > self._max_bytes:
                break
            batch.append(self._waiting.popleft())
        return batch

    def _next_leader(self) -> Save | None:
        """With the lock held: who writes the next batch, if anybody waits."""
        if not self._waiting:
            self._is_led = False
            return None
        self._waiting[0].is_leading = True
        return self._waiting[0]


def _unknown(error: BaseException) -> OperationalError:
    found = OperationalError(f"the thread that wrote for this save was stopped ({type(error).__name__})")
    found.__cause__ = error
    return found
