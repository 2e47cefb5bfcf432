"""The probes of a worker: alive, ready, and metrics; also while its event loop stands still."""

import asyncio
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Gauge

from interfaces.readiness import DependencyProblem, ReadinessProbe
from interfaces.workers.loops import probe_server
from interfaces.workers.loops.probe_server import ProbeServer, serve_also
from tests.patience import ANSWER_S


@pytest.fixture
def server() -> Iterator[ProbeServer]:
    made = ProbeServer()
    yield made
    made.close()


def free_bind() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def fetched(port: int | None, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=ANSWER_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()


async def up() -> None:
    return


async def down() -> None:
    raise DependencyProblem("the broker is away")


def test_a_process_that_starts_is_alive_and_not_ready(server: ProbeServer) -> None:
    port = server.serve(free_bind())
    assert fetched(port, "/health") == (200, '{"status":"alive"}')
    status, body = fetched(port, "/ready")
    assert (status, json.loads(body)["dependencies"][0]["name"]) == (503, "start")
    assert fetched(port, "/other")[0] == 404


@pytest.mark.parametrize(("needed", "expected"), [(True, (503, "not_ready")), (False, (200, "degraded"))])
def test_ready_names_each_dependency(server: ProbeServer, needed: bool, expected: tuple[int, str]) -> None:
    port = server.serve(free_bind())

    async def scenario() -> tuple[int, str]:
        probes = [
            ReadinessProbe(name="postgresql", needed=True, check=up),
            ReadinessProbe(name="mqtt", needed=needed, check=down),
        ]
        server.attach(asyncio.get_running_loop(), probes)
        return await asyncio.to_thread(fetched, port, "/ready")

    status, body = asyncio.run(scenario())
    document = json.loads(body)
    assert (status, document["status"]) == expected
    assert document["dependencies"] == [
        {"name": "postgresql", "needed": True, "up": True, "problem": None},
        {"name": "mqtt", "needed": needed, "up": False, "problem": "the broker is away"},
    ]


def test_an_event_loop_that_stands_still_is_not_alive(
    server: ProbeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe_server, "ANSWER_WITHIN_S", 0.2)
    port, goes_on = server.serve(free_bind()), threading.Event()
    found: list[tuple[int, str]] = []

    def ask() -> None:
        found.extend(fetched(port, path) for path in ("/health", "/ready", "/metrics"))
        goes_on.set()

    async def scenario() -> None:
        server.attach(asyncio.get_running_loop(), [ReadinessProbe(name="x", needed=True, check=up)])
        threading.Thread(target=ask).start()
        assert goes_on.wait(ANSWER_S)  # the event loop stands still meanwhile
        while asked_again := await asyncio.to_thread(fetched, port, "/health"):
            if asked_again[0] == 200:
                return
            time.sleep(0)  # noqa: ASYNC251 - only a hint

    asyncio.run(asyncio.wait_for(scenario(), ANSWER_S))
    assert [status for status, _ in found] == [503, 503, 200]
    assert "event loop" in found[1][1]


def test_metrics_of_other_registries_are_shown_too(
    server: ProbeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe_server, "_registries", list(probe_server._registries))
    registry = CollectorRegistry()
    Gauge("of_another_registry", "x", registry=registry).set(7)
    serve_also(registry)
    port = server.serve(free_bind())
    status, text = fetched(port, "/metrics")
    assert (status, "of_another_registry 7.0" in text) == (200, True)
    assert "gridproof_worker_alive_timestamp_seconds" in text or "python_info" in text


def test_the_next_free_port_is_taken(server: ProbeServer) -> None:
    bind = free_bind()
    first, second = server.serve(bind), server.serve(bind)
    assert first is not None
    assert second is not None
    assert second > first


def test_a_worker_that_is_started_again_gets_its_port_again() -> None:
    bind, found = free_bind(), []
    for _ in range(2):
        started = ProbeServer()
        found.append(started.serve(bind))
        assert fetched(found[-1], "/health")[0] == 200
        started.close()
    assert found[0] == found[1]


def test_a_caller_that_sends_nothing_holds_nobody_else(server: ProbeServer) -> None:
    port = server.serve(free_bind())
    with socket.create_connection(("127.0.0.1", int(port or 0))):
        assert fetched(port, "/health")[0] == 200
