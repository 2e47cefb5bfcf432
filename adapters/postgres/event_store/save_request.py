"""A save in the form in which it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from eventsourcing.persistence import DataError, InterfaceError, StoredEvent

from adapters.postgres.wire_format.binary_arrays import bigint, element
from application.event_store.open_work import NewWork
from application.ports.event_store.event_store import (
    EVENT_OVERHEAD_BYTES,
    ONE_DECISION,
    IdempotencyRecord,
    SaveBounds,
)

LONG_AGO = -(2**63)
"""A timestamp before every other: PostgreSQL's -infinity."""
_TIMESTAMPS_FROM = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def timestamp_of(moment: datetime) -> int:
    """The moment as PostgreSQL's binary timestamptz: microseconds since 2000."""
    return (moment - _TIMESTAMPS_FROM) // _MICROSECOND


class Save:
    """The domain events of one caller, saved all or none."""

    __slots__ = (
        "byte_count",
        "error",
        "idempotency",
        "ids",
        "key_row",
        "latest_at",
        "rows",
        "stored_events",
        "work_rows",
    )

    def __init__(
        self,
        stored_events: Sequence[StoredEvent],
        idempotency: IdempotencyRecord | None = None,
        bounds: SaveBounds = ONE_DECISION,
        latest_at: int = LONG_AGO,
        *,
        open_work: Sequence[NewWork] = (),
    ) -> None:
        """`latest_at`: the latest wall time of a domain event, as `timestamp_of` it; it is held against the database's
        clock. `open_work`: the rows for its intents.

        Raises SaveTooLarge, and DataError for values that PostgreSQL cannot store. Raised here, before the save can
        fail those of other callers."""
        self.stored_events = stored_events
        self.idempotency = idempotency
        self.latest_at = latest_at
        self.byte_count = sum(len(e.topic) + len(e.state) + EVENT_OVERHEAD_BYTES for e in stored_events)
        bounds.check(len(stored_events), self.byte_count)
        self.ids: list[int] | None = None
        self.error: Exception | None = None
        try:
            self.rows = [_row(stored) for stored in stored_events]
            self.key_row = None if idempotency is None else _key_row(idempotency)
            self.work_rows = [_work_row(work) for work in open_work]
        except (UnicodeEncodeError, OverflowError) as error:
            raise DataError(f"a domain event that cannot be stored: {error}") from error

    @property
    def sizes(self) -> tuple[int, int]:
        """The sizes that it adds to a shared transaction, by which SaveBounds limits it."""
        return len(self.stored_events), self.byte_count

    @property
    def outcome(self) -> list[int] | Exception:
        """The positions, or the error, once it was written."""
        if self.error is None and self.ids is not None:
            return self.ids
        return self.error or InterfaceError("the save was never answered: the outcome is unknown")


def _row(stored: StoredEvent) -> tuple[bytes, bytes, bytes, bytes]:
    """The columns of an event as elements of binary arrays."""
    stream = stored.originator_id
    return (
        element(stream.bytes if isinstance(stream, UUID) else stream.encode()),
        element(bigint(stored.originator_version)),
        element(stored.topic.encode()),
        element(stored.state),
    )


def _key_row(key: IdempotencyRecord) -> tuple[bytes, bytes, bytes, bytes]:
    return (
        element(key.scope.encode()),
        element(key.key.encode()),
        element(key.body_hash.encode()),
        element(key.reply),
    )


def _work_row(work: NewWork) -> tuple[int, bytes, bytes]:
    """The index of the intent in the save, and the columns of its row of open work."""
    return work.index, element(work.kind.encode()), element(work.queue.encode())
