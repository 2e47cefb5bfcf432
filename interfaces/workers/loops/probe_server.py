"""ProbeServer: `/health`, `/ready` and `/metrics` of a worker process, for orchestrators and Prometheus.

It answers from threads of its own, so that it can tell that the event loop stands still. It knows no callers: bind it
where only those can reach it.
"""

from __future__ import annotations

import asyncio
import socketserver
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import TimeoutError as NoAnswer
from http import HTTPStatus
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import msgspec
import structlog
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from interfaces.readiness import DependencyState, Readiness, ReadinessProbe, readiness_of, states_of

ANSWER_WITHIN_S = 5.0
"""For the event loop; and for a caller to send its request."""
PORTS = 20
"""Tried from that of the setting on: several processes of one host share it."""
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STARTING = Readiness(
    status="not_ready",
    dependencies=(DependencyState(name="start", needed=True, up=False, problem="not finished yet"),),
)
STILL = DependencyState(name="event loop", needed=True, up=False, problem="no answer in time")
StartResponse = Callable[[str, list[tuple[str, str]]], object]
log = structlog.get_logger(__name__)

_registries: list[CollectorRegistry] = [REGISTRY]


def serve_also(registry: CollectorRegistry) -> None:
    """Have `/metrics` of this process show `registry` too."""
    _registries.append(registry)


class ProbeServer:
    """Until `attach` is called the process counts as alive and not ready."""

    def __init__(self) -> None:
        self._servers: list[_Server] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._probes: tuple[ReadinessProbe, ...] = ()

    def serve(self, bind: str) -> int | None:
        """Listen on `bind`, or on the next free one of the ports after it; returns the port, None if all are taken."""
        host, _, port = bind.rpartition(":")
        for number in range(int(port), int(port) + PORTS):
            try:
                server = _Server((host.strip("[]"), number), _Handler)
            except OSError:
                continue
            server.set_app(self._answer)
            self._servers.append(server)
            threading.Thread(target=server.serve_forever, args=(0.1,), name="probes", daemon=True).start()
            return int(server.server_address[1])
        log.warning("no port is free to serve probes and metrics on", bind=bind)
        return None

    def attach(self, loop: asyncio.AbstractEventLoop, probes: Iterable[ReadinessProbe]) -> None:
        """From now on the event loop is asked."""
        self._probes = tuple(probes)
        self._loop = loop

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self._servers.clear()

    def _answer(self, environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        routes = {"/health": self._health, "/ready": self._ready, "/metrics": self._metrics}
        route = routes.get(environ["PATH_INFO"])
        if route is None or environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            status, kind, body = HTTPStatus.NOT_FOUND, "text/plain", b"/health, /ready, /metrics\n"
        else:
            status, kind, body = route()
        headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
        start_response(f"{status.value} {status.phrase}", headers)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    def _health(self) -> tuple[HTTPStatus, str, bytes]:
        """Alive, unless the event loop does not turn."""
        is_alive = self._loop is None or self._states(()) is not None
        status = HTTPStatus.OK if is_alive else HTTPStatus.SERVICE_UNAVAILABLE
        return status, "application/json", b'{"status":"%s"}' % (b"alive" if is_alive else b"stuck")

    def _ready(self) -> tuple[HTTPStatus, str, bytes]:
        readiness = STARTING
        if self._loop is not None:
            states = self._states(self._probes)
            readiness = readiness_of([STILL] if states is None else states)
        is_ready = readiness.status != "not_ready"
        status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
        return status, "application/json", msgspec.json.encode(readiness)

    def _metrics(self) -> tuple[HTTPStatus, str, bytes]:
        return HTTPStatus.OK, METRICS_TYPE, b"".join(map(generate_latest, _registries))

    def _states(self, probes: tuple[ReadinessProbe, ...]) -> tuple[DependencyState, ...] | None:
        """What the probes find on the event loop; None if it does not answer."""
        if self._loop is None or self._loop.is_closed():
            return None
        asking = asyncio.run_coroutine_threadsafe(states_of(probes), self._loop)
        try:
            return asking.result(ANSWER_WITHIN_S)
        except (NoAnswer, asyncio.CancelledError):
            asking.cancel()
            return None


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    """A worker that is started again gets its port, on which answered connections linger for a minute. Two that listen
    never share one."""


class _Handler(WSGIRequestHandler):
    timeout = ANSWER_WITHIN_S

    def log_message(self, *_: object) -> None:
        return
