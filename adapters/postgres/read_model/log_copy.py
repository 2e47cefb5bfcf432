"""Reader of the log by COPY, in order, for rebuilds and verifications."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import lru_cache
from struct import Struct
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from psycopg import sql

from adapters.postgres.wire_format.copy_format import COPY_SIGNATURE, COPY_TRAILER
from application.event_store.event_mapper import UnreadableDomainEvent, decode_domain_event
from application.event_store.upcasters import UPCASTERS
from application.ports.event_store.event_log import LogEntry, LogEntryUnreadable
from domain.aggregates import topics_of
from domain.event_sourcing.decoders import json_decoder
from domain.identifiers import facility_stream_id
from projections.engine.division import Shard
from projections.engine.projection import AnyProjection, Facts

Connection = psycopg.Connection[tuple[Any, ...]]

_COPY = """
COPY (
    SELECT notification_id, originator_id, originator_version, topic, state
    FROM gridproof.demand_response_events
    WHERE notification_id > {after} AND notification_id <= {up_to} {narrowed}
    ORDER BY notification_id {limit}
) TO STDOUT (FORMAT BINARY)
"""
# Position, stream id, version, and the length of the topic that follows. The lengths between them are fixed
# and skipped.
_PLACE = Struct("!6xq4x16s4xqi")
_LENGTH_BYTES = 4
_OF_DISPATCHES = "dispatch."
"""What the topics of dispatches begin with; each of their domain events names its facility."""
_HEAD = "SELECT coalesce(max(notification_id), 0) FROM gridproof.demand_response_events"


class ReadSoFar(msgspec.Struct):
    """How far a reader has come, with the entries that its shard leaves out after they were read."""

    rows: int = 0
    position: int = 0


class _Owner(msgspec.Struct):
    """The member of a stored domain event that says which facility it is about."""

    facility_id: str


def log_head(connection: Connection) -> int:
    row = connection.execute(_HEAD).fetchone()
    return int(row[0]) if row is not None else 0


def ignored_topics(projection: AnyProjection) -> list[str]:
    """Topics of this release that `projection` does not use. Unknown topics are read, so that no entry is
    skipped unnoticed."""
    return sorted(topics_of() - topics_of(projection.concerns))


class ProjectedLog:
    """The log as one projection reads it: without ignored topics, and only with the facts that the projection
    requests."""

    def __init__(self, projection: AnyProjection) -> None:
        self._ignored = ignored_topics(projection)
        self._decode_facts = json_decoder(projection.facts or Facts).decode
        # Older topics and unknown ones are decoded completely, so that they are upcast or refused.
        self._as_facts = (
            topics_of(projection.concerns) - UPCASTERS.keys() if projection.facts is not None else frozenset()
        )

    def entries(
        self,
        connection: Connection,
        *,
        after: int,
        up_to: int,
        shard: Shard = Shard(),  # noqa: B008 - frozen
        limit: int | None = None,
        so_far: ReadSoFar | None = None,
    ) -> Generator[LogEntry, None, None]:
        """Entries with after < position <= up_to, `limit` of them read at most; those of other shards are left out.
        Raises LogEntryUnreadable. The caller must close the generator."""
        statement = sql.SQL(_COPY).format(
            after=after,
            up_to=up_to,
            narrowed=_conditions(self._ignored, shard),
            limit=sql.SQL("LIMIT ALL" if limit is None else f"LIMIT {int(limit)}"),
        )
        decode, parse, place_length, topics = self.decode, _PLACE.unpack_from, _PLACE.size, _Topics()
        is_foreign = _foreign_to(shard)
        read = so_far or ReadSoFar()
        with connection.cursor().copy(statement) as copy:
            for row in _rows(connection, copy):
                position, stream, version, topic_length = parse(row)
                state_at = place_length + topic_length
                topic = topics[bytes(row[place_length:state_at])]
                state = row[state_at + _LENGTH_BYTES :]
                read.rows, read.position = read.rows + 1, position
                try:
                    if is_foreign is not None and is_foreign(topic, stream, state):
                        continue
                    domain_event = decode(topic, stream, version, state)
                except (UnreadableDomainEvent, msgspec.MsgspecError, UnicodeDecodeError) as error:
                    raise LogEntryUnreadable(position, topic, str(error)) from error
                yield LogEntry(position, topic, domain_event)

    def decode(self, topic: str, stream: bytes, version: int, state: bytes | memoryview) -> Any:
        """The domain event of a log row, or its facts. `stream` is the stream id.

        Raises UnreadableDomainEvent, MsgspecError or UnicodeDecodeError.
        """
        if topic in self._as_facts:
            facts = self._decode_facts(state)
            facts.topic, facts.stream, facts.version = topic, stream, version
            return facts
        try:
            return decode_domain_event(topic, stream.hex(), version, bytes(state))
        except UnreadableDomainEvent:  # raise it again with the id in its usual form
            return decode_domain_event(topic, UUID(bytes=stream), version, bytes(state))


class _Topics(dict[bytes, str]):
    """Cache of decoded topics: few of them occur in many rows."""

    def __missing__(self, stored: bytes) -> str:
        topic = self[stored] = stored.decode()
        return topic


def _rows(connection: Connection, copy: psycopg.Copy) -> Iterator[memoryview]:
    """Rows of the COPY statement. psycopg's own loop waits for each row anew, which takes longer than to
    decode it."""
    next_row, trailer_length = connection.pgconn.get_copy_data, len(COPY_TRAILER)
    row = memoryview(copy.read())[len(COPY_SIGNATURE) :]  # the header may come alone, or before the first row
    while len(row) != trailer_length:
        if row:
            yield row
        length, data = next_row(
            1
        )  # a row that has already been received; the server sends each row as one message
        row = data if length > 0 and data is not None else memoryview(copy.read())
    copy.read()  # read to the end, so that the session can be used again


def _foreign_to(shard: Shard) -> Callable[[str, bytes, memoryview], bool] | None:
    """True if an entry belongs to another shard, by topic, stream and state; None: the statement has left those out.

    Raises MsgspecError.
    """
    if shard.of == 1 or shard.by == "stream":
        return None
    decode = json_decoder(_Owner).decode

    def is_foreign(topic: str, stream: bytes, state: memoryview) -> bool:
        owner = _facility_stream(decode(state).facility_id) if topic.startswith(_OF_DISPATCHES) else stream
        return int.from_bytes(owner[:4]) % shard.of != shard.number

    return is_foreign


@lru_cache(maxsize=65_536)
def _facility_stream(facility_id: str) -> bytes:
    return facility_stream_id(facility_id).bytes


def _conditions(ignored: list[str], shard: Shard) -> sql.Composable:
    conditions: list[sql.Composable] = []
    if ignored:
        conditions.append(sql.SQL("AND topic <> ALL({})").format(sql.Literal(ignored)))
    if shard.of > 1 and shard.by == "stream":
        part = sql.SQL("AND (uuid_hash(originator_id) & 2147483647) % {} = {}")
        conditions.append(part.format(sql.Literal(shard.of), sql.Literal(shard.number)))
    return sql.SQL(" ").join(conditions)
