"""How long telemetry is kept, and what is let go of now.

Raw readings go by whole UTC days, rollups by their start. What people imported stays: it is no rollup, and a second
import would bring it back anyway. A day that an archive should hold and does not yet is kept until it does.
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
"""Up to when everything that was received is in the archive; None: nothing is yet."""


class RetentionPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """In days of the clock."""

    raw_days: int = 90
    rollup_days: int = 730
    restored_days: int = 7
    """For how long a day that was brought back from the archive stays."""


class RetentionOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one round did."""

    dropped: tuple[date, ...] = ()
    held_back: tuple[date, ...] = ()
    """Due, but the archive does not hold them yet."""
    busy: tuple[date, ...] = ()
    """Due, and to be tried again."""
    rollups: int = 0


def enforce(
    store: TelemetryRetention,
    policy: RetentionPolicy,
    clock: Clock,
    *,
    archived_through: ArchivedThrough | None = None,
) -> RetentionOutcome:
    """One round. Without `archived_through` there is no archive. Raises TelemetryStoreUnavailable."""
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
            _log.info("readings let go of", day=day.isoformat(), kept_days=policy.raw_days)
            dropped.append(day)
        else:
            busy.append(day)
    rollups = _delete_rollups(store, now - timedelta(days=policy.rollup_days))
    return RetentionOutcome(
        dropped=tuple(dropped), held_back=tuple(held_back), busy=tuple(busy), rollups=rollups
    )


def _agreed_now(store: TelemetryRetention, clock: Clock) -> datetime:
    """The earlier of two clocks: one that jumped ahead alone must not cost a year of readings.

    An accelerated clock runs away from the store's by design.
    """
    now = clock.now()
    return min(now, store.now()) if clock.wall_seconds(1.0) == 1.0 else now


def _end_of(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)


def _delete_rollups(store: TelemetryRetention, before: datetime) -> int:
    """In small transactions, so that nobody who writes has to wait for long."""
    total = 0
    while deleted := store.delete_rollups_before(before, limit=ROLLUPS_AT_ONCE):
        total += deleted
    return total
