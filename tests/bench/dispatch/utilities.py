"""Utilities that callbacks are sent to: one answers, one accepts the connection and never answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOOPBACK = "127.0.0.1"
WAITING = 1_024
"""Connections that the silent utility has accepted. A callback that was given up leaves its connection there."""


class _Receipt(BaseHTTPRequestHandler):
    """Accepts each callback."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
        """Nothing: stdout and stderr are for figures."""


@contextmanager
def answering_utility() -> Iterator[str]:
    """Yields the address of a utility that answers at once, from threads of this process."""
    with ThreadingHTTPServer((LOOPBACK, 0), _Receipt) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{server.server_address[1]}/callbacks"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def silent_utility() -> Iterator[str]:
    """Yields the address of a utility for which the kernel accepts connections, and nobody ever answers."""
    with socket.create_server((LOOPBACK, 0), backlog=WAITING) as listening:
        yield f"http://{LOOPBACK}:{listening.getsockname()[1]}/callbacks"
