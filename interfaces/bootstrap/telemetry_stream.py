"""Wiring of the telemetry log on JetStream, and whether it has room for the days that it is to keep."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog

if TYPE_CHECKING:
    import asyncio

    from nats.aio.client import Client

    from adapters.nats.telemetry_stream import NatsTelemetryStream
    from application.ports.telemetry.listed_meters import ListedMeters
    from application.telemetry.log_capacity import LogCapacity
    from interfaces.bootstrap.stores import Stores
    from interfaces.settings.settings import Settings

FOLLOW_EVERY_S = 300.0
"""Wall seconds until the limit follows an import of meters."""
_log = structlog.get_logger("telemetry log")


def telemetry_log(
    client: Client, settings: Settings, meters: ListedMeters | None = None
) -> NatsTelemetryStream:
    """The log with the options of the settings; with an archive its raw messages stay until they are archived.

    Its limit follows from `meters`, where they are given and the settings name no limit.
    """
    from adapters.nats.telemetry_stream import NatsTelemetryStream
    from application.ports.telemetry.listed_meters import ListedMetersUnavailable

    def following_bytes() -> int | None:
        if meters is None:
            return None
        try:
            return _capacity(meters, settings).limit_bytes
        except ListedMetersUnavailable:
            return None  # the limit stays until the next round

    return NatsTelemetryStream(
        client,
        replicas=settings.nats_replicas,
        max_bytes=settings.telemetry_log_bytes,
        archived=settings.telemetry_archive,
        days=settings.telemetry_log_days,
        following_bytes=following_bytes,
    )


async def follow_meters(stream: NatsTelemetryStream, stores: Stores, stop: asyncio.Event) -> None:
    """Let the limit of the log follow the portfolio until `stop`, and log what does not fit when that changes."""
    import asyncio

    from interfaces.workers.loops.periodic import PeriodicCheck

    named: list[str] = []

    async def check() -> None:
        nonlocal named
        await stream.ensure_stream()
        fill = await stream.fill()
        misfits = await asyncio.to_thread(log_misfits, stores, fill.max_bytes, fill.stored_bytes)
        if misfits != named:
            for misfit in misfits:
                _log.warning("the telemetry log does not fit", what=misfit)
            named = misfits

    await PeriodicCheck("telemetry log size", check, every_s=FOLLOW_EVERY_S, retry_s=10.0).run(stop)


def log_misfits(stores: Stores, limit_bytes: int | None = None, held_bytes: int = 0) -> list[str]:
    """What of the days that the log is to keep does not fit, in sentences.

    `limit_bytes` and `held_bytes` of the log as it is; without a limit, the one that the settings lead to. The disk is
    looked at only where the embedded server is. Raises ListedMetersUnavailable.
    """
    settings = stores.settings
    capacity = _capacity(stores.listed_meters(), settings)
    limit = limit_bytes or settings.telemetry_log_bytes or capacity.limit_bytes
    folder = settings.data_dir / "nats"
    is_embedded = folder.is_dir() and urlsplit(settings.nats_url or "").hostname == "127.0.0.1"
    free = held_bytes + shutil.disk_usage(folder).free if is_embedded else None
    return capacity.misfits(limit, free)


def _capacity(meters: ListedMeters, settings: Settings) -> LogCapacity:
    from application.telemetry.log_capacity import LogCapacity

    return LogCapacity.of(meters.everything(), settings.telemetry_log_days)


def oldest_reading(settings: Settings) -> timedelta:
    """An older reading is malformed: it would be removed at once where readings are kept for a shorter time."""
    from domain.telemetry.meter_reading import OLDEST_READING

    return min(OLDEST_READING, timedelta(days=settings.telemetry_raw_days))
