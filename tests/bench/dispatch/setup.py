"""Setup of the dispatch benchmark: a work queue, the worker processes and the stores that drive them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from interfaces.bootstrap.clock import accelerated_clock
from interfaces.bootstrap.stores import Stores, open_stores
from interfaces.settings.settings import Settings

if TYPE_CHECKING:
    from domain.forecast import Forecast


@contextmanager
def bench_queue() -> Iterator[str]:
    """Yields the URL of a temporary NATS with file-based JetStream. It contains a password: not for logs."""
    from adapters.embedded import EmbeddedServers

    with (
        tempfile.TemporaryDirectory(prefix="gridproof-bench-") as folder,
        EmbeddedServers(Path(folder), postgres=False, valkey=False) as servers,
    ):
        yield servers.nats_url


def bench_settings(database_url: str, nats_url: str, *, calls_at_once: int) -> Settings:
    return Settings(
        database_url=database_url,
        nats_url=nats_url,
        bms_networks="127.0.0.0/8",
        bms_max_concurrent=calls_at_once,
        log_level="error",
    )


def run_bench_worker(name: str, settings: Settings) -> None:
    """Run a worker in a separate process until SIGTERM."""
    from interfaces.bootstrap.processes import run_worker

    run_worker(name, settings)


def run_bench_dispatch(settings: Settings) -> None:
    """Run a dispatch worker."""
    from interfaces.bootstrap.dispatch import run_dispatch
    from interfaces.bootstrap.health.process import recording_spans
    from interfaces.bootstrap.processes import run_until_stopped
    from interfaces.logs import configure_logs

    configure_logs(settings, process="dispatch")  # on stderr: stdout is for figures

    async def run(stores: Stores, stop: asyncio.Event) -> None:
        await run_dispatch(stores, stop)

    with recording_spans("dispatch", settings):
        uvloop.run(run_until_stopped(run, settings))


def stores_at(settings: Settings, moment: datetime) -> Stores:
    """Stores whose clock reads `moment` now."""
    from adapters.clock import SystemClock

    return open_stores(settings, clock=accelerated_clock(moment, SystemClock().now(), 1.0))


def save_forecasts(database_url: str, forecasts: Sequence[Forecast]) -> None:
    from adapters.postgres.event_store.event_store import PostgresEventStore
    from application.event_store.forecasts import Forecasts

    store = PostgresEventStore(Forecasts, database_url)
    try:
        for forecast in forecasts:
            store.save([forecast])
    finally:
        store.close()
