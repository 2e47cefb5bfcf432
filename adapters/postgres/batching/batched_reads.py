"""Reads that share round trips: what the threads of a process ask at the same moment is asked together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

from eventsourcing.persistence import InterfaceError, OperationalError

from adapters.postgres.batching.leader_follower import LeaderFollowerQueue, Turn

MOST_KEYS_AT_ONCE = 500

TKey = TypeVar("TKey", bound=Hashable)
TValue = TypeVar("TValue")


class Read(Turn, Generic[TKey, TValue]):
    """What one caller asks."""

    __slots__ = ("found", "wanted")

    def __init__(self, wanted: Sequence[TKey]) -> None:
        super().__init__()
        self.wanted = wanted
        self.found: Mapping[TKey, TValue] | None = None

    @property
    def is_answered(self) -> bool:
        return self.found is not None or self.error is not None


class SharedReads(Generic[TKey, TValue]):
    """Each answer is read after it was asked for. Values are shared between callers: they must be immutable."""

    def __init__(self, fetch: Callable[[Sequence[TKey]], Mapping[TKey, TValue]]) -> None:
        """`fetch` gives what there is of keys that differ; it is called by one thread at a time."""
        self._fetch = fetch
        self._turns: LeaderFollowerQueue[Read[TKey, TValue]] = LeaderFollowerQueue(self._work, _take)

    def get(self, wanted: Sequence[TKey]) -> Mapping[TKey, TValue]:
        """At least what there is of `wanted`. Raises what `fetch` raises for them."""
        read: Read[TKey, TValue] = Read(wanted)
        self._turns.join(read)
        return read.found or {}

    @property
    def is_inherited(self) -> bool:
        """Was it made in a process that forked into this one?"""
        return self._turns.is_inherited

    def close(self) -> None:
        """What was asked is still answered, what comes is refused."""
        self._turns.close()

    def _work(self, batch: list[Read[TKey, TValue]]) -> None:
        try:
            found = self._fetched(list(dict.fromkeys(key for read in batch for key in read.wanted)))
        except (OperationalError, InterfaceError) as error:  # everybody's
            for read in batch:
                read.error = type(error)(str(error))
        except Exception as error:  # noqa: BLE001 - raised by the caller whose key it is
            if len(batch) == 1:
                batch[0].error = error
                return
            for read in batch:
                self._work([read])
        else:
            for read in batch:
                read.found = found

    def _fetched(self, keys: Sequence[TKey]) -> Mapping[TKey, TValue]:
        """A second try finds a fresh connection where the server closed this one just now."""
        try:
            return self._fetch(keys)
        except (OperationalError, InterfaceError):
            return self._fetch(keys)


def _take(waiting: deque[Read[TKey, TValue]]) -> list[Read[TKey, TValue]]:
    batch = [waiting.popleft()]
    keys = len(batch[0].wanted)
    while waiting:
        keys += len(waiting[0].wanted)
        if keys > MOST_KEYS_AT_ONCE:
            break
        batch.append(waiting.popleft())
    return batch
