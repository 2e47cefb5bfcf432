"""BoundedHttpProtocol: uvicorn's HTTP protocol over httptools, with bounds on what one connection may take.

httptools collects a header line, and the trailers of a chunked body, for as long as the client sends them. uvicorn
queues all requests that arrive in one piece, however short they are, waits for the rest of a request without a limit,
and tells only the newest request of a connection that the client has disconnected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal, NamedTuple
from uuid import uuid4

import httptools
import msgspec
import structlog
from prometheus_client import Counter
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from interfaces.web.guard.connection_table import ConnectionTable
from interfaces.web.log_limiter import LogLimiter
from interfaces.web.middleware.response_headers import NO_STORE, SECURITY_HEADERS, TRACE
from interfaces.web.problems import MEDIA_TYPE, Problem, try_again

MOST_HEAD_BYTES = 64 * 1_024
"""Also for the bytes received in one piece before the first part of a body, or after its last."""
MOST_PIPELINED = 64
"""Requests that wait for the responses to earlier requests of the connection."""
MOST_HEADERS = 100
HEAD_WITHIN_S = 10.0
"""Wall seconds from the first byte of a request to the end of its head."""
BODY_WITHIN_S = 60.0
"""From there to the end of its body, while it is read. Single routes allow less."""
IDLE_S = 30.0
"""How long a connection may be open before its first request, and between two requests."""
IDLE_WHEN_CROWDED_S = 5.0
"""The same while more than half of the connections are taken."""
REFUSED_RETRY_AFTER_S = 5.0
ONCE = frozenset({b"host", b"authorization", b"x-signature", b"idempotency-key"})
"""Headers of which a proxy might read another one than we do, if there were several."""
REFUSED = Counter(
    "gridproof_http_connections_refused",
    "Connections ended with a problem before the API, by its type",
    ("problem",),
)
"""Of each process; the log names only the first ones of a minute."""
log = structlog.get_logger("web")


class AwaitedPart(NamedTuple):
    """The part that the client has still to send, and how many requests came before it."""

    part: Literal["first byte", "head", "body"]
    requests: int

    @property
    def within_s(self) -> float:
        return {"first byte": IDLE_S, "head": HEAD_WITHIN_S, "body": BODY_WITHIN_S}[self.part]

    @property
    def check_after_s(self) -> float:
        """Less than the limit where the limit may have become shorter since."""
        return min(self.within_s, IDLE_WHEN_CROWDED_S) if self.part == "first byte" else self.within_s


class ObservedFlowControl(FlowControl):
    """Calls `resumed` when reading from the client continues after a pause."""

    def __init__(self, transport: asyncio.Transport, resumed: Callable[[], None]) -> None:
        super().__init__(transport)
        self._resumed = resumed

    def resume_reading(self) -> None:
        if self.read_paused:
            super().resume_reading()
            self._resumed()


class BoundedHttpProtocol(HttpToolsProtocol):
    """Closes the connection of a request that exceeds a bound of time or size, with the reason where possible."""

    table = ConnectionTable()
    """Of the server; a subclass has that of its own."""
    refusals = LogLimiter()
    served_over_https = False
    """Whether a proxy in front of every client speaks TLS with it."""
    _unfinished_bytes = 0
    _part: Literal["head", "body"] | None = None
    """The part of a request that is being received; None between two requests."""
    _requests = 0
    _timed: AwaitedPart | None = None
    _timer: asyncio.TimerHandle | None = None
    _timed_since = 0.0
    _why: str | None = None
    """What is wrong with a request, if it is more than broken HTTP."""
    _answered: RequestResponseCycle | None = None
    """The request that is being answered, or was answered last."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if self.served_over_https:
            self.scheme = "https"
        self.flow = ObservedFlowControl(transport, self._reading_resumed)
        if self.table.admit(self, self.client[0] if self.client else "unknown"):
            self._await(AwaitedPart("first byte", 0))
            return
        detail = "every connection is in use; try again, and keep connections open for several requests"
        self._refuse(try_again("too-many-connections", detail, retry_after_s=REFUSED_RETRY_AFTER_S))
        self.transport.close()

    def close_idle(self) -> None:
        """Make room for a new connection. What the client has not read is lost: waiting for it would free nothing."""
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the handler of the current request, also when further requests wait behind it."""
        self._await(None)
        self.table.remove(self)
        self.pipeline.clear()
        if self._answered is not None and not self._answered.response_complete:
            self._answered.disconnected = True
            self._answered.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unfinished_bytes += len(data)
        super().data_received(data)
        if self._unfinished_bytes > MOST_HEAD_BYTES + len(data) and not self.transport.is_closing():
            self.send_400_response(
                f"address and headers of the request take more than {MOST_HEAD_BYTES} bytes"
            )
        if self._part is None and self._is_answering:
            self._await(None)
        else:  # uvicorn stops its own idle timer at any bytes, such as the end of a body after the response
            self._await(AwaitedPart(self._part or "first byte", self._requests))

    def on_message_begin(self) -> None:
        self._part = "head"
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._part == "body":
            return  # a trailer: the headers were checked before it came
        if len(self.headers) >= MOST_HEADERS:
            raise self._malformed(f"more than {MOST_HEADERS} headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._unfinished_bytes = 0
        self._part = "body"
        self._check_single_headers()
        if self.parser.should_upgrade():  # what follows would be read as a request of its own
            raise self._malformed("no upgrade of the connection is offered; leave out the header Upgrade")
        if len(self.pipeline) >= MOST_PIPELINED:
            raise self._malformed(f"more than {MOST_PIPELINED} requests wait on one connection")
        super().on_headers_complete()
        if len(self.pipeline) == 1:
            self.flow.resume_reading()  # otherwise a disconnect would not be noticed

    def on_body(self, body: bytes) -> None:
        self._unfinished_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unfinished_bytes = 0
        self._part = None
        self._requests += 1
        super().on_message_complete()

    def _check_single_headers(self) -> None:
        given = [name for name, _ in self.headers if name in ONCE]
        if b"host" not in given:
            raise self._malformed("the header Host is missing")
        repeated = {name.decode() for name in given if given.count(name) > 1}
        if repeated:
            raise self._malformed(f"given more than once: {', '.join(sorted(repeated))}")

    def _malformed(self, why: str) -> httptools.HttpParserError:
        """For the parser, which has uvicorn answer with 400."""
        self._why = why
        return httptools.HttpParserError(why)

    @property
    def _is_answering(self) -> bool:
        newest: RequestResponseCycle | None = self.cycle
        return newest is not None and not newest.response_complete

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        if not self.flow.write_paused:
            self.table.set_busy(self)
        super()._start_asgi_task(cycle, app)

    def pause_writing(self) -> None:
        """The client does not read: the connection counts as idle until it does."""
        super().pause_writing()
        self.table.set_idle(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._is_answering and not self.transport.is_closing():
            self.table.set_busy(self)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():  # what is unsent, the client may take any time to read
            self.table.set_idle(self)
        elif not self._is_answering:
            self.table.set_idle(self)
            if self._part is None:  # a limit of our own in place of uvicorn's, which knows no shorter one
                self._unset_keepalive_if_required()
                self._await(AwaitedPart("first byte", self._requests))

    def _await(self, awaited: AwaitedPart | None) -> None:
        """Start the timer of `awaited`, unless it runs already; None stops the timer."""
        if awaited == self._timed:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timed, self._timed_since = awaited, self.loop.time()
        self._timer = None if awaited is None else self.loop.call_later(awaited.check_after_s, self._time_out)

    def _reading_resumed(self) -> None:
        """Restart the timer of a head. That of a body continues: its reading is paused many times."""
        if self._part == "head" and (awaited := self._timed) is not None:
            self._await(None)
            self._await(awaited)

    def _time_out(self) -> None:
        awaited, self._timed, self._timer = self._timed, None, None
        if awaited is None or self.transport.is_closing():
            return
        left_s = awaited.within_s - (self.loop.time() - self._timed_since)
        if left_s > 0 and not (awaited.part == "first byte" and self.table.is_crowded):
            self._timed, self._timer = (
                awaited,
                self.loop.call_later(min(left_s, awaited.check_after_s), self._time_out),
            )
            return
        if self._part is not None and self.flow.read_paused:  # the delay is ours: reading is paused
            self._await(awaited)
            return
        if self._part == "head" and not self._is_answering:
            detail = f"address and headers of the request did not come within {HEAD_WITHIN_S:g} s"
            self._refuse(Problem("head-too-slow", detail))
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that never reaches the application with the same problem document (RFC 9457).

        Nothing is sent in the middle of another response: the client would take it for the rest of that response.
        """
        answered = self._answered
        if answered is None or not answered.response_started or answered.response_complete:
            self._refuse(Problem("malformed-request", self._why or msg))
        self.transport.close()

    def _refuse(self, problem: Problem) -> None:
        trace_id = uuid4().hex
        document = msgspec.json.encode(problem.document(trace_id))
        headers = [
            *self.server_state.default_headers,
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(document)),
            (b"connection", b"close"),
            (TRACE, trace_id.encode()),
            *((name.lower().encode(), value.encode()) for name, value in problem.headers.items()),
            *SECURITY_HEADERS,
            NO_STORE,
        ]
        head = b"".join(b"%s: %s\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[problem.status] + head + b"\r\n" + document)
        REFUSED.labels(problem.name).inc()
        if self.refusals.may_log(self.loop.time()):
            log.info("connection refused", problem=problem.name, why=problem.detail, trace_id=trace_id)
