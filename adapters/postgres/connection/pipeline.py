"""Prepared statements sent in one round trip, in libpq's pipeline mode.

Between two calls psycopg can use the connection as usual. Parameters and results are in PostgreSQL's binary
format. This takes a quarter of the time of psycopg's own pipeline, and the event store holds its table lock
for that time.
"""

from __future__ import annotations

import select
import time
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult

ANSWER_WITHIN_S = 25.0
"""Longer than the server's own time-outs: only a server that disappeared takes as long."""

Call = tuple[bytes, Sequence[bytes]]
"""Name of a statement, and its parameters."""

_SUCCESS = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)


class PipelinedStatements:
    """The statements of one connection. Each is prepared at its first use. Not safe for use by two threads at
    once."""

    def __init__(self, connection: Connection[Any], statements: Mapping[bytes, bytes]) -> None:
        """`statements`: name -> SQL with `$1`."""
        self._pgconn: PGconn = connection.pgconn
        self._statements = statements
        self._prepared: set[bytes] = set()

    def run(self, *calls: Call) -> list[PGresult]:
        """Run the calls in one round trip, and return the results in their order.

        Outside a transaction the calls form one, which is committed at the end. Raises the psycopg.Error of
        the first call that was refused; no later call has any effect. If `is_lost` is true then, it is
        unknown how far PostgreSQL came.
        """
        pgconn = self._pgconn
        if not self._prepared.issuperset(name for name, _ in calls):
            self._prepare({name for name, _ in calls} - self._prepared)
        pgconn.enter_pipeline_mode()
        for name, parameters in calls:
            pgconn.send_query_prepared(name, parameters, [Format.BINARY] * len(parameters), Format.BINARY)
        return self._finish()

    @property
    def is_lost(self) -> bool:
        """Is the connection unusable?"""
        return self._pgconn.status != ConnStatus.OK

    def _prepare(self, names: set[bytes]) -> None:
        self._pgconn.enter_pipeline_mode()
        for name in names:
            self._pgconn.send_prepare(name, self._statements[name])
        self._finish()
        self._prepared |= names

    def _finish(self) -> list[PGresult]:
        self._pgconn.pipeline_sync()
        answers = self._answers()
        self._pgconn.exit_pipeline_mode()
        for answer in answers:
            if answer.status not in _SUCCESS:
                raise error_from_result(answer)
        return answers

    def _answers(self) -> list[PGresult]:
        answers: list[PGresult] = []
        try:
            self._collect(answers)
        except psycopg.OperationalError as error:
            # What PostgreSQL reported before it closed the connection explains more than the fact that it
            # did.
            message = "".join(
                answer.get_error_message() for answer in answers if answer.status not in _SUCCESS
            )
            raise psycopg.OperationalError(f"the connection was lost: {message or error}") from error
        return answers

    def _collect(self, answers: list[PGresult]) -> None:
        """Collect the results up to the end of the pipeline."""
        pgconn, deadline = self._pgconn, time.monotonic() + ANSWER_WITHIN_S
        poll = select.poll()
        poll.register(pgconn.socket, select.POLLIN | select.POLLOUT)
        while pgconn.flush():
            self._wait(poll, deadline)
            pgconn.consume_input()
        poll.modify(pgconn.socket, select.POLLIN)
        while True:
            while pgconn.is_busy():
                self._wait(poll, deadline)
                pgconn.consume_input()
            answer = pgconn.get_result()
            if answer is None:
                if self.is_lost:
                    raise psycopg.OperationalError("PostgreSQL closed it")
            elif answer.status == ExecStatus.PIPELINE_SYNC:
                return
            else:
                answers.append(answer)

    def _wait(self, poll: select.poll, deadline: float) -> None:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            self._pgconn.finish()
            raise psycopg.OperationalError(f"no answer in {ANSWER_WITHIN_S:.0f} s")
