"""Writes of several threads in one transaction: while one is written, those that come wait and go in together.

Each partition of the telemetry log has a thread of its own; a transaction a partition costs more than what is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Generic, TypeVar

from application.ports.telemetry.store import TelemetryStoreUnavailable

TRequest = TypeVar("TRequest")
TResult = TypeVar("TResult")


class _QueuedWrite(Generic[TRequest, TResult]):
    """One caller's part."""

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
    """`write` takes what several callers ask, in one transaction, and answers each. What fails together is tried one by
    one, unless the store is away: the rows of one caller are not another's fault."""

    def __init__(self, write: Callable[[Sequence[TRequest]], Sequence[TResult]]) -> None:
        self._write = write
        self._queue: list[_QueuedWrite[TRequest, TResult]] = []
        self._queue_lock = Lock()
        self._write_lock = Lock()

    def __call__(self, request: TRequest) -> TResult:
        """Once it is written. Raises what `write` raised of it."""
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
        except Exception as error:  # noqa: BLE001 - whatever it was, its caller hears of it
            if len(group) == 1:
                group[0].error = error
            else:
                for entry in group:
                    self._execute([entry])
        finally:
            for entry in group:
                entry.is_done = True
                if not entry.results and entry.error is None:
                    entry.error = TelemetryStoreUnavailable("the write was broken off")
