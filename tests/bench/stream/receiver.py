"""A thousand sockets that record arrival times of messages, in a separate process so that the server has its own core.

Reads a plan from the first line of stdin, writes a line when all are connected, and the result after the next line.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from typing import cast

import msgspec
import uvloop

_ID = re.compile(rb"^id: (\d+)$", re.MULTILINE)
_LONGEST_LINE = 32
CONNECTING_AT_ONCE = 50


class ReceiverPlan(msgspec.Struct, frozen=True, kw_only=True):
    host: str
    port: int
    request: str
    """The request that each socket sends first. A message is identified by its `id:` line."""
    watchers: int


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """Message id -> arrival time at each client, in s of the machine's monotonic clock."""

    moments: dict[str, list[float]]


class _Watcher(asyncio.Protocol):
    def __init__(self, request: bytes, moments: dict[str, list[float]]) -> None:
        self.answered = asyncio.get_running_loop().create_future()
        self._request = request
        self._moments = moments
        self._newest = -1
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        cast("asyncio.WriteTransport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if not self.answered.done():
            self.answered.set_result(None)
        data = self._rest + data
        for found in _ID.finditer(data):
            number = int(found[1])
            if number > self._newest:
                self._newest = number
                self._moments.setdefault(str(number), []).append(now)
        self._rest = data[-_LONGEST_LINE:]


async def _main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=ReceiverPlan)
    loop, moments = asyncio.get_running_loop(), dict[str, list[float]]()
    connecting = asyncio.Semaphore(CONNECTING_AT_ONCE)
    request = plan.request.encode()

    async def connected() -> None:
        async with connecting:
            _, watcher = await loop.create_connection(
                lambda: _Watcher(request, moments), plan.host, plan.port
            )
            await watcher.answered

    await asyncio.gather(*(connected() for _ in range(plan.watchers)))
    print("connected", flush=True)  # noqa: T201 - the parent waits for this line
    await asyncio.to_thread(sys.stdin.buffer.readline)
    sys.stdout.buffer.write(msgspec.json.encode(Received(moments=moments)))


if __name__ == "__main__":
    uvloop.run(_main())
