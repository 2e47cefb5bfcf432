"""Wiring of the telemetry log on JetStream."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nats.aio.client import Client

    from adapters.nats.telemetry_stream import NatsTelemetryStream
    from interfaces.settings.settings import Settings


def telemetry_log(client: Client, settings: Settings) -> NatsTelemetryStream:
    """The log with the options of the settings; with an archive its raw messages stay until they are archived."""
    from adapters.nats.telemetry_stream import NatsTelemetryStream

    return NatsTelemetryStream(
        client,
        replicas=settings.nats_replicas,
        max_bytes=settings.telemetry_log_bytes,
        archived=settings.telemetry_archive,
    )


def oldest_reading(settings: Settings) -> timedelta:
    """An older reading is malformed: it would be removed at once where readings are kept for a shorter time."""
    from domain.telemetry.meter_reading import OLDEST_READING

    return min(OLDEST_READING, timedelta(days=settings.telemetry_raw_days))
