"""Connection pool with a deadline on each answer of the server.

A server that was stopped (SIGSTOP) or waits for its disk keeps none of its own time-outs, and TCP keepalives
still succeed. Without a deadline on the client's side such a connection would block its caller for ever.
"""

from __future__ import annotations

import time
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

from adapters.postgres.connection.dsn import with_statement_timeout
from adapters.postgres.connection.pool import FastReconnectPool

MARGIN_S = 1.0
"""Added to the server's statement time-out. A server that still works ends the statement itself, and the
connection stays usable."""
TResult = TypeVar("TResult")


class AnswerTimeout(psycopg.OperationalError):
    """The server sent nothing before the deadline."""


class DeadlineConnection(psycopg.Connection[Any]):
    """A connection that closes itself if the server sends nothing for `within_s`. The caller gets
    AnswerTimeout."""

    within_s = float("inf")

    def wait(self, gen: PQGen[TResult], *args: Any, **kwargs: Any) -> TResult:
        try:
            return super().wait(_with_deadline(gen, self.within_s), *args, **kwargs)
        except AnswerTimeout:
            self.close()  # an interrupted statement makes the connection unusable; the pool opens another one
            raise


class DeadlinePool(FastReconnectPool):
    """A pool whose statements take at most `answer_within_s`, whatever the DSN says.

    The same limit is set as the server's statement_timeout, so that the server does not continue a statement
    that nobody waits for.
    """

    def __init__(self, dsn: str, *, answer_within_s: int, **options: Any) -> None:
        def configure(connection: DeadlineConnection) -> None:
            connection.within_s = answer_within_s + MARGIN_S

        super().__init__(
            with_statement_timeout(dsn, answer_within_s),
            connection_class=DeadlineConnection,
            configure=configure,
            **options,
        )


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
