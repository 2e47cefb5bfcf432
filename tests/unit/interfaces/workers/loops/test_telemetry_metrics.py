"""The telemetry metrics at /metrics, in the process that sets them."""

import asyncio
import urllib.request
from datetime import timedelta
from math import isnan

import pytest
from prometheus_client import REGISTRY

from adapters.embedded.loopback import free_port
from application.telemetry.store_health import LEAST, TelemetryHealth
from interfaces.bootstrap.health.process import serving_probes
from interfaces.settings.settings import read_settings
from interfaces.workers.loops.telemetry_metrics import show_health
from interfaces.workers.watch import telemetry_lag_monitor
from tests.fakes.clock import FakeClock
from tests.fakes.raw_archive.telemetry_log import FakeRawLog
from tests.patience import ANSWER_S
from tests.unit.interfaces.web.edge import NOW, Edge


def served(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"gridproof_telemetry_{name}", labels)


def test_write_and_query_metrics_are_computed_when_they_are_read() -> None:
    health = TelemetryHealth()
    show_health(health, "some worker")
    for name in ("write_error_pct", "query_p99_seconds"):
        value = served(name, process="some worker")
        assert value is not None
        assert isnan(value)
    for n in range(LEAST):
        health.observe_write(well=n > 0)
        health.observe_query(0.25)
    assert served("write_error_pct", process="some worker") == 100.0 / LEAST
    assert served("query_p99_seconds", process="some worker") == 0.25


def test_the_lag_is_that_of_the_log_and_absent_while_the_log_is_unreachable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(telemetry_lag_monitor, "CHECK_EVERY_S", 0.01)
    log, clock = FakeRawLog(), FakeClock(NOW)
    log.append(3, b"", at=NOW - timedelta(seconds=12.5))

    async def until(*lags: float | None) -> None:
        async with asyncio.timeout(ANSWER_S):
            while tuple(served("lag_seconds", partition=p) for p in ("3", "4")) != lags:  # noqa: ASYNC110 - a metric has no event
                await asyncio.sleep(0.01)

    async def scenario() -> None:
        stop = asyncio.Event()
        showing = asyncio.create_task(telemetry_lag_monitor.show_lag(log, clock, stop))
        await until(12.5, 0.0)
        log.available = False
        await until(None, None)
        log.available = True
        log.acknowledged.add(1)
        await until(0.0, 0.0)
        stop.set()
        await showing
        await until(None, None)

    asyncio.run(scenario())


@pytest.mark.parametrize("worker", ["ingest", "aggregate"])
def test_a_worker_serves_telemetry_metrics_at_the_configured_address(worker: str) -> None:
    show_health(TelemetryHealth(), "aggregate")
    bind = f"127.0.0.1:{free_port()}"
    with (
        serving_probes(worker, read_settings({"GRIDPROOF_TELEMETRY_METRICS_BIND": bind})),
        urllib.request.urlopen(f"http://{bind}/metrics") as answer,
    ):
        text = answer.read().decode()
    assert 'gridproof_telemetry_write_error_pct{process="aggregate"}' in text


def test_the_web_process_shows_telemetry_metrics_at_its_metrics_route() -> None:
    show_health(TelemetryHealth(), "web")
    edge = Edge()
    with edge.client() as client:
        text = client.get("/metrics", headers=edge.key("operator")).text
    assert 'gridproof_telemetry_query_p99_seconds{process="web"}' in text
