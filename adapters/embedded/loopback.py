"""Ports and short conversations on 127.0.0.1."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

HOST = "127.0.0.1"
_LOWEST = 12_000
_DRAWS = 100


def free_port(preferred: int | None = None) -> int:
    """A port nobody listens on right now: the preferred one where possible.

    Somebody may take it before our server does; the launcher then tries again with another. Drawn below the
    range that the kernel gives to outgoing connections: in there a client that reconnects to a server that is
    down can be given the server's own port, be connected to itself, and keep the server from coming back.
    """
    if preferred is not None and _is_free(preferred):
        return preferred
    for _ in range(_DRAWS):
        port = _LOWEST + secrets.randbelow(max(_ephemeral_start() - _LOWEST, 1_000))
        if _is_free(port):
            return port
    raise OSError("no free port on the loopback interface")


def _ephemeral_start() -> int:
    return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def ask(port: int, request: bytes, *, timeout_s: float = 2.0, largest: int = 100_000) -> bytes | None:
    """Send `request`, read until the other side closes; None where nobody listens or answers in time."""
    try:
        with socket.create_connection((HOST, port), timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(request)
            answer = b""
            while len(answer) < largest:
                piece = connection.recv(16_384)
                if not piece:
                    break
                answer += piece
            return answer
    except (ConnectionError, TimeoutError):
        return None


def listens(port: int, *, timeout_s: float = 2.0) -> bool:
    """Whether somebody accepts connections on the port."""
    try:
        socket.create_connection((HOST, port), timeout_s).close()
    except (ConnectionError, TimeoutError):
        return False
    return True
