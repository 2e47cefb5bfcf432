"""Wiring of the raw archive, for its worker and for commands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from interfaces.bootstrap.ledger import open_archive
from interfaces.bootstrap.operations import locks_of
from interfaces.bootstrap.telemetry_stream import telemetry_log
from interfaces.failpoints import failpoint
from interfaces.settings.settings import Settings

if TYPE_CHECKING:
    from application.ports.archive import Archive
    from application.ports.raw_archive.progress import RawArchiveProgress
    from interfaces.bootstrap.stores import Stores


async def run_archive(stores: Stores, stop: asyncio.Event) -> None:
    """Run until `stop`; without an archive in the settings it only waits."""
    from adapters.nats.connection import connect
    from adapters.nats.raw_log import NatsRawLog
    from interfaces.workers.archive import ArchiveWorker

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
        reached=failpoint(settings.failpoint, settings.failpoint_once_file),
    )
    await worker.run(stop)
    await client.close()


def clock_time(settings: Settings) -> Callable[[datetime], datetime]:
    """Converts wall time to the time of the system's clock."""
    epoch, started_at, speed = settings.clock_epoch, settings.clock_started_at, settings.clock_speed
    if epoch is None or started_at is None or speed is None:
        return lambda wall: wall
    return lambda wall: epoch + (wall - started_at) * speed


def raw_archive_progress(stores: Stores) -> RawArchiveProgress:
    from adapters.postgres.raw_archive import PostgresRawArchiveProgress

    return PostgresRawArchiveProgress(stores.pool)


def archived_through(stores: Stores) -> Callable[[], datetime | None] | None:
    """For retention: returns the time up to which everything is archived. None: there is no archive."""
    return raw_archive_progress(stores).archived_through if stores.settings.telemetry_archive else None


def raw_archive(settings: Settings) -> Archive:
    """The archive of objects and manifest. Raises SecretError; ArchiveUnavailable when it is used."""
    return open_archive(settings)
