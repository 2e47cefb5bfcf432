"""uvicorn's HTTP protocol over httptools, with an end to what one connection may take.

httptools gathers a header line, and the trailers behind a body in chunks, for as long as somebody sends it; uvicorn
keeps all requests that come in one piece, however short they are.
"""

from __future__ import annotations

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 64 * 1_024
"""And what is received in one piece: what comes behind the last piece of a body, or before the first."""
MOST_PIPELINED = 64
"""Requests that wait for the answers before theirs."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """Answers 400 and hangs up where the head, or what is neither head nor body, does not come to an end."""

    _unfinished_bytes = 0

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
