"""Prepared statements sent together and answered in one round trip, by libpq's pipeline mode.

Between two calls psycopg may use the connection as ever. Parameters and results are in PostgreSQL's binary format:
this costs a quarter of what psycopg's own pipeline costs, and the lock of the event store is held for that time.
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
"""Longer than the server's own limits: only a server that is gone without a word takes as long."""

Call = tuple[bytes, Sequence[bytes]]
"""A statement's name and its parameters."""

_SUCCESS = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)


class PipelinedStatements:
    """The statements of one connection, each prepared when it is first used; not for two threads at once."""

    def __init__(self, connection: Connection[Any], statements: Mapping[bytes, bytes]) -> None:
        """`statements`: name -> SQL with `$1`."""
        self._pgconn: PGconn = connection.pgconn
        self._statements = statements
        self._prepared: set[bytes] = set()

    def run(self, *calls: Call) -> list[PGresult]:
        """The results in the order of the calls.

        Outside a transaction they are one, committed at the end. Raises psycopg.Error, of the first call that was
        refused: nothing after it was done. Where `is_lost` then, how far PostgreSQL came is not known.
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
        """Is the connection of no use any more?"""
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
            # What PostgreSQL said before it went says more than that it went.
            message = "".join(
                answer.get_error_message() for answer in answers if answer.status not in _SUCCESS
            )
            raise psycopg.OperationalError(f"the connection was lost: {message or error}") from error
        return answers

    def _collect(self, answers: list[PGresult]) -> None:
        """All up to the pipeline's end."""
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
