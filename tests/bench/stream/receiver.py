"""A thousand sockets that note when each message came. A process of its own: the server has its core to itself.

Reads a plan from the first line of stdin, writes a line once everybody is connected, and at the next line what came.
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
    """What each sends first; a message is told by its `id:` line."""
    watchers: int


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """By id: when it came to each, on the clock that all processes of a machine share (s)."""

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
    print("connected", flush=True)  # noqa: T201 - what the parent waits for
    await asyncio.to_thread(sys.stdin.buffer.readline)
    sys.stdout.buffer.write(msgspec.json.encode(Received(moments=moments)))


if __name__ == "__main__":
    uvloop.run(_main())
