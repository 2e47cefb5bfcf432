"""H9: idle connections, however many, neither keep others out nor stay open for long."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from interfaces.web.authentication.client_address import client_network
from interfaces.web.guard import bounded_protocol
from interfaces.web.guard.connection_table import Connection, ConnectionTable
from tests.patience import ANSWER_S
from tests.unit.interfaces.workers.web.echo_server import served

MOST = 20
HELLO = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
ENDLESS = b"GET /late?busy HTTP/1.1\r\nHost: h\r\n\r\n"
PIECES = b"GET /pieces HTTP/1.1\r\nHost: h\r\n\r\n"
LONG_BYTES = 12_000_000
"""More than the buffers of both sockets."""
LONG = b"GET /long HTTP/1.1\r\nHost: h\r\nX-Long: %d\r\n%s\r\n"


class Open:
    """A connection of a table."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.is_closed = False

    def close_idle(self) -> None:
        self.is_closed = True


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    with served(connections=ConnectionTable(most=MOST, most_per_address=MOST)) as found:
        yield found


@contextmanager
def idle_connections(address: tuple[str, int], number: int) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection(address, timeout=ANSWER_S)) for _ in range(number)
        ]


def answer_to(address: tuple[str, int], request: bytes = HELLO) -> bytes:
    with socket.create_connection(address, timeout=ANSWER_S) as connection:
        connection.sendall(request)
        return connection.recv(65_536)


def open_sockets() -> int:
    """Of this process, which is client and server."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found += str(descriptor.readlink()).startswith("socket:")
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + ANSWER_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)


def is_closed(connection: socket.socket) -> bool:
    """Waits for as long as the time-out of the socket, if it has one."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
    except BlockingIOError:
        return False


def test_a_request_is_answered_however_many_connections_are_idle(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_protocol, "IDLE_WHEN_CROWDED_S", 60.0)  # none ends by itself
    with idle_connections(address, 3 * MOST) as idle:
        assert answer_to(address).startswith(b"HTTP/1.1 200 ")
        for connection in idle:
            connection.settimeout(0)
        assert is_closed(idle[0])  # the one that was idle longest
        assert not is_closed(idle[-1])


@pytest.mark.parametrize(
    "request_bytes",
    [
        PIECES,
        LONG % (LONG_BYTES, b""),
        LONG % (LONG_BYTES, b"Connection: close\r\n"),
        LONG % (100, b"") + PIECES,
    ],
    ids=["being answered", "answered", "answered and closing", "the second of two"],
)
def test_clients_that_do_not_read_keep_nobody_out_and_no_descriptors(request_bytes: bytes) -> None:
    most = 5
    table = ConnectionTable(most=most, most_per_address=most)
    with served(connections=table) as address, ExitStack() as stack:
        before = open_sockets()
        for _ in range(2):
            for connection in stack.enter_context(idle_connections(address, most)):
                connection.sendall(request_bytes)
                assert connection.recv(12) == b"HTTP/1.1 200"
            wait_until(lambda: len(table._idle) == most)  # as much as fits into their buffers is sent
        assert answer_to(address).startswith(b"HTTP/1.1 200 ")
        assert open_sockets() - before <= 2 * most + most


def test_a_client_that_reads_again_counts_as_busy_again() -> None:
    class Counted(ConnectionTable):
        busy = 0

        def set_busy(self, connection: Connection) -> None:
            self.busy += 1
            super().set_busy(connection)

    table = Counted(most=1, most_per_address=1)
    with served(connections=table) as address, socket.create_connection(address, timeout=ANSWER_S) as slow:
        slow.sendall(PIECES)
        assert slow.recv(12) == b"HTTP/1.1 200"
        wait_until(lambda: len(table._idle) == 1)  # nothing more fits into the buffers
        before = table.busy
        while table.busy == before:
            assert slow.recv(1_000_000)


def test_a_refusal_while_every_connection_is_answered_says_when_to_try_again(
    address: tuple[str, int],
) -> None:
    with idle_connections(address, MOST) as busy:
        for connection in busy:
            connection.sendall(ENDLESS)
            assert connection.recv(12) == b"HTTP/1.1 200"
        with socket.create_connection(address, timeout=ANSWER_S) as refused:
            answer = b"".join(iter(lambda: refused.recv(65_536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 5" in head
    assert b"/problems/too-many-connections" in body


def test_an_idle_connection_ends_sooner_while_more_than_half_are_taken(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_protocol, "IDLE_WHEN_CROWDED_S", 0.3)
    with idle_connections(address, MOST // 2 + 1) as idle:
        assert is_closed(idle[0])  # within the time-out of the socket, less than IDLE_S
    assert bounded_protocol.IDLE_S > 20


def test_one_address_closes_its_own_connections_and_those_of_nobody_else() -> None:
    table = ConnectionTable(most=100, most_per_address=3)
    other = Open("other")
    assert table.admit(other, "192.0.2.1")
    own = [Open(str(number)) for number in range(4)]
    assert all(table.admit(connection, f"2001:db8::{number}") for number, connection in enumerate(own))
    assert [connection.name for connection in (*own, other) if connection.is_closed] == ["0"]
    for connection in own[1:]:
        table.set_busy(connection)
    assert not table.admit(Open(), "2001:db8::ffff")  # the same /64, and all are being answered
    assert table.admit(Open(), "2001:db8:0:1::1")
    assert not other.is_closed


def test_a_trusted_proxy_has_no_share_of_one_client() -> None:
    table = ConnectionTable(most=10, most_per_address=1, proxies={"192.0.2.1"})
    proxied = [Open() for _ in range(10)]
    assert all(table.admit(connection, "192.0.2.1") for connection in proxied)
    assert not any(connection.is_closed for connection in proxied)


def test_a_table_forgets_connections_that_ended() -> None:
    table = ConnectionTable(most=2, most_per_address=2)
    for number in range(1_000):
        connection = Open()
        assert table.admit(connection, f"192.0.2.{number % 250}")
        table.set_busy(connection)
        table.set_idle(connection)
        table.remove(connection)
    assert len(table) == 0
    assert not table._shares


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
    ],
)
def test_a_client_is_counted_by_its_address_or_its_64(host: str, network: str) -> None:
    assert client_network(host) == network
