"""Setup of the dispatch benchmark: NATS, the worker processes and the stores that drive them."""

from __future__ import annotations

import asyncio
import ctypes
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import uvloop

from interfaces.bootstrap.clock import accelerated_clock
from interfaces.bootstrap.stores import Stores, open_stores
from interfaces.settings.settings import Settings

if TYPE_CHECKING:
    from application.ports.dispatch.building_control import (
        BmsConnection,
        BuildingControl,
        CommandReceipt,
        CommandStatus,
        ZoneCommand,
        ZoneState,
    )
    from domain.forecast import Forecast


@contextmanager
def bench_nats() -> Iterator[str]:
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
        reconcile_s=3_600,  # buildings are polled only where a figure is about polls
        allow_private_callbacks=True,
        log_level="error",
    )


@dataclass(frozen=True)
class MovedClock:
    """The machine's clock, moved ahead for all processes of a run at once: the windows of DR events are hours long."""

    ahead_s: ctypes.c_double
    """Shared by the processes."""

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.ahead_s.value)

    def wall_seconds(self, clock_seconds: float) -> float:
        return clock_seconds


@dataclass(frozen=True)
class CountedControl:
    """The BMSs of a dispatch worker, with the number of commands that they have carried out for it."""

    control: BuildingControl
    carried_out: ctypes.c_long
    """Shared with the process that reads it."""

    async def execute(self, connection: BmsConnection, command: ZoneCommand) -> CommandReceipt:
        receipt = await self.control.execute(connection, command)
        self.carried_out.value += 1
        return receipt

    async def command_status(self, connection: BmsConnection, command: ZoneCommand) -> CommandStatus:
        return await self.control.command_status(connection, command)

    async def zone_state(self, connection: BmsConnection, zone_id: str) -> ZoneState:
        return await self.control.zone_state(connection, zone_id)

    async def aclose(self) -> None:
        await self.control.aclose()


def run_bench_worker(name: str, settings: Settings, ahead_s: ctypes.c_double) -> None:
    """Run a worker in a separate process until SIGTERM."""
    from interfaces.bootstrap.processes import run_worker

    with _on_moved_clock(ahead_s):
        run_worker(name, settings)


def run_bench_dispatch(settings: Settings, ahead_s: ctypes.c_double, carried_out: ctypes.c_long) -> None:
    """Run a dispatch worker."""
    from interfaces.bootstrap.health.process import recording_spans
    from interfaces.bootstrap.kinds.dispatch import run as run_dispatch
    from interfaces.bootstrap.processes import run_until_stopped
    from interfaces.logs import configure_logs

    configure_logs(settings, process="dispatch")  # on stderr: stdout is for figures

    async def run(stores: Stores, stop: asyncio.Event) -> None:
        await run_dispatch(stores, stop, wrap=lambda control: CountedControl(control, carried_out))

    with _on_moved_clock(ahead_s), recording_spans("dispatch", settings):
        uvloop.run(run_until_stopped(run, settings))


@contextmanager
def _on_moved_clock(ahead_s: ctypes.c_double) -> Iterator[None]:
    """Stores that this process opens in the block have the moved clock."""
    from interfaces.bootstrap import processes

    opened = partial(open_stores, clock=MovedClock(ahead_s))
    with patch.object(processes, "open_stores", opened):
        yield


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
