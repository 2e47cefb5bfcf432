"""Reads of concurrent threads, combined into one round trip."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

from eventsourcing.persistence import InterfaceError, OperationalError

from adapters.postgres.batching.leader_follower import LeaderFollowerQueue, QueuedRequest

MAX_KEYS_PER_BATCH = 500

TKey = TypeVar("TKey", bound=Hashable)
TValue = TypeVar("TValue")


class ReadRequest(QueuedRequest, Generic[TKey, TValue]):
    """The keys that one caller requests."""

    __slots__ = ("keys", "values")

    def __init__(self, keys: Sequence[TKey]) -> None:
        super().__init__()
        self.keys = keys
        self.values: Mapping[TKey, TValue] | None = None

    @property
    def is_answered(self) -> bool:
        return self.values is not None or self.error is not None


class BatchedReads(Generic[TKey, TValue]):
    """Combines concurrent reads. Each value is read after it was requested. Values are shared between
    callers, so they must be immutable."""

    def __init__(self, fetch: Callable[[Sequence[TKey]], Mapping[TKey, TValue]]) -> None:
        """`fetch` returns the values that exist for distinct keys. It is called by one thread at a time."""
        self._fetch = fetch
        self._queue: LeaderFollowerQueue[ReadRequest[TKey, TValue]] = LeaderFollowerQueue(
            self._work, _next_batch
        )

    def get(self, keys: Sequence[TKey]) -> Mapping[TKey, TValue]:
        """At least the values that exist for `keys`. Raises what `fetch` raises for them."""
        request: ReadRequest[TKey, TValue] = ReadRequest(keys)
        self._queue.join(request)
        return request.values or {}

    @property
    def is_inherited(self) -> bool:
        """Was this object created in a parent process before a fork?"""
        return self._queue.is_inherited

    def close(self) -> None:
        """Refuse new requests, and return when the queued ones are answered."""
        self._queue.close()

    def _work(self, batch: list[ReadRequest[TKey, TValue]]) -> None:
        try:
            values = self._fetch_with_retry(
                list(dict.fromkeys(key for request in batch for key in request.keys))
            )
        except (OperationalError, InterfaceError) as error:  # concerns every caller of the batch
            for request in batch:
                request.error = type(error)(str(error))
        except Exception as error:  # noqa: BLE001 - raised in the caller whose key it is
            if len(batch) == 1:
                batch[0].error = error
                return
            for request in batch:
                self._work([request])
        else:
            for request in batch:
                request.values = values

    def _fetch_with_retry(self, keys: Sequence[TKey]) -> Mapping[TKey, TValue]:
        """Fetch, and retry once: the first attempt may meet a connection that the server has just closed."""
        try:
            return self._fetch(keys)
        except (OperationalError, InterfaceError):
            return self._fetch(keys)


def _next_batch(waiting: deque[ReadRequest[TKey, TValue]]) -> list[ReadRequest[TKey, TValue]]:
    batch = [waiting.popleft()]
    keys = len(batch[0].keys)
    while waiting:
        keys += len(waiting[0].keys)
        if keys > MAX_KEYS_PER_BATCH:
            break
        batch.append(waiting.popleft())
    return batch
