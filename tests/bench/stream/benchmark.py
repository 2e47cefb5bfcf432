"""Benchmark stream: wall time from the commit of a domain event to its arrival at a thousand clients.

Everything in between runs as in production: the event store's commit, the projections, their notification, the live
feed of `gridproof serve`, and one socket per client. The floor is one event loop that writes the same bytes to as many
sockets on a trigger.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import msgspec

from tests.bench.environment import BenchEnvironment
from tests.bench.figures import Figure, figure, percentile
from tests.bench.stream.receiver import Received, ReceiverPlan
from tests.bench.stream.setup import StreamSetup, open_stream_setup, stream_floor
from tests.patience import END_S

WATCHERS, COMMITS, PER_S = 1_000, 150, 10.0
SETTLE_S = 1.0
"""Wait after the last message, for late arrivals."""


def stream(env: BenchEnvironment) -> Iterator[Figure]:
    """The 50th and 99th percentile over all messages and clients."""
    watchers, commits = env.sized(WATCHERS, least=5), env.sized(COMMITS, least=5)
    env.report(f"stream: {commits} commits, {PER_S:g} a second, {watchers} screens")
    with stream_floor() as (url, floor_cpu_s), _receiving(url, "", watchers) as received:
        floor_cpu_before_s = floor_cpu_s()
        with socket.create_connection(_address(url)) as trigger:
            trigger.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            begun = _paced(commits, lambda number: _triggered(trigger, number))
        floor_us = 1e6 * (floor_cpu_s() - floor_cpu_before_s) / (commits * watchers)
        floor = _lags_ms(begun, received(), watchers)
    with (
        env.database() as database,
        open_stream_setup(database) as setup,
        _projecting(setup),
        _receiving(setup.url, setup.token, watchers) as received,
    ):
        cpu_before_s = setup.cpu_s()
        begun = _paced(commits, setup.commit)
        cpu_s = setup.cpu_s() - cpu_before_s
        ours = _lags_ms(begun, received(), watchers)
    details: dict[str, float | str] = {
        "screens": watchers,
        "commits": commits,
        "messages": len(ours),
        "p50_ms": round(percentile(ours, 50), 2),
        "p95_ms": round(percentile(ours, 95), 2),
        "p99_ms": round(percentile(ours, 99), 2),
        "max_ms": round(max(ours), 2),
        "floor_p99_ms": round(percentile(floor, 99), 2),
        "server_cpu_us_a_message": round(1e6 * cpu_s / len(ours), 1),
        "floor_cpu_us_a_message": round(floor_us, 1),
        "floor": "one event loop that writes the same bytes to as many sockets",
    }
    for percent in (99, 50):
        yield figure(
            f"stream, commit to screen, p{percent}",
            unit="ms",
            ours=percentile(ours, percent),
            floor=percentile(floor, percent),
            lower_is_better=True,
            details=details,
        )


def _paced(count: int, commit: Callable[[int], tuple[int, float]]) -> dict[str, float]:
    """Commit at a fixed pace; returns the commit time by id. `commit` returns both."""
    begun: dict[str, float] = {}
    due = time.perf_counter()
    for number in range(1, count + 1):
        due += 1 / PER_S
        time.sleep(max(due - time.perf_counter(), 0))
        position, at = commit(number)
        begun[str(position)] = at
    time.sleep(SETTLE_S)
    return begun


def _triggered(trigger: socket.socket, number: int) -> tuple[int, float]:
    at = time.perf_counter()
    trigger.sendall(b"%d\n" % number)
    return number, at


def _lags_ms(begun: dict[str, float], received: Received, watchers: int) -> list[float]:
    """The lag of every message at every client. Raises RuntimeError if one is missing."""
    found = []
    for number, at in begun.items():
        moments = received.moments.get(number, [])
        if len(moments) != watchers:
            raise RuntimeError(f"message {number} came to {len(moments)} of {watchers} screens")
        found += [max((moment - at) * 1000, 0.0) for moment in moments]
    return found


@contextmanager
def _receiving(url: str, token: str, watchers: int) -> Iterator[Callable[[], Received]]:
    host, port = _address(url)
    request = f"GET /api/stream HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n\r\n"
    plan = ReceiverPlan(host=host, port=port, request=request, watchers=watchers)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.stream.receiver"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdin is not None and process.stdout is not None  # noqa: PT018 - both are pipes
        process.stdin.write(msgspec.json.encode(plan) + b"\n")
        process.stdin.flush()
        if process.stdout.readline() != b"connected\n":
            raise RuntimeError("the screens could not connect; see above")
        time.sleep(SETTLE_S)
        yield lambda: msgspec.json.decode(process.communicate(b"\n", timeout=END_S)[0], type=Received)
    finally:
        process.kill()
        process.wait()


@contextmanager
def _projecting(setup: StreamSetup) -> Iterator[None]:
    """Run the projections that the stream depends on, as `worker project` does."""
    stop = threading.Event()
    threads = [threading.Thread(target=follower.run, args=(stop,)) for follower in setup.followers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return str(parts.hostname), int(parts.port or 0)
