"""Partition assignment by PostgreSQL session advisory locks, all held by one connection.

While the server is unreachable a process keeps its partitions for `HOLD_WHILE_AWAY_S`: no other process can
get them either, and work continues as soon as the server is back. It gives them up after that time, because
the server may be unreachable for this process only.

Every process also holds one shared lock, by which the others count it. PostgreSQL releases the locks of a
killed process within milliseconds; the others take them at their next request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from math import ceil
from typing import Any

import psycopg
import structlog

_log = structlog.get_logger(__name__)

LOCK_CLASS = 0x7E20
_MEMBER = 1_000_000
"""The object on which every process holds a shared lock."""
ANSWER_WITHIN_S = 5.0
HOLD_WHILE_AWAY_S = 10.0
DEFER_ROUNDS = 3
"""Number of rounds in which a free partition is left to processes that hold fewer. After that it is taken
anyway, since those processes may hang."""
KEEP_ROUNDS = 60
"""Number of rounds after that in which no partition is given back."""

_HOLDERS = """
SELECT m.pid, (SELECT count(*) FROM pg_locks p WHERE p.locktype = 'advisory' AND p.classid = m.classid
    AND p.database = m.database AND p.pid = m.pid AND p.mode = 'ExclusiveLock' AND p.granted)
FROM pg_locks m WHERE m.locktype = 'advisory' AND m.classid = %s AND m.objid = %s AND m.granted
    AND m.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

Connection = psycopg.AsyncConnection[Any]


class PostgresPartitionAssignment:
    """Assigns `partitions` among all processes on the database of `dsn`."""

    def __init__(self, dsn: str, partitions: Sequence[int]) -> None:
        self._dsn = dsn
        self._partitions = list(partitions)
        self._connection: Connection | None = None
        self._held: list[int] = []
        """In the order in which they were acquired."""
        self._assigned = frozenset[int]()
        """The assignment that was returned last."""
        self._away_since: float | None = None
        self._deferred_rounds = 0
        self._keep_rounds = 0
        self._one_at_a_time = asyncio.Lock()

    async def assigned(self) -> frozenset[int]:
        async with self._one_at_a_time:
            assigned = await self._try_balance()
            if assigned is None and self._away_since is None:
                # The server may be back already: try once more.
                assigned = await self._try_balance()
            now_s = asyncio.get_running_loop().time()
            if assigned is None:
                self._away_since = now_s if self._away_since is None else self._away_since
                assigned = self._assigned if now_s - self._away_since < HOLD_WHILE_AWAY_S else frozenset()
            else:
                self._away_since = None
            self._assigned = assigned
            return assigned

    async def _try_balance(self) -> frozenset[int] | None:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await self._balance()
        except (psycopg.OperationalError, TimeoutError) as error:
            _log.warning("partitions: PostgreSQL does not answer", error=str(error))
            await self._disconnect()
            return None

    async def release(self, partition: int) -> None:
        async with self._one_at_a_time:
            if partition not in self._held:
                return
            self._held.remove(partition)
            try:
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    await self._query("SELECT pg_advisory_unlock(%s, %s)", LOCK_CLASS, partition)
            except (psycopg.OperationalError, TimeoutError):
                await self._disconnect()

    async def aclose(self) -> None:
        async with self._one_at_a_time:
            await self._disconnect()

    async def _balance(self) -> frozenset[int]:
        connection = await self._connected()
        if not self._held and self._assigned:
            # After an outage: reacquire the partitions that this process still works on, and no others.
            for partition in sorted(self._assigned):
                await self._take(partition)
            if self._held:
                return frozenset(self._held)
        cursor = await connection.execute(_HOLDERS, (LOCK_CLASS, _MEMBER))
        counts = {int(pid): int(count) for pid, count in await cursor.fetchall()}
        counts.pop(connection.info.backend_pid, None)
        fair_share = ceil(len(self._partitions) / (len(counts) + 1))
        least_of_others = min(counts.values(), default=fair_share)
        self._keep_rounds = max(self._keep_rounds - 1, 0)
        if sum(counts.values()) + len(self._held) < len(self._partitions):
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
            if await self._take(partition) and enough:
                self._keep_rounds = KEEP_ROUNDS

    async def _take(self, partition: int) -> bool:
        is_taken = bool(await self._query("SELECT pg_try_advisory_lock(%s, %s)", LOCK_CLASS, partition))
        if is_taken:
            self._held.append(partition)
        return is_taken

    async def _connected(self) -> Connection:
        if self._connection is not None and self._connection.closed:
            await self._disconnect()
        if self._connection is None:
            self._connection = await psycopg.AsyncConnection.connect(
                self._dsn, autocommit=True, connect_timeout=5, application_name="gridproof partitions"
            )
            await self._query("SELECT pg_advisory_lock_shared(%s, %s)", LOCK_CLASS, _MEMBER)
        return self._connection

    async def _query(self, sql: str, *numbers: int) -> object:
        if self._connection is None:
            raise psycopg.OperationalError("the session that held the partitions was lost")
        row = await (await self._connection.execute(sql.encode(), numbers)).fetchone()
        return row[0] if row else None

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._held.clear()
        if connection is not None:
            with suppress(psycopg.OperationalError):
                await connection.close()
