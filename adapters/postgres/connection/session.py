"""Sessions of PostgreSQL: the one place that opens them, so that each counts against the budget of its process.

A server that was stopped (SIGSTOP) or waits for its disk keeps none of its own time-outs, and TCP keepalives
still succeed. Without a deadline on the client's side such a session would block its caller for ever.
"""

from __future__ import annotations

import time
from typing import Any, Self, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict

from adapters.postgres.connection.budget import BUDGET

CONNECT_WITHIN_S = 5
"""For each host of the address."""
TResult = TypeVar("TResult")


class AnswerTimeout(psycopg.OperationalError):
    """The server sent nothing before the deadline."""


class Session(psycopg.Connection[Any]):
    """A session that closes itself if the server sends nothing for `answer_within_s`. The caller gets
    AnswerTimeout."""

    answer_within_s = float("inf")

    @classmethod
    def connect(cls, conninfo: str = "", **options: Any) -> Self:
        with BUDGET.place(_application_name(conninfo, options)) as place:
            session = super().connect(conninfo, **options)
            place.hold(session)
        return session

    def wait(self, gen: PQGen[TResult], *args: Any, **kwargs: Any) -> TResult:
        if self.answer_within_s == float("inf"):
            return super().wait(gen, *args, **kwargs)
        try:
            return super().wait(_with_deadline(gen, self.answer_within_s), *args, **kwargs)
        except AnswerTimeout:
            self.close()  # an interrupted statement makes the session unusable
            raise


class AsyncSession(psycopg.AsyncConnection[Any]):
    """A session for the event loop; its callers set deadlines by asyncio."""

    @classmethod
    async def connect(cls, conninfo: str = "", **options: Any) -> Self:
        with BUDGET.place(_application_name(conninfo, options)) as place:
            session = await super().connect(conninfo, **options)
            place.hold(session)
        return session


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
