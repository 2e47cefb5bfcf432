"""Sessions of PostgreSQL: the one place that opens them, so that each counts against the budget of its process, and
says the release of the process.

A server that was stopped (SIGSTOP) or waits for its disk keeps none of its own time-outs, and TCP keepalives
still succeed. Without a deadline on the client's side such a session would block its caller for ever.
"""

from __future__ import annotations

import time
from typing import Any, Self, TypeVar

import psycopg
from psycopg import BaseConnection
from psycopg.abc import PQGen, PQGenConn
from psycopg.conninfo import conninfo_to_dict, timeout_from_conninfo

from adapters.postgres.connection.budget import BUDGET
from adapters.postgres.connection.timeline import (
    FENCE,
    AnswerTimeout,
    ServerState,
    Timeline,
    read_server,
)
from application.operations.release import RELEASE

CONNECT_WITHIN_S = 5
"""For each host of the address."""
BEFORE_DEADLINE_S = 0.3
"""psycopg wakes up ten times a second."""
TResult = TypeVar("TResult")


class _Fenced(BaseConnection[Any]):
    """A connection that knows the timeline of its server. One to a server that was replaced is refused, and closed as
    soon as this process learns of the newer timeline."""

    server: ServerState
    _reached: Timeline | None
    _judged_at = 0

    @classmethod
    def _connect_gen(cls, conninfo: str = "") -> PQGenConn[Self]:
        """Overrides psycopg's, which calls it for one host after the other: a host that is refused is passed over."""
        # psycopg's own deadline would leave a session that is waited for to the garbage collector.
        give_up_at = time.monotonic() + timeout_from_conninfo(conninfo_to_dict(conninfo)) - BEFORE_DEADLINE_S
        session = yield from super()._connect_gen(conninfo)
        try:
            session.server = yield from read_server(session.pgconn, give_up_at)
            session._admit()
        except BaseException:
            session.pgconn.finish()
            raise
        return session

    def _admit(self) -> None:
        self._judged_at = FENCE.changes
        self._reached = FENCE.admit(self.server, f"{self.info.host}:{self.info.port}")

    @property
    def is_superseded(self) -> bool:
        """Has this process seen a newer timeline than this session's server has reached?"""
        return self._judged_at != FENCE.changes and not FENCE.is_current(self._reached)

    def _check_timeline(self) -> None:
        """Before each statement. Raises OlderTimeline, and closes the session."""
        if self._judged_at != FENCE.changes:
            try:
                self._admit()
            except psycopg.OperationalError:
                self.pgconn.finish()
                raise


class Session(_Fenced, psycopg.Connection[Any]):
    """A session that closes itself if the server sends nothing for `answer_within_s`. The caller gets
    AnswerTimeout."""

    answer_within_s = float("inf")

    @classmethod
    def connect(cls, conninfo: str = "", **options: Any) -> Self:
        name = _application_name(conninfo, options)
        with BUDGET.place(name) as place:
            session = super().connect(conninfo, **options | {"application_name": with_release(name)})
            place.hold(session)
        return session

    def wait(self, gen: PQGen[TResult], *args: Any, **kwargs: Any) -> TResult:
        self._check_timeline()
        if self.answer_within_s == float("inf"):
            return super().wait(gen, *args, **kwargs)
        try:
            return super().wait(_with_deadline(gen, self.answer_within_s), *args, **kwargs)
        except AnswerTimeout:
            self.close()  # an interrupted statement makes the session unusable
            raise


class _UnfencedSession(Session):
    """Looks at a server without working with it: none is refused."""

    def _admit(self) -> None:
        FENCE.see(self.server)
        self._judged_at, self._reached = FENCE.changes, None


class AsyncSession(_Fenced, psycopg.AsyncConnection[Any]):
    """A session for the event loop; its callers set deadlines by asyncio."""

    @classmethod
    async def connect(cls, conninfo: str = "", **options: Any) -> Self:
        name = _application_name(conninfo, options)
        with BUDGET.place(name) as place:
            session = await super().connect(conninfo, **options | {"application_name": with_release(name)})
            place.hold(session)
        return session

    async def wait(self, gen: PQGen[TResult], *args: Any, **kwargs: Any) -> TResult:
        self._check_timeline()
        return await super().wait(gen, *args, **kwargs)


def open_session(
    dsn: str, application_name: str, *, connect_within_s: int = CONNECT_WITHIN_S, **parameters: str | int
) -> Session:
    """A session in autocommit mode; the caller closes it. `parameters` are those of libpq. Raises psycopg.Error."""
    return Session.connect(
        dsn,
        autocommit=True,
        connect_timeout=connect_within_s,
        application_name=application_name,
        **parameters,
    )


def open_unfenced_session(
    dsn: str, application_name: str, *, connect_within_s: int = CONNECT_WITHIN_S, **parameters: str | int
) -> Session:
    """As `open_session`, also to a server that was replaced: to say so, or to accept it. Nothing else is done there."""
    return _UnfencedSession.connect(
        dsn,
        autocommit=True,
        connect_timeout=connect_within_s,
        application_name=application_name,
        **parameters,
    )


async def open_async_session(
    dsn: str, application_name: str, *, connect_within_s: int = CONNECT_WITHIN_S, **parameters: str | int
) -> AsyncSession:
    """As `open_session`, for the event loop."""
    return await AsyncSession.connect(
        dsn,
        autocommit=True,
        connect_timeout=connect_within_s,
        application_name=application_name,
        **parameters,
    )


def with_release(application_name: str, release: str = RELEASE) -> str:
    """The name that the server shows. A name with a holder (`turn ingest x/HOLDER`) gets the release as a third part:
    holders are counted by the second one."""
    separator = "/" if "/" in application_name else " "
    return f"{application_name}{separator}{release}".strip()


def _application_name(conninfo: str, options: dict[str, Any]) -> str:
    name = options.get("application_name") or conninfo_to_dict(conninfo).get("application_name")
    return str(name or "")


def _with_deadline(gen: PQGen[TResult], within_s: float) -> PQGen[TResult]:
    """Drive psycopg's wait generator, and give up when nothing is ready after `within_s`. psycopg wakes up
    ten times a second."""
    deadline = time.monotonic() + within_s
    try:
        awaited = next(gen)
        while True:
            ready = yield awaited
            if not ready and time.monotonic() > deadline:
                raise AnswerTimeout(f"no answer in {within_s:g} s")
            awaited = gen.send(ready)
    except StopIteration as ended:
        result: TResult = ended.value
        return result
