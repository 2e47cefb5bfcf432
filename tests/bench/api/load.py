"""The load generator of the API benchmark: keep-alive connections over bare sockets, in a separate process.

Reads a LoadPlan from each line of stdin, writes a LoadReport to a line of stdout. A plan with a rate is an open loop:
request i is due at `i / rate` seconds, and time spent waiting for a connection counts. Without a rate it is a closed
loop: each connection sends the next request on each response.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter, deque
from typing import cast

import msgspec
import uvloop

from tests.bench.figures import percentile

ANSWERED_WITHIN_S = 10.0
"""Requests without an answer this long after the last one was sent count as unanswered."""
TICK_S = 0.001
_LENGTH = b"\r\ncontent-length: "
_TAG = b"\r\netag: "


class LoadPlan(msgspec.Struct, frozen=True, kw_only=True):
    ports: tuple[int, ...]
    """Ports on loopback; connections are spread over them."""
    tokens: tuple[str, ...]
    paths: tuple[str, ...]
    first: int
    """Request i uses token `i mod tokens`, and each round of the tokens uses the next path."""
    seconds: float
    connections: int
    rate_per_s: float | None = None
    """Requests per second; None: a closed loop."""
    sends_tags: bool = False
    """Send each request with the ETag of the path's last response (If-None-Match)."""


class LoadReport(msgspec.Struct, frozen=True, kw_only=True):
    answered: int
    """Responses with 200, or with 304 where tags are sent."""
    elapsed_s: float
    """The planned duration, or the time until the last answer if that came later; excludes waiting for lost answers."""
    statuses: dict[str, int]
    """The number by reason, including lost connections and missing answers."""
    p50_ms: float
    p99_ms: float
    """From the time a request was sent (closed loop) or due (open loop) to the last byte of its answer."""
    sent_late_p99_ms: float
    """How late the generator itself sent due requests although a connection was free; included in the latencies."""
    cpu_share: float
    """The generator's share of one processor; near 1 the generator is the bottleneck."""
    bytes_each: float


class _Run:
    def __init__(self, plan: LoadPlan) -> None:
        self.plan = plan
        self.number = plan.first
        self.statuses: Counter[str] = Counter()
        self.latencies: list[float] = []
        self.late: list[float] = []
        self.bytes = 0
        self.tags: dict[str, bytes] = {}
        self.free: deque[_Connection] = deque()
        self.due: deque[float] = deque()
        self.under_way = 0
        self.connected = plan.connections
        self.ends_at = float("inf")
        self.last_answer_at = 0.0
        self._tokens = [
            b" HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\n" % t.encode() for t in plan.tokens
        ]
        self._paths = [b"GET " + path.encode() for path in plan.paths]

    def next_request(self) -> tuple[bytes, str]:
        number, self.number = self.number, self.number + 1
        round_number, token = divmod(number, len(self._tokens))
        place = (round_number + token) % len(self._paths)
        path = self.plan.paths[place]
        tag = self.tags.get(path) if self.plan.sends_tags else None
        ending = b"\r\n" if tag is None else b"If-None-Match: %s\r\n\r\n" % tag
        return self._paths[place] + self._tokens[token] + ending, path

    def answered(self, connection: _Connection, status: str, began: float, now: float) -> None:
        self.under_way -= 1
        self.last_answer_at = now
        self.statuses[status] += 1
        self.latencies.append(now - began)
        if self.plan.rate_per_s is None:
            if now < self.ends_at:
                connection.ask(now)
        elif self.due:
            connection.ask(self.due.popleft())
        else:
            self.free.append(connection)

    def lost(self, connection: _Connection, *, is_asked: bool) -> None:
        """The connection was lost: its request is given up, and due requests use the others."""
        self.connected -= 1
        self.statuses["connection lost"] += 1
        if is_asked:
            self.under_way -= 1
        elif connection in self.free:
            self.free.remove(connection)

    @property
    def waits(self) -> bool:
        return self.under_way > 0 or (len(self.due) > 0 and self.connected > 0)


