"""The floor of `bench stream`: one event loop that writes the same bytes to a thousand sockets.

The first connection triggers each message by a line; the others receive `id: N` and padding of a message's size.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import cast

import uvloop

from interfaces.workers.web import server as web

_FILLING = b"data: " + b"x" * 160


class _Fan(asyncio.Protocol):
    def __init__(self, everybody: set[asyncio.WriteTransport]) -> None:
        self._everybody = everybody
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"GET") and self._transport is not None:
            self._everybody.add(self._transport)
            self._transport.write(b": connected\n\n")
        elif not data.startswith(b"GET"):
            for line in data.splitlines():
                message = b"id: %s\n%s\n\n" % (line, _FILLING)
                for transport in self._everybody:
                    transport.write(message)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._everybody.discard(self._transport)


async def _main() -> None:
    loop, stop, everybody = asyncio.get_running_loop(), asyncio.Event(), set[asyncio.WriteTransport]()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    listener = web.listening("127.0.0.1", int(sys.argv[1]))
    server = await loop.create_server(lambda: _Fan(everybody), sock=listener)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    uvloop.run(_main())
