"""The demand response log read by streams, for audits."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from eventsourcing.utils import get_topic
from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import PortErrors, autocommit_connection
from adapters.postgres.wire_format.array_parameters import teach, texts, uuids
from application.bounded_cache import BoundedCache
from application.event_store.event_mapper import decode_domain_event
from application.event_store.upcasters import stored_topics
from domain.aggregates import LISTED_TOPICS
from domain.dr_event import DREvent
from projections.audit.stream_log import (
    StreamEntry,
    StreamLogUnavailable,
    StreamSlice,
    Subject,
    TimesNotIndexed,
)

Connection = psycopg.Connection[tuple[Any, ...]]

_ERRORS = PortErrors(StreamLogUnavailable, "the log")
_BATCH = 5_000
_COLUMNS = "SELECT notification_id, topic, originator_id, originator_version, state"
_OF_STREAMS = f"""
{_COLUMNS} FROM gridproof.demand_response_events
WHERE originator_id = ANY(%(streams)s) AND (%(topics)s::text[] IS NULL OR topic = ANY(%(topics)s))
ORDER BY notification_id
"""
# The head row sorts last: its position is at least that of the last domain event, and it has no topic.
_SLICE = f"""
{_COLUMNS} FROM gridproof.demand_response_events WHERE originator_id = ANY(%(whole)s) UNION ALL
{_COLUMNS} FROM gridproof.demand_response_events
WHERE originator_id = ANY(%(partly)s) AND topic = ANY(%(topics)s) AND position(%(mentioned)s IN state) > 0
UNION ALL
SELECT coalesce(max(notification_id), 0), NULL, NULL, NULL, NULL FROM gridproof.demand_response_events
ORDER BY 1, 2 NULLS LAST
"""  # noqa: S608 - our own column names
_OF_TOPICS = f"""
{_COLUMNS} FROM gridproof.demand_response_events
WHERE topic = ANY(%s) AND notification_id > %s AND notification_id <= %s ORDER BY notification_id LIMIT %s
"""
# Of topics that are listed, found by the index of their positions: the log has none of topics, and is long.
OF_LISTED_TOPICS = f"""
{_COLUMNS} FROM gridproof.administrative_acts JOIN gridproof.demand_response_events ON notification_id = position
WHERE topic = ANY(%s) AND position > %s AND position <= %s ORDER BY position LIMIT %s
"""
_ACTS = f"""
{_COLUMNS} FROM gridproof.administrative_acts JOIN gridproof.demand_response_events ON notification_id = position
WHERE position < coalesce(%(before)s, {2**63 - 1})
    AND (%(topics)s::text[] IS NULL OR topic = ANY(%(topics)s))
    AND (%(stream)s::uuid IS NULL OR originator_id = %(stream)s OR position(%(name)s::bytea IN state) > 0)
ORDER BY position DESC LIMIT %(limit)s
"""
_OF_TOPIC = f"{_COLUMNS} FROM gridproof.demand_response_events WHERE topic = ANY(%s) ORDER BY notification_id"
# The index has a row for every 256th domain event. The wanted position is after the last row up to the time, and not
# after the first row beyond it (NULL: in the part that is not indexed yet).
SURROUNDING = """
SELECT
    coalesce((
        SELECT position FROM gridproof.recorded_times WHERE latest_at <= %(as_of)s
        ORDER BY latest_at DESC, position DESC LIMIT 1
    ), 0),
    (
        SELECT position FROM gridproof.recorded_times WHERE latest_at > %(as_of)s
        ORDER BY latest_at, position LIMIT 1
    ),
    coalesce((SELECT max(notification_id) FROM gridproof.demand_response_events), 0)