class _Connection(asyncio.Protocol):
    """A connection with one request at a time."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._transport: asyncio.WriteTransport | None = None
        self._received = b""
        self._wanted = -1
        self._is_asked = False
        self._began = 0.0
        self._path = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast("asyncio.WriteTransport", transport)

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    def ask(self, due: float) -> None:
        request, self._path = self._run.next_request()
        self._began = due
        self._is_asked = True
        self._run.under_way += 1
        if self._transport is not None:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        if self._wanted < 0:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            try:
                self._wanted = end + 4 + _content_length(self._received[: end + 2])
            except ValueError as error:
                self._run.statuses[str(error)] += 1
                raise
        if len(self._received) < self._wanted:
            return
        answer, self._received, self._wanted = self._received, b"", -1
        run, self._is_asked = self._run, False
        run.bytes += len(answer)
        if run.plan.sends_tags and (at := answer.find(_TAG)) > 0:
            run.tags[self._path] = answer[at + len(_TAG) : answer.index(b"\r\n", at + 2)]
        run.answered(self, answer[9:12].decode(), self._began, time.perf_counter())

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._run.lost(self, is_asked=self._is_asked)


def _content_length(head: bytes) -> int:
    at = head.find(_LENGTH)
    if at < 0:
        if head.startswith(b"HTTP/1.1 304"):
            return 0
        raise ValueError(f"a response without its length: {head[:200]!r}")
    return int(head[at + len(_LENGTH) : head.index(b"\r\n", at + 2)])


async def loaded(plan: LoadPlan) -> LoadReport:
    run, loop = _Run(plan), asyncio.get_running_loop()
    ports = [plan.ports[number % len(plan.ports)] for number in range(plan.connections)]
    connections = await asyncio.gather(
        *(loop.create_connection(lambda: _Connection(run), "127.0.0.1", port) for port in ports)
    )
    cpu, began = time.process_time(), time.perf_counter()
    run.ends_at = began + plan.seconds
    if plan.rate_per_s is None:
        for _, connection in connections:
            if connection.is_open:
                connection.ask(time.perf_counter())
        await asyncio.sleep(plan.seconds)
    else:
        run.free.extend(connection for _, connection in connections if connection.is_open)
        await _paced(run, began, plan.rate_per_s)
    await _until_answered(run)
    cpu_share = (time.process_time() - cpu) / (time.perf_counter() - began)
    statuses = dict(run.statuses)
    if unanswered := run.under_way + len(run.due):
        statuses["unanswered"] = unanswered
    for transport, _ in connections:
        transport.abort()
    latencies_ms = [1000 * taken for taken in run.latencies]
    return LoadReport(
        answered=statuses.get("200", 0) + (statuses.get("304", 0) if plan.sends_tags else 0),
        elapsed_s=max(run.ends_at, run.last_answer_at) - began,
        statuses=statuses,
        p50_ms=percentile(latencies_ms, 50),
        p99_ms=percentile(latencies_ms, 99),
        sent_late_p99_ms=percentile([1000 * late for late in run.late], 99),
        cpu_share=cpu_share,
        bytes_each=run.bytes / max(1, len(run.latencies)),
    )


async def _paced(run: _Run, began: float, rate_per_s: float) -> None:
    sent, last = 0, int(run.plan.seconds * rate_per_s)
    while sent < last:
        now = time.perf_counter()
        while sent < last and began + sent / rate_per_s <= now:
            due = began + sent / rate_per_s
            sent += 1
            if run.free:
                run.late.append(time.perf_counter() - due)
                run.free.popleft().ask(due)
            else:
                run.due.append(due)
        await asyncio.sleep(TICK_S)


async def _until_answered(run: _Run) -> None:
    until = time.perf_counter() + ANSWERED_WITHIN_S
    while run.waits and time.perf_counter() < until:  # noqa: ASYNC110 - polls on purpose
        await asyncio.sleep(TICK_S)


def main() -> None:
    for line in sys.stdin.buffer:
        report = uvloop.run(loaded(msgspec.json.decode(line, type=LoadPlan)))
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
