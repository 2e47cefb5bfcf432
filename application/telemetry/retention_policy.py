"""Retention of telemetry: how long it is stored, and what is deleted now.

Raw readings are deleted by whole UTC days, rollups by their start. Imported history stays: it is not a
rollup, and a second import would restore it. A day that should be in the archive and is not yet is not
deleted.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import msgspec
import structlog

from application.ports.clock import Clock
from application.ports.telemetry.retention import TelemetryRetention

_log = structlog.get_logger(__name__)

ROLLUPS_AT_ONCE = 50_000
"""A transaction of a fraction of a second. An hour of ten thousand facilities' rollups is 13 of them."""

ArchivedThrough = Callable[[], datetime | None]
"""The moment up to which everything received is in the archive; None: nothing is yet."""


class RetentionPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Retention times in days of the clock."""

    raw_days: int = 90
    rollup_days: int = 730
    restored_days: int = 7
    """How long a day restored from the archive stays."""


class RetentionOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one round."""

    dropped: tuple[date, ...] = ()
    held_back: tuple[date, ...] = ()
    """Due, but not in the archive yet."""
    busy: tuple[date, ...] = ()
    """Due, and to be retried."""
    rollups: int = 0


def enforce(
    store: TelemetryRetention,
    policy: RetentionPolicy,
    clock: Clock,
    *,
    archived_through: ArchivedThrough | None = None,
) -> RetentionOutcome:
    """Do one round. Without `archived_through` there is no archive. Raises TelemetryStoreUnavailable."""
    now = _agreed_now(store, clock)
    bound = now - timedelta(days=policy.raw_days)
    archived = None if archived_through is None else archived_through() or datetime.min.replace(tzinfo=UTC)
    min_age_wall_s = clock.wall_seconds(timedelta(days=policy.restored_days).total_seconds())
    dropped, held_back, busy = [], [], []
    for day in store.raw_days():
        ends_at = _end_of(day)
        if ends_at > bound:
            break
        if archived is not None and archived < ends_at:
            held_back.append(day)
        elif store.drop_raw_day(day, min_age_wall_s=min_age_wall_s):
            _log.info("readings deleted", day=day.isoformat(), kept_days=policy.raw_days)
            dropped.append(day)
        else:
            busy.append(day)
    rollups = _delete_rollups(store, now - timedelta(days=policy.rollup_days))
    return RetentionOutcome(
        dropped=tuple(dropped), held_back=tuple(held_back), busy=tuple(busy), rollups=rollups
    )


def _agreed_now(store: TelemetryRetention, clock: Clock) -> datetime:
    """The earlier of the two clocks: one clock that jumped ahead must not delete a year of readings.

    An accelerated clock runs ahead of the store's by design, so it is used alone.
    """
    now = clock.now()
    return min(now, store.now()) if clock.wall_seconds(1.0) == 1.0 else now


def _end_of(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)


def _delete_rollups(store: TelemetryRetention, before: datetime) -> int:
    """Delete in small transactions, so that writers never wait for long."""
    total = 0
    while deleted := store.delete_rollups_before(before, limit=ROLLUPS_AT_ONCE):
        total += deleted
    return total
