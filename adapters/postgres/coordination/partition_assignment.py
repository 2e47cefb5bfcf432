"""Partition assignment: each process holds the locks of its share of the partitions.

While the server is unreachable a process keeps its partitions for `session_locks.GIVE_UP_S`: until then no other
process can get them, and work continues as soon as the server is back. It gives them up after that time, because the
server may be unreachable for this process only.

Every process also holds one shared lock, by which the others count it. PostgreSQL releases the locks of a
killed process within milliseconds; the others take them at their next request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from math import ceil

import psycopg
import structlog

from adapters.postgres.coordination.session_locks import KeySpace, LockSession

_log = structlog.get_logger(__name__)

LOCK_CLASS = 0x7E20
"""Of the partitions of the telemetry log."""
SESSION = "gridproof partitions"
"""Name of the aggregate worker's session, by which the operations report knows that it runs."""
_MEMBER = 1_000_000
"""The object on which every process holds a shared lock."""
DEFER_ROUNDS = 3
"""Number of rounds in which a free partition is left to processes that hold fewer. After that it is taken
anyway, since those processes may hang."""
KEEP_ROUNDS = 30
"""Number of rounds after that in which no partition is given back."""

_OTHERS = """
SELECT (SELECT count(*) FROM pg_locks p WHERE p.locktype = 'advisory' AND p.classid = m.classid
    AND p.database = m.database AND p.pid = m.pid AND p.mode = 'ExclusiveLock' AND p.granted)
FROM pg_locks m WHERE m.locktype = 'advisory' AND m.classid = %s AND m.objid = %s AND m.granted
    AND m.pid <> pg_backend_pid()
    AND m.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class PostgresPartitionAssignment:
    """Assigns `partitions` among all processes on the database of `session`."""

    def __init__(self, session: LockSession, partitions: Sequence[int]) -> None:
        self._space = KeySpace.of_class(LOCK_CLASS)
        self._session = session
        self._partitions = list(partitions)
        self._held: list[int] = []
        """In the order in which they were acquired."""
        self._assigned = frozenset[int]()
        """The assignment that was returned last."""
        self._deferred_rounds = 0
        self._keep_rounds = 0

    async def assigned(self) -> frozenset[int]:
        try:
            async with asyncio.timeout(self._session.patience_s if self._assigned else None):
                self._assigned = await self._balance_once_more()
        except (psycopg.OperationalError, TimeoutError) as error:
            _log.warning("partitions: PostgreSQL does not answer", error=str(error))
            if self._session.patience_s <= 0:
                self._assigned = frozenset()
        return self._assigned

    async def release(self, partition: int) -> None:
        if partition in self._held:
            self._held.remove(partition)
            await self._session.release(self._space, [partition])

    async def aclose(self) -> None:
        """Close the session of the locks."""
        await self._session.aclose()

    async def _balance_once_more(self) -> frozenset[int]:
        try:
            return await self._balance()
        except psycopg.OperationalError:  # the session was lost; the server may be back already
            return await self._balance()

    async def _balance(self) -> frozenset[int]:
        await self._session.acquire(self._space, [_MEMBER], shared=True)
        self._held = [partition for partition in self._held if self._session.holds(self._space, partition)]
        if not self._held and self._assigned:
            # After an outage: reacquire the partitions that this process still works on, and no others.
            self._held = await self._session.acquire(self._space, sorted(self._assigned))
            if self._held:
                return frozenset(self._held)
        counts = [int(count) for (count,) in await self._session.query(_OTHERS, (LOCK_CLASS, _MEMBER))]
        fair_share = ceil(len(self._partitions) / (len(counts) + 1))
        least_of_others = min(counts, default=fair_share)
        self._keep_rounds = max(self._keep_rounds - 1, 0)
        if sum(counts) + len(self._held) < len(self._partitions):
            await self._take_free(fair_share, least_of_others)
        else:
            self._deferred_rounds = 0
        keep_count = len(self._held)
        if not self._keep_rounds:
            keep_count = min(keep_count, fair_share)
            keep_count -= keep_count > least_of_others + 1
        return frozenset(self._held[:keep_count])

    async def _take_free(self, fair_share: int, least_of_others: int) -> None:
        """Take free partitions. A process that holds more than another one leaves them to that one for
        `DEFER_ROUNDS` rounds."""
        self._deferred_rounds += 1
        deferred_long_enough = self._deferred_rounds > DEFER_ROUNDS
        for partition in self._partitions:
            enough = len(self._held) >= fair_share or len(self._held) > least_of_others
            if enough and not deferred_long_enough:
                return
            if partition in self._held:
                continue
            taken = await self._session.acquire(self._space, [partition])
            self._held += taken
            if taken and enough:
                self._keep_rounds = KEEP_ROUNDS
