"""Budget of PostgreSQL sessions: counts those that this process has open, and refuses one too many.

A session is counted from before it is opened until it is closed or no longer referenced. Its `application_name` says
which kind it is of. Limits are set once, when a process begins (interfaces/bootstrap/connection_budget.py).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import ref

import psycopg
from psycopg import BaseConnection


class BudgetExceeded(psycopg.OperationalError):
    """This process has as many sessions of the kind open as its budget allows."""


class _Place:
    """A session that is being opened, or is open."""

    def __init__(self) -> None:
        self._session: Callable[[], BaseConnection[Any] | None] | None = None

    def hold(self, session: BaseConnection[Any]) -> None:
        self._session = ref(session)

    @property
    def backend(self) -> int | None:
        """The server process; None while it is not open."""
        session = None if self._session is None else self._session()
        try:
            return None if session is None or session.closed else session.info.backend_pid
        except psycopg.OperationalError:
            return None  # it was closed meanwhile

    @property
    def is_free(self) -> bool:
        if self._session is None:
            return False
        session = self._session()
        return session is None or session.closed


class SessionBudget:
    """Counts the sessions of one process by kind. Without limits it refuses none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kind_of: Callable[[str], str | None] = lambda application_name: application_name
        self._limits: Mapping[str, int] | None = None
        self._places: dict[str, list[_Place]] = {}

    def set_limits(self, limits: Mapping[str, int] | None, kind_of: Callable[[str], str | None]) -> None:
        """`limits`: kind -> sessions at most; a kind without a limit is refused. None: no limits."""
        with self._lock:
            self._limits, self._kind_of = limits, kind_of

    def open_sessions(self) -> dict[str, int]:
        """Kind -> sessions, with those that are being opened."""
        with self._lock:
            return {kind: count for kind in list(self._places) if (count := len(self._in_use(kind)))}

    def backends(self) -> list[int]:
        """The server processes of the sessions that are open."""
        with self._lock:
            places = [place for used in self._places.values() for place in used]
        return [backend for place in places if (backend := place.backend) is not None]

    @contextmanager
    def place(self, application_name: str) -> Iterator[_Place]:
        """A place for a session that the block opens. Raises BudgetExceeded."""
        kind = self._kind_of(application_name) or f"{application_name!r}, which no budget names"
        with self._lock:
            taken, place = self._in_use(kind), _Place()
            if self._limits is not None and len(taken) >= self._limits.get(kind, 0):
                raise BudgetExceeded(
                    f"this process may have {self._limits.get(kind, 0)} PostgreSQL sessions for {kind} and has "
                    f"{len(taken)} (ADR 0088)"
                )
            self._places[kind] = [*taken, place]
        try:
            yield place
        except BaseException:
            with self._lock:
                self._places[kind].remove(place)
            raise

    def _in_use(self, kind: str) -> list[_Place]:
        """The connections of the kind in use; free ones of any kind are dropped, since without limits each name is a
        kind."""
        for one, places in list(self._places.items()):
            if not (used := [place for place in places if not place.is_free]):
                del self._places[one]
            else:
                self._places[one] = used
        return self._places.get(kind, [])


BUDGET = SessionBudget()
"""Of this process."""
