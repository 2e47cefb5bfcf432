"""Writes of concurrent threads, combined into one transaction.

While one group is written, new writes queue up and form the next group. Each partition of the telemetry log
has its own thread, and a transaction per partition would cost more than its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Generic, TypeVar

from application.ports.telemetry.store import TelemetryStoreUnavailable

TRequest = TypeVar("TRequest")
TResult = TypeVar("TResult")


class _QueuedWrite(Generic[TRequest, TResult]):
    """The write of one caller."""

    __slots__ = ("error", "is_done", "request", "results")

    def __init__(self, request: TRequest) -> None:
        self.request = request
        self.results: list[TResult] = []
        self.error: Exception | None = None
        self.is_done = False

    def result(self) -> TResult:
        if self.error is not None:
            raise self.error
        return self.results[0]


class GroupedWrites(Generic[TRequest, TResult]):
    """Combines concurrent writes. `write` takes the requests of several callers, executes them in one
    transaction and returns one result each.

    If a group fails, its writes are retried one by one, so that the rows of one caller do not fail another.
    If the store is unavailable there is no retry.
    """

    def __init__(self, write: Callable[[Sequence[TRequest]], Sequence[TResult]]) -> None:
        self._write = write
        self._queue: list[_QueuedWrite[TRequest, TResult]] = []
        self._queue_lock = Lock()
        self._write_lock = Lock()

    def __call__(self, request: TRequest) -> TResult:
        """Returns after the commit. Raises what `write` raised for this request."""
        own = _QueuedWrite[TRequest, TResult](request)
        with self._queue_lock:
            self._queue.append(own)
        with self._write_lock:
            if not own.is_done:
                with self._queue_lock:
                    group, self._queue = self._queue, []
                self._execute(group)
        return own.result()

    def _execute(self, group: Sequence[_QueuedWrite[TRequest, TResult]]) -> None:
        try:
            results = self._write([entry.request for entry in group])
            for entry, result in zip(group, results, strict=True):
                entry.results.append(result)
        except TelemetryStoreUnavailable as error:
            for entry in group:
                entry.error = error
        except Exception as error:  # noqa: BLE001 - raised in the caller whose write it is
            if len(group) == 1:
                group[0].error = error
            else:
                for entry in group:
                    self._execute([entry])
        finally:
            for entry in group:
                entry.is_done = True
                if not entry.results and entry.error is None:
                    entry.error = TelemetryStoreUnavailable("the write was interrupted")
