"""Wiring of the raw archive's worker."""

from __future__ import annotations

import asyncio

from adapters.nats.connection import connect
from adapters.nats.raw_log import NatsRawLog
from interfaces.bootstrap.ledger import open_archive
from interfaces.bootstrap.operations import failpoint_of, locks_of
from interfaces.bootstrap.raw_archive import clock_time, raw_archive_progress
from interfaces.bootstrap.stores import Stores
from interfaces.bootstrap.telemetry_stream import telemetry_log
from interfaces.workers.archive import ArchiveWorker


async def run(stores: Stores, stop: asyncio.Event) -> None:
    """Run until `stop` is set; without an archive in the settings it only waits."""
    settings = stores.settings
    if not settings.telemetry_archive:
        await stop.wait()
        return
    client = await connect(str(settings.nats_url), name="archive")
    worker = ArchiveWorker(
        raw_log=NatsRawLog(client, clock_time=clock_time(settings)),
        stream=telemetry_log(client, settings, stores.listed_meters()),
        log_days=settings.telemetry_log_days,
        archive=open_archive(settings),
        progress=raw_archive_progress(stores),
        alerts=stores.alerts(),
        clock=stores.clock,
        locks=locks_of(stores),
        reached=failpoint_of(stores),
    )
    await worker.run(stop)
    await client.close()
