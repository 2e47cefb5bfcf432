"""A TCP proxy in front of PostgreSQL that breaks the connection at a commit, on one side or the other."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Literal

BreakAt = Literal["before", "after", "late"]
_COMMIT = b"\0commit\0"
"""Name of the prepared COMMIT in the message that executes it."""


class BreakingLink:
    """Breaks once, at the next commit after `break_at` was set.

    "before": the request is dropped. "after": the request is processed, and the answer is dropped. "late": the
    client's side breaks first, and the request reaches PostgreSQL when `let_through` is called.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._held: tuple[socket.socket, bytes] | None = None
        self.break_at: BreakAt | None = None
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def let_through(self) -> None:
        """Forward the request that was held back. A session that was terminated meanwhile receives nothing."""
        assert self._held is not None
        server, request = self._held
        with contextlib.suppress(OSError):
            server.sendall(request)
            while server.recv(1 << 16):
                pass  # until PostgreSQL has processed it
        server.close()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(self._target)
                except OSError:  # PostgreSQL is down: the proxy closes too
                    client.close()
                    continue
                is_deaf = threading.Event()
                for work in (self._requests, self._answers):
                    threading.Thread(target=work, args=(client, server, is_deaf), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket, is_deaf: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while request := client.recv(1 << 20):
                break_at = self.break_at if _COMMIT in request else None
                if break_at is not None:
                    self.break_at = None
                if break_at == "late":
                    self._held = (server, request)
                    is_deaf.set()
                    _end(client)
                    return
                if break_at == "before":
                    break
                if break_at == "after":
                    is_deaf.set()
                server.sendall(request)
        _end(server)

    def _answers(self, client: socket.socket, server: socket.socket, is_deaf: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while answer := server.recv(1 << 20):
                if is_deaf.is_set():
                    break
                client.sendall(answer)
        _end(client)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@contextlib.contextmanager
def breaking_link(host: str, port: int) -> Iterator[BreakingLink]:
    link = BreakingLink(host, port)
    try:
        yield link
    finally:
        link.close()
