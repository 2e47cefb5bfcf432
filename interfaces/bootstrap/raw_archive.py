"""Wiring of the raw archive."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from interfaces.bootstrap.ledger import open_archive
from interfaces.settings.settings import Settings

if TYPE_CHECKING:
    from application.ports.archive import Archive
    from application.ports.raw_archive.progress import RawArchiveProgress
    from interfaces.bootstrap.stores import Stores


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
