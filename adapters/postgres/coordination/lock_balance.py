"""When a process with many locks gives one back, so that no process holds all while others hold none.

Each follower asks on its own session, which holds its lock or waits for it. The sessions of one process have its name.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Any

import psycopg

from adapters.postgres.coordination.exclusive_lock import COUNT_BY_HOLDER

EVERY_S = 1.0
"""Wall seconds between two locks that one process gives back."""
UNWANTED_S = 60.0
"""For how long a process gives back no lock after one that nobody took: the other process hangs."""


class LockBalance:
    """The balance of one process, whose sessions are named `PREFIX.../HOLDER`. Its threads share it."""

    def __init__(self, prefix: str, holder: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.holder = holder
        self._prefix = prefix
        self._monotonic = monotonic
        self._next_at = monotonic() + EVERY_S
        self._given: str | None = None
        """The lock that was given back last, until anybody is known to have it."""
        self._one_at_a_time = Lock()

    def gives_back(self, name: str, connection: psycopg.Connection[Any]) -> bool:
        """True if the holder of the lock `name` shall release it. Errors are those of psycopg."""
        if self._monotonic() < self._next_at or not self._one_at_a_time.acquire(blocking=False):
            return False
        try:
            self._next_at = self._monotonic() + EVERY_S
            if self._given == name:  # this process got it back
                self._given, self._next_at = None, self._monotonic() + UNWANTED_S
                return False
            held = {
                str(holder): int(count)
                for holder, count in connection.execute(COUNT_BY_HOLDER, (self._prefix,))
            }
            own = held.pop(self.holder, 0)
            is_over = own >= min(held.values(), default=own) + 2
            if is_over:
                self._given = name
            return is_over
        finally:
            self._one_at_a_time.release()
