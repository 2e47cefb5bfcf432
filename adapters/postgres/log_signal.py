"""Waiting for news in a log: LISTEN, with a heartbeat, since a notification may be lost."""

from __future__ import annotations

import asyncio

import psycopg
from psycopg import AsyncConnection, sql

RECONNECT_S = 0.25


class LogSignal:
    """`wait` returns at the next notification of the log's table, or after the heartbeat."""

    def __init__(self, database_url: str, channel: str) -> None:
        self._database_url = database_url
        self._channel = channel
        self._connection: AsyncConnection[tuple[object, ...]] | None = None

    async def wait(self, heartbeat_s: float) -> None:
        try:
            connection = await self._listening()
            async for _ in connection.notifies(timeout=heartbeat_s, stop_after=1):
                pass
        except psycopg.OperationalError:
            self._connection = None
            await asyncio.sleep(min(RECONNECT_S, heartbeat_s))

    async def aclose(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def _listening(self) -> AsyncConnection[tuple[object, ...]]:
        if self._connection is None or self._connection.closed:
            self._connection = await AsyncConnection.connect(
                self._database_url, autocommit=True, connect_timeout=5
            )
            await self._connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
        return self._connection
