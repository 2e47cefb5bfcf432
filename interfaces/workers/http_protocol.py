"""uvicorn's HTTP protocol over httptools, with an end to what one connection may take.

httptools gathers a header line, and the trailers behind a body in chunks, for as long as somebody sends it; uvicorn
keeps all requests that come in one piece, however short they are.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 64 * 1_024
"""And what is received in one piece: what comes behind the last piece of a body, or before the first."""
MOST_PIPELINED = 64
"""Requests that wait for the answers before theirs."""
MOST_COPIED = 16 * 1_024
_HEAD = b"HTTP/1.1 "


class HeadWithBody:
    """A transport that sends the head of an answer together with what follows it at once: one call of the system.

    Where nothing follows before the event loop's next turn, the head goes by itself.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head: bytes | None = None

    def write(self, data: bytes) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            if len(data) <= MOST_COPIED:
                self._transport.write(head + data)
            else:
                self._transport.writelines((head, data))
        elif data.startswith(_HEAD):
            self._head = data
            self._loop.call_soon(self._flush)
        else:
            self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            self._transport.write(head)


class BoundedHttpProtocol(HttpToolsProtocol):
    """Answers 400 and hangs up where the head, or what is neither head nor body, does not come to an end."""

    _unfinished_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.transport = cast("asyncio.Transport", HeadWithBody(transport, self.loop))

    def data_received(self, data: bytes) -> None:
        self._unfinished_bytes += len(data)
        super().data_received(data)
        if self._unfinished_bytes > MOST_HEAD_BYTES + len(data) and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def on_headers_complete(self) -> None:
        self._unfinished_bytes = 0
        if len(self.pipeline) >= MOST_PIPELINED:
            raise httptools.HttpParserError(
                "too many requests at once"
            )  # answered by 400, as what is no HTTP is
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unfinished_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unfinished_bytes = 0
        super().on_message_complete()