"""
FIRST_LATER = """
SELECT notification_id FROM gridproof.demand_response_events
WHERE notification_id > %(after)s AND notification_id <= %(up_to)s AND gridproof.recorded_at(state) > %(as_of)s
ORDER BY notification_id LIMIT 1
"""
MAX_SCANNED = 100_000
"""Positions behind the index that one look-up reads; it takes a second."""
_HEAD = "SELECT coalesce(max(notification_id), 0) FROM gridproof.demand_response_events"
MAX_BYTES = 8_000_000
"""Size of the stored states; decoded they take several times as much."""
OVERHEAD = 200
_Row = tuple[Any, ...]
"""Position, topic, stream, version, state."""


class DecodedEntryCache:
    """Cache of decoded log entries. The log never changes, and an audit reads the same streams repeatedly.

    Each row is still read from the log and compared byte by byte, so that a result always shows what the log contains,
    even after tampering. Thread-safe.
    """

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self._cached = BoundedCache[int, tuple[_Row, StreamEntry]](
            "decoded log entries", max_size=max_bytes, size_of=lambda cached: len(cached[0][4]) + OVERHEAD
        )

    def of(self, rows: Sequence[_Row]) -> list[StreamEntry]:
        """Decode the rows, using cached entries. Raises the errors of
        application/event_store/event_mapper.py."""
        cached = self._cached.get_all([row[0] for row in rows])
        return [
            entry[1] if entry is not None and entry[0] == row else self._decode(row)
            for row, entry in zip(rows, cached, strict=True)
        ]

    def _decode(self, row: _Row) -> StreamEntry:
        position, topic, stream, version, state = row
        entry = StreamEntry(position, decode_domain_event(topic, stream, version, bytes(state)))
        self._cached.put(position, (row, entry))
        return entry


class PostgresStreamLog:
    """`pool` connects as the application's role."""

    def __init__(self, pool: ConnectionPool[Connection]) -> None:
        self._pool = pool
        self._decoded = DecodedEntryCache()

    def entries_of(
        self, stream_ids: Sequence[UUID], *, topics: Sequence[str] | None = None
    ) -> list[StreamEntry]:
        parameters = {
            "streams": list(stream_ids),
            "topics": None if topics is None else stored_topics(list(topics)),
        }
        with autocommit_connection(self._pool, _ERRORS) as connection:
            rows = connection.execute(_OF_STREAMS, parameters).fetchall()
        return self._decoded.of(rows)

    def read_streams(
        self, mentioned: UUID, *, whole: Sequence[UUID], partly: Sequence[UUID], topics: Sequence[str]
    ) -> StreamSlice:
        parameters = {
            "whole": uuids(whole),
            "partly": uuids(partly),
            "topics": texts(stored_topics(list(topics))),
            "mentioned": str(mentioned).encode(),
        }
        with autocommit_connection(self._pool, _ERRORS) as connection:
            teach(connection)
            *rows, head = connection.execute(_SLICE, parameters).fetchall()
        return StreamSlice(head[0], self._decoded.of(rows))

    def entries_about(self, topics: Sequence[str], *, until: int, after: int = 0) -> Iterator[StreamEntry]:
        position = after
        statement = OF_LISTED_TOPICS if LISTED_TOPICS.issuperset(topics) else _OF_TOPICS
        while True:  # in batches, so that no connection is held while the caller folds
            with autocommit_connection(self._pool, _ERRORS) as connection:
                rows = connection.execute(
                    statement, (stored_topics(list(topics)), position, until, _BATCH)
                ).fetchall()
            yield from map(_entry, rows)
            if len(rows) < _BATCH:
                return
            position = rows[-1][0]

    def acts(
        self,
        *,
        before: int | None,
        limit: int,
        topics: Sequence[str] | None = None,
        about: Subject | None = None,
    ) -> list[StreamEntry]:
        parameters = {
            "before": before,
            "limit": limit,
            "topics": None if topics is None else stored_topics(list(topics)),
            "stream": None if about is None else about.stream_id,
            "name": None if about is None else msgspec.json.encode(about.name),
        }
        with autocommit_connection(self._pool, _ERRORS) as connection:
            rows = connection.execute(_ACTS, parameters).fetchall()
        return self._decoded.of(rows)

    def prefix_end(self, as_of: datetime) -> int:
        with autocommit_connection(self._pool, _ERRORS) as connection:
            row = connection.execute(SURROUNDING, {"as_of": as_of}).fetchone()
            after, indexed, head = row or (0, None, 0)
            up_to = head if indexed is None else indexed
            if indexed is None and head - after > MAX_SCANNED:
                raise TimesNotIndexed(
                    f"{head - after} positions of the log are not in the index of times yet; "
                    "does `gridproof worker project` run? try again, or name a position"
                )
            bounds = {"after": after, "up_to": up_to, "as_of": as_of}
            later = connection.execute(FIRST_LATER, bounds).fetchone()
        return up_to if later is None else int(later[0]) - 1

    def head(self) -> int:
        with autocommit_connection(self._pool, _ERRORS) as connection:
            row = connection.execute(_HEAD).fetchone()
        return int(row[0]) if row else 0

    def dr_events_called(self, utility_event_id: str) -> list[UUID]:
        with autocommit_connection(self._pool, _ERRORS) as connection:
            rows = connection.execute(_OF_TOPIC, (stored_topics([get_topic(DREvent.Opened)]),)).fetchall()
        opened = [_entry(row).domain_event for row in rows]
        return [
            happened.originator_id
            for happened in opened
            if isinstance(happened, DREvent.Opened) and happened.utility_event_id == utility_event_id
        ]


def _entry(row: tuple[Any, ...]) -> StreamEntry:
    position, topic, originator_id, originator_version, state = row
    return StreamEntry(position, decode_domain_event(topic, originator_id, originator_version, bytes(state)))
