"""A load forecaster that trains in a child process, so that nothing waits for training in the process that asks."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from datetime import datetime
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from threading import Lock

from adapters.forecasting.load_forecaster import BatchedLoadForecaster
from application.ports.forecast.load_forecaster import FacilityHistory, TooLittleHistory, TrainedModel

NICENESS = 5
"""The child's: whatever else the machine computes goes first."""
END_WITHIN_S = 2.0


class TrainingEnded(RuntimeError):
    """The child ended before it answered. The next training starts another one."""


class ForecasterWithChild(BatchedLoadForecaster):
    """Implements LoadForecaster. The child starts with the first training, and ends with `close` or with this process.

    For threads: one training runs at a time, the others wait.
    """

    def __init__(self) -> None:
        self._turn = Lock()
        self._child: tuple[BaseProcess, Connection] | None = None
        self._is_closed = False

    @property
    def pid(self) -> int | None:
        """The child's; None: there is none now."""
        child = self._child
        return None if child is None else child[0].pid

    def train_many(
        self, histories: Sequence[FacilityHistory], *, at: datetime
    ) -> list[TrainedModel | TooLittleHistory]:
        """Like BatchedLoadForecaster. Raises its errors, and TrainingEnded if the child ends before it answers."""
        with self._turn:
            child, connection = self._child or self._started()
            try:
                connection.send((list(histories), at))
                answer = connection.recv()
            except (EOFError, OSError) as error:
                self._end()
                raise TrainingEnded(f"the training process ended with {child.exitcode}") from error
        if isinstance(answer, Exception):
            raise answer
        models: list[TrainedModel | TooLittleHistory] = answer
        return models

    def close(self) -> None:
        """End the child, also in the middle of a training. Idempotent."""
        self._is_closed = True
        if (child := self._child) is not None:
            child[0].kill()

    def _started(self) -> tuple[BaseProcess, Connection]:
        if self._is_closed:
            raise TrainingEnded("this process ends")
        # A fork would copy the threads' locks and the sessions of this process.
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        child = context.Process(target=_serve, args=(theirs,), name="training", daemon=True)
        child.start()
        theirs.close()  # so that the child's end is noticed here
        self._child = child, ours
        return self._child

    def _end(self) -> None:
        if self._child is None:
            return
        child, connection = self._child
        self._child = None
        connection.close()
        child.kill()
        child.join(END_WITHIN_S)


def _serve(connection: Connection) -> None:
    """Train until the other end is closed, which it also is when the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    forecaster = BatchedLoadForecaster()
    try:
        while True:
            histories, at = connection.recv()
            try:
                answer: object = forecaster.train_many(histories, at=at)
            except Exception as error:  # noqa: BLE001 - raised by the parent
                answer = error
            connection.send(answer)
    except (EOFError, OSError):
        return
