"""The log by COPY, in order: what a rebuild and a verification read."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

import msgspec
import psycopg
from eventsourcing.utils import get_topic
from psycopg import sql

from application.demand_response import AGGREGATES
from application.event_mapper import UnreadableDomainEvent, decode_domain_event
from application.ports.event_log import LogEntry, LogEntryUnreadable
from domain.event_sourcing import DomainEvent
from projections.read_model import AnyProjection

Connection = psycopg.Connection[tuple[Any, ...]]

_COPY = """
COPY (
    SELECT notification_id, originator_id::text, originator_version, topic, state
    FROM gridproof.demand_response_events
    WHERE notification_id > {after} AND notification_id <= {up_to} {narrowed}
    ORDER BY notification_id
) TO STDOUT (FORMAT BINARY)
"""
_TYPES = ("int8", "text", "int8", "text", "bytea")
_HEAD = "SELECT coalesce(max(notification_id), 0) FROM gridproof.demand_response_events"


class Shard(msgspec.Struct, frozen=True):
    """One of `of` parts of the log, by stream: part `number`, from 0."""

    number: int = 0
    of: int = 1


def log_head(connection: Connection) -> int:
    row = connection.execute(_HEAD).fetchone()
    return int(row[0]) if row is not None else 0


def ignored_topics(projection: AnyProjection) -> list[str]:
    """Topics of this release that `projection` does not look at. Others are read, so that none is skipped unseen."""
    return sorted(
        {
            get_topic(nested)
            for aggregate in AGGREGATES
            for nested in vars(aggregate).values()
            if isinstance(nested, type)
            and issubclass(nested, DomainEvent)
            and not issubclass(nested, projection.concerns)
        }
    )


def copied_entries(
    connection: Connection,
    *,
    after: int,
    up_to: int,
    ignored: Iterable[str] = (),
    shard: Shard = Shard(),  # noqa: B008 - frozen
) -> Generator[LogEntry, None, None]:
    """Entries with after < position <= up_to but those of `ignored` topics. Raises LogEntryUnreadable. Close it."""
    statement = sql.SQL(_COPY).format(after=after, up_to=up_to, narrowed=_narrowed(list(ignored), shard))
    with connection.cursor().copy(statement) as copy:
        copy.set_types(_TYPES)
        for position, stream_id, version, topic, state in copy.rows():
            try:
                domain_event = decode_domain_event(topic, stream_id, version, state)
            except UnreadableDomainEvent as error:
                raise LogEntryUnreadable(position, topic, str(error)) from error
            yield LogEntry(position, topic, domain_event)


def _narrowed(ignored: list[str], shard: Shard) -> sql.Composable:
    conditions: list[sql.Composable] = []
    if ignored:
        conditions.append(sql.SQL("AND topic <> ALL({})").format(sql.Literal(ignored)))
    if shard.of > 1:
        part = sql.SQL("AND (uuid_hash(originator_id) & 2147483647) % {} = {}")
        conditions.append(part.format(sql.Literal(shard.of), sql.Literal(shard.number)))
    return sql.SQL(" ").join(conditions)
