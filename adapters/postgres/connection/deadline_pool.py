"""A pool of connections that give a server up which says nothing, however well its machine keeps them alive.

A server that was stopped (SIGSTOP), or waits for its disk, honours no time-out of its own, and TCP finds nothing wrong.
"""

from __future__ import annotations

import time
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from adapters.postgres.connection.pool import FastReconnectPool

MARGIN_S = 1.0
"""Than the server's own time-out: where it lives it ends its statement itself, and the connection stays good."""
TResult = TypeVar("TResult")


class AnswerTimeout(psycopg.OperationalError):
    """The server said nothing in time."""


class DeadlineConnection(psycopg.Connection[Any]):
    """Is closed where the server says nothing for `within_s`; who waited gets Unanswered."""

    within_s = float("inf")

    def wait(self, gen: PQGen[TResult], *args: Any, **kwargs: Any) -> TResult:
        try:
            return super().wait(_with_deadline(gen, self.within_s), *args, **kwargs)
        except AnswerTimeout:
            self.close()  # in the middle of a statement it is of no use, and the pool makes another
            raise


class DeadlinePool(FastReconnectPool):
    """No statement takes longer than `answer_within_s`, whatever the address says: who closes first must be the server,
    which would work on for nobody."""

    def __init__(self, dsn: str, *, answer_within_s: int, **options: Any) -> None:
        def configure(connection: DeadlineConnection) -> None:
            connection.within_s = answer_within_s + MARGIN_S

        super().__init__(
            _with_statement_timeout(dsn, answer_within_s),
            connection_class=DeadlineConnection,
            configure=configure,
            **options,
        )


def _with_statement_timeout(dsn: str, seconds: int) -> str:
    options_before = conninfo_to_dict(dsn).get("options") or ""
    return make_conninfo(
        dsn, options=f"{options_before} -c statement_timeout={seconds}s".strip()
    )  # the last one counts


def _with_deadline(gen: PQGen[TResult], within_s: float) -> PQGen[TResult]:
    """What is waited for, given up once nothing is ready and it is late. Who waits looks up ten times a second."""
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
