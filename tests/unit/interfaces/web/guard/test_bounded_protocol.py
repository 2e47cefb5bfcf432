"""The server on a real socket: requests that exceed a bound are refused, and all others are answered."""

import select
import socket
from collections.abc import Iterator
from contextlib import suppress

import msgspec
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from interfaces.web.guard import bounded_protocol
from interfaces.web.guard.bounded_protocol import (
    MOST_HEAD_BYTES,
    MOST_HEADERS,
    MOST_PIPELINED,
    BoundedHttpProtocol,
)
from interfaces.web.log_limiter import LogLimiter
from interfaces.web.problems import ProblemDocument
from tests.patience import ANSWER_S
from tests.unit.interfaces.workers.web.echo_server import GONE, MAY_END, PIECE, served, until_closed


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    with served() as found:
        yield found


BEGINNING = b"POST / HTTP/1.1\r\nHost: h\r\n"
REFUSED = BEGINNING.replace(b"/", b"/refused", 1) + b"Content-Length: 100000\r\n\r\n"
IN_CHUNKS = BEGINNING + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("begun", "endless"),
    [
        (BEGINNING + b"X-Long: ", PIECE),
        (BEGINNING + b"X", PIECE),
        (BEGINNING, b"X-Many: 1\r\n" * 1_000),
        (b"GET /", PIECE),
        (IN_CHUNKS + b"3\r\nabc\r\n0\r\nX-Trailer: ", PIECE),
        (IN_CHUNKS + b"3;extension=", PIECE),
    ],
    ids=["header", "name", "headers", "path", "trailer", "chunk extension"],
)
def test_the_connection_of_an_endless_request_is_closed(
    address: tuple[str, int], begun: bytes, endless: bytes
) -> None:
    _, taken = until_closed(address, begun, endless=endless)
    # Data in the socket buffers counts as taken.
    assert taken < 16_000_000 - len(endless)
    assert taken < 1_000 * len(endless)


def test_a_head_that_is_too_large_is_answered_with_400(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=ANSWER_S) as connection:
        connection.sendall(BEGINNING + b"X-Long: " + b"x" * (2 * MOST_HEAD_BYTES))
        for _ in range(1_000):  # byte by byte, so that no data is unread when the server closes
            connection.sendall(b"x")
            if select.select([connection], [], [], 0.05)[0]:
                break
        assert connection.recv(65_536).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "request_line", [b"GET /" + b"x" * 65_536 + b" HTTP/1.1\r\nHost: h\r\n\r\n", b"no HTTP\r\n\r\n"]
)
def test_a_request_refused_before_the_application_gets_a_problem_document(
    address: tuple[str, int], request_line: bytes
) -> None:
    answer, _ = until_closed(address, request_line)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    assert {line.partition(b": ")[0] for line in head.split(b"\r\n")} >= {
        *(b"date", b"x-content-type-options", b"content-security-policy", b"cache-control", b"x-trace-id")
    }
    document = msgspec.json.decode(body, type=ProblemDocument)
    assert (document.type, document.status) == ("/problems/malformed-request", 400)


def test_no_error_response_is_sent_during_another_response(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=ANSWER_S) as connection:
        connection.sendall(b"GET /late?interrupted HTTP/1.1\r\nHost: h\r\n\r\n")
        told = connection.recv(65_536)
        connection.sendall(b"no HTTP\r\n\r\n")
        while more := connection.recv(65_536):
            told += more
    assert told.count(b"HTTP/1.1 ") == 1
    assert GONE[b"interrupted"].wait(ANSWER_S)


@pytest.mark.parametrize("protocol", [b"foo", b"websocket", b"h2c"])
def test_a_body_after_an_upgrade_is_not_answered_as_a_request(
    address: tuple[str, int], protocol: bytes
) -> None:
    """A proxy would give the second answer to another client (W1 of the review)."""
    hidden = b"GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"
    upgrade = b"Connection: Upgrade\r\nUpgrade: %s\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(address, timeout=ANSWER_S) as connection:
        connection.sendall(BEGINNING + upgrade % (protocol, len(hidden)))
        answer = connection.recv(65_536)
        with suppress(OSError):
            connection.sendall(hidden)
            while more := connection.recv(65_536):
                answer += more
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"no upgrade of the connection is offered" in answer
    assert answer.count(b"HTTP/1.1 ") == 1


