"""Free ports and short requests on 127.0.0.1."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

HOST = "127.0.0.1"
_LOWEST = 12_000
_DRAWS = 100


def free_port(preferred: int | None = None) -> int:
    """A port without a listener: the preferred one where possible.

    Another program may take it first; the launcher then chooses another. The port is below the kernel's range for
    outgoing connections. From that range, a client that reconnects to a stopped server could be given the server's own
    port, connect to itself, and keep the server from starting.
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


def ask(
    port: int,
    request: bytes,
    *,
    until: tuple[bytes, ...] = (),
    timeout_s: float = 2.0,
    largest: int = 100_000,
) -> bytes | None:
    """Send `request`, read until the other side closes or one of `until` has arrived. None where no program listens or
    responds in time."""
    try:
        with socket.create_connection((HOST, port), timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(request)
            answer = b""
            while len(answer) < largest and not any(end in answer for end in until):
                piece = connection.recv(16_384)
                if not piece:
                    break
                answer += piece
            return answer
    except (ConnectionError, TimeoutError):
        return None


def listens(port: int, *, timeout_s: float = 2.0) -> bool:
    """True if a program accepts connections on the port."""
    try:
        socket.create_connection((HOST, port), timeout_s).close()
    except (ConnectionError, TimeoutError):
        return False
    return True
