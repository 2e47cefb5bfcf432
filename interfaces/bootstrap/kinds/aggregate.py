"""Wiring of the worker that stores readings, finalizes rollups and deletes what is old."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

from adapters.nats.connection import connect
from adapters.postgres.coordination.named_locks import AdvisoryLocks
from adapters.postgres.coordination.partition_assignment import SESSION, PostgresPartitionAssignment
from adapters.postgres.coordination.session_locks import LockSession
from adapters.postgres.telemetry.retention import PostgresTelemetryRetention
from application.ports.coordination.locks import Locks
from application.ports.telemetry.store import TelemetryStore
from application.telemetry.current_values import WRITE_THROUGH_EVERY_S, WriteThrough
from application.telemetry.retention_policy import RetentionPolicy
from domain.telemetry.meter_reading import ALL_PARTITIONS, MeterReading
from domain.telemetry.reading_block import facilities_in
from interfaces.bootstrap.raw_archive import archived_through
from interfaces.bootstrap.servers import current_cache
from interfaces.bootstrap.stores import Stores
from interfaces.bootstrap.telemetry import monitored_telemetry
from interfaces.bootstrap.telemetry_stream import telemetry_log
from interfaces.workers.aggregate import aggregate
from interfaces.workers.aggregate.retention import Retention
from interfaces.workers.loops.periodic import PeriodicCheck
from interfaces.workers.loops.side_task import run_side_task


async def run(stores: Stores, stop: asyncio.Event) -> None:
    """Run until `stop` is set."""
    client = await connect(str(stores.settings.nats_url), name="aggregate")
    store, session = stores.telemetry(), LockSession(stores.database_url, SESSION)
    async with (
        monitored_telemetry(stores, "aggregate"),
        warm_cache(stores, store) as stored,
        _retaining(stores, AdvisoryLocks(session)),
    ):
        await aggregate.run(
            stream=telemetry_log(client, stores.settings),
            store=store,
            dead_letters=stores.dead_letters(),
            clock=stores.clock,
            stop=stop,
            rollups=stores.rollups(),
            stored=stored,
            shares=PostgresPartitionAssignment(session, ALL_PARTITIONS),
        )
    await client.close()


@asynccontextmanager
async def _retaining(stores: Stores, locks: Locks) -> AsyncIterator[None]:
    """During the block one process of the system deletes old telemetry, unless the store does it by itself."""
    settings = stores.settings
    if settings.telemetry_store == "influx":
        yield
        return
    retention = Retention(
        store=PostgresTelemetryRetention(stores.pool),
        policy=RetentionPolicy(
            raw_days=settings.telemetry_raw_days,
            rollup_days=settings.telemetry_rollup_days,
            restored_days=settings.telemetry_restored_days,
        ),
        alerts=stores.alerts(),
        clock=stores.clock,
        archived_through=archived_through(stores),
    )
    check, stop = retention.periodic, asyncio.Event()
    run_it = partial(check.run, locks=locks)
    guarded = run_side_task(run_it, stop, name=check.name, alerts=stores.alerts(), clock=stores.clock)
    running = asyncio.create_task(guarded, name=check.name)
    try:
        yield
    finally:
        stop.set()
        running.cancel()  # a deletion that is under way ends with its transaction
        await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def warm_cache(
    stores: Stores, store: TelemetryStore
) -> AsyncIterator[Callable[[Sequence[MeterReading]], None]]:
    """During the block the shared cache gets the new values. Yields what to call with the readings that were stored."""
    cache, stop = current_cache(stores.settings, stores.pool), asyncio.Event()
    if cache is None:
        yield lambda readings: None
        return
    through = WriteThrough(store, stores.clock, cache)
    rounds = PeriodicCheck("warm cache", through.round, every_s=WRITE_THROUGH_EVERY_S)
    running = asyncio.create_task(rounds.run(stop), name="warm cache")
    try:
        yield lambda readings: through.note(facilities_in(readings))
    finally:
        stop.set()
        await running