def test_a_long_body_in_one_byte_chunks_is_accepted(address: tuple[str, int]) -> None:
    ending = b"0\r\nX-Trailer: short\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    answer, _ = until_closed(address, IN_CHUNKS, b"1\r\nx\r\n" * 100_000, ending)
    assert answer.count(b"HTTP/1.1 200 ") == 2
    assert b"100000 bytes;" in answer
    assert answer.endswith(b"0 bytes;")


def test_pipelined_requests_are_answered_in_order_up_to_a_limit(
    address: tuple[str, int],
) -> None:
    one = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n%s\r\n%s"
    bodies = [b"x" * number for number in range(20)]
    requests = [one % (len(body), b"", body) for body in bodies[:-1]]
    answer, _ = until_closed(address, b"".join(requests) + one % (19, b"Connection: close\r\n", bodies[-1]))
    assert [part.rpartition(b"\n")[2] for part in answer.split(b" bytes;")[:-1]] == [
        b"%d" % number for number in range(20)
    ]
    many, _ = until_closed(address, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * (4 * MOST_PIPELINED))
    assert many.count(b"HTTP/1.1 200 ") <= MOST_PIPELINED + 1
    assert b"HTTP/1.1 400 " in many


def test_a_response_head_is_sent_before_its_body_is_available(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=ANSWER_S) as connection:
        connection.sendall(b"GET /late HTTP/1.1\r\nHost: h\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("length", [0, 10, 16_384, 1_000_000])
def test_a_response_head_and_body_arrive_complete_and_in_order(address: tuple[str, int], length: int) -> None:
    request = b"GET /long HTTP/1.1\r\nHost: h\r\nX-Long: %d\r\nConnection: close\r\n\r\n" % length
    answer, _ = until_closed(address, request)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: %d" % length in head
    assert body == b"HTTP/1.1 "[:length] + b"y" * (length - 9)


@pytest.mark.parametrize(
    ("bound", "begun", "little", "said"),
    [
        ("IDLE_S", b"", b"", b""),
        ("IDLE_S", b"", b"\r\n", b""),
        ("HEAD_WITHIN_S", b"G", b"", b"HTTP/1.1 408 "),
        ("HEAD_WITHIN_S", BEGINNING, b"X-Slow: 1\r\n", b"HTTP/1.1 408 "),
        ("BODY_WITHIN_S", BEGINNING + b"Content-Length: 100000\r\n\r\n", b"x", b""),
        ("BODY_WITHIN_S", IN_CHUNKS + b"1\r\nx\r\n0\r\n", b"X-Trailer: 1\r\n", b""),
        ("BODY_WITHIN_S", REFUSED, b"x", b"HTTP/1.1 401 "),
        ("IDLE_S", b"GET /long HTTP/1.1\r\nHost: h\r\nX-Long: 10\r\n\r\n", b"\r\n", b"HTTP/1.1 200 "),
    ],
    ids=[
        "nothing",
        "line ends",
        "a byte",
        "headers",
        "body",
        "trailers",
        "body behind an answer",
        "line ends behind an answer",
    ],
)
def test_a_slow_request_is_closed_at_its_time_limit_even_if_it_keeps_sending_data(
    address: tuple[str, int],
    monkeypatch: pytest.MonkeyPatch,
    *,
    bound: str,
    begun: bytes,
    little: bytes,
    said: bytes,
) -> None:
    for other in ("HEAD_WITHIN_S", "BODY_WITHIN_S", "IDLE_S"):
        monkeypatch.setattr(bounded_protocol, other, 0.3 if other == bound else 60.0)
    answer = b""
    with socket.create_connection(address, timeout=ANSWER_S) as connection:
        connection.sendall(begun)
        try:
            for _ in range(400):
                if select.select([connection], [], [], 0.05)[0]:
                    received = connection.recv(65_536)
                    answer += received
                    if not received:
                        break
                connection.sendall(little)
            else:
                pytest.fail("the connection was not closed")
        except ConnectionError:
            pass  # the server closed with unread data
    assert answer.startswith(said)
    assert bool(answer) == bool(said)


def test_a_connection_counts_as_idle_after_a_late_request_body(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The idle limit applies from then on, and the next head has its own limit."""
    for bound, within_s in (("HEAD_WITHIN_S", 0.3), ("BODY_WITHIN_S", 30.0), ("IDLE_S", 20.0)):
        monkeypatch.setattr(bounded_protocol, bound, within_s)
    with socket.create_connection(address, timeout=ANSWER_S) as connection:
        connection.sendall(REFUSED)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 401 ")
        connection.sendall(b"x" * 100_000)
        assert not select.select([connection], [], [], 1.0)[0]
        monkeypatch.setattr(bounded_protocol, "HEAD_WITHIN_S", 10.0)
        connection.sendall(b"GET / HT")
        assert not select.select([connection], [], [], 0.5)[0]
        connection.sendall(b"TP/1.1\r\nHost: h\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
    with socket.create_connection(address, timeout=ANSWER_S) as connection:
        connection.sendall(REFUSED)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 401 ")
        monkeypatch.setattr(bounded_protocol, "IDLE_S", 0.3)
        connection.sendall(b"x" * 100_000)
        assert connection.recv(65_536) == b""


def test_a_slow_response_does_not_close_the_connection(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for bound in ("HEAD_WITHIN_S", "BODY_WITHIN_S", "IDLE_S"):
        monkeypatch.setattr(bounded_protocol, bound, 0.1)
    with socket.create_connection(address, timeout=ANSWER_S) as connection:
        connection.sendall(b"GET /late?patient HTTP/1.1\r\nHost: h\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 OK\r\n")
        assert not select.select([connection], [], [], 0.5)[0]
        assert not GONE[b"patient"].is_set()
    assert GONE[b"patient"].wait(ANSWER_S)


def test_a_connection_is_not_closed_while_the_server_itself_pauses_reading(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_protocol, "HEAD_WITHIN_S", 0.3)
    one, last = (
        b"GET /%s HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    )
    with socket.create_connection(address, timeout=ANSWER_S) as connection:
        connection.sendall(one % b"held?pipelining" + one % b"" + one % b"" + last[:9])
        assert not select.select([connection], [], [], 1.0)[0]
        connection.sendall(last[9:])
        monkeypatch.setattr(bounded_protocol, "HEAD_WITHIN_S", 10.0)
        MAY_END[b"pipelining"].set()
        answer = b""
        while received := connection.recv(65_536):
            answer += received
    assert answer.count(b"HTTP/1.1 200 ") == 4


def test_a_disconnect_is_noticed_while_another_request_is_pipelined(address: tuple[str, int]) -> None:
    one = b"GET /late?%s HTTP/1.1\r\nHost: h\r\n\r\n"
    with socket.create_connection(address, timeout=ANSWER_S) as connection:
        connection.sendall(one % b"answered")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 OK\r\n")
        connection.sendall(one % b"waiting")
    assert GONE[b"answered"].wait(ANSWER_S)
    assert not GONE[b"waiting"].wait(0.2)  # the pipelined request is never answered


def test_trailers_do_not_become_headers(address: tuple[str, int]) -> None:
    request = (
        BEGINNING.replace(b"/", b"/headers", 1) + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    trailers = b"1\r\nx\r\n0\r\nAuthorization: Bearer forged\r\nX-Trailer: 1\r\n\r\n"
    answer, _ = until_closed(address, request, trailers)
    assert answer.endswith(b"\r\n3 bytes;")


@pytest.mark.parametrize(("headers", "status"), [(MOST_HEADERS, 200), (MOST_HEADERS + 1, 400)])
def test_a_head_with_too_many_headers_is_refused(address: tuple[str, int], headers: int, status: int) -> None:
    head = b"GET /headers HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" + b"A:\r\n" * (headers - 2)
    answer, _ = until_closed(address, head + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.endswith(b"%d bytes;" % headers) == (status == 200)


def test_refusals_are_counted_and_few_are_logged(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def counted() -> float:
        labels = {"problem": "malformed-request"}
        return REGISTRY.get_sample_value("gridproof_http_connections_refused_total", labels) or 0.0

    monkeypatch.setattr(BoundedHttpProtocol, "refusals", LogLimiter(most=2))
    before = counted()
    with capture_logs() as logs:
        for _ in range(5):
            answer, _ = until_closed(address, b"no HTTP\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 400 ")
    assert [line["problem"] for line in logs if line["event"] == "connection refused"] == [
        "malformed-request"
    ] * 2
    assert counted() - before == 5
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []
