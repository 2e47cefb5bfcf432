"""Listener for new entries in a log: LISTEN with a heartbeat, since a notification may be lost."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import psycopg
from psycopg import AsyncConnection, sql

from adapters.postgres.connection.session import open_async_session

RECONNECT_S = 0.25
LISTEN_WITHIN_S = 5.0
MIN_CONNECT_WAIT_S = 1.0
"""A shorter wait is extended to this while there is no connection."""


class LogListener:
    """`wait` returns at the next notification for the log's table, or after the heartbeat.

    It does not wait longer for a server that does not answer. The connection is opened in the background,
    with its own time-outs.
    """

    def __init__(self, database_url: str, channel: str) -> None:
        self._database_url = database_url
        self._channel = channel
        self._connecting: asyncio.Task[AsyncConnection[Any]] | None = None
        self._connection: AsyncConnection[Any] | None = None

    async def wait(self, heartbeat_s: float) -> None:
        until = time.monotonic() + heartbeat_s
        try:
            if self._connection is None or self._connection.closed:
                may_have_missed = self._connecting is not None
                self._connection = await self._wait_connected(max(heartbeat_s, MIN_CONNECT_WAIT_S))
                if self._connection is None or may_have_missed:
                    return
            left_s = max(until - time.monotonic(), 0.0)
            async for _ in self._connection.notifies(timeout=left_s, stop_after=1):
                pass
        except psycopg.OperationalError:
            await self._drop()
            await asyncio.sleep(min(RECONNECT_S, heartbeat_s))

    async def aclose(self) -> None:
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
            await asyncio.wait({connecting})
            if not connecting.cancelled() and connecting.exception() is None:
                self._connection = connecting.result()
        await self._drop()

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _wait_connected(self, within_s: float) -> AsyncConnection[Any] | None:
        """The connection, or None if it is not open yet. Raises OperationalError."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect_and_listen())
        done, _ = await asyncio.wait({self._connecting}, timeout=within_s)
        if not done:
            return None
        connecting, self._connecting = self._connecting, None
        return connecting.result()

    async def _connect_and_listen(self) -> AsyncConnection[Any]:
        connection = await open_async_session(self._database_url, "gridproof listen")
        listen = sql.SQL("LISTEN {}").format(sql.Identifier(self._channel))
        listening = asyncio.create_task(connection.execute(listen))
        try:
            done, _ = await asyncio.wait({listening}, timeout=LISTEN_WITHIN_S)
            if not done:
                raise psycopg.OperationalError(f"no answer to LISTEN in {LISTEN_WITHIN_S:g} s")
            listening.result()
        except BaseException:
            # Closed first: a cancelled statement makes psycopg send a cancel request and wait for its answer.
            await connection.close()
            listening.cancel()
            raise
        return connection
