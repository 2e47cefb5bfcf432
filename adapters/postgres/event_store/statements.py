"""SQL statements for writing a batch of saves, and their parameters."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from adapters.postgres.connection.pipeline import Call
from adapters.postgres.connection.timeline import TIMELINE
from adapters.postgres.event_store.library_factory import StoreDatastore
from adapters.postgres.event_store.save_request import Save
from adapters.postgres.wire_format.binary_arrays import BIGINT, BYTEA, TEXT, UUID, array, bigint, element
from application.event_store.upcasters import stored_topics
from domain.aggregates import LISTED_TOPICS

BEGIN: Call = (b"begin", ())
LOCK: Call = (b"lock", ())
NOTIFY: Call = (b"notify", ())
SAVEPOINT: Call = (b"savepoint", ())
RELEASE: Call = (b"release", ())
COMMIT: Call = (b"commit", ())
RECORD_TIMELINE: Call = (b"timeline", ())

AHEAD_S = 5
"""How far a domain event may be dated ahead of the database's clock, in wall seconds."""

DATED_AHEAD = (
    f"a decision is dated more than {AHEAD_S} s ahead of the database's clock: set the machine's clock"
)


def in_time(latest_at: str) -> Composed:
    """The condition that the parameter `latest_at`, a wall time, is not too far ahead. Compared once in a statement: of
    a batch that is dated ahead nothing is inserted, neither events nor keys."""
    return SQL("{latest_at}::timestamptz <= now() + interval '{ahead_s} seconds'").format(
        latest_at=SQL(latest_at), ahead_s=SQL(str(AHEAD_S))
    )


_LOCK = SQL("LOCK TABLE {table} IN EXCLUSIVE MODE")
_INSERT = SQL(
    "INSERT INTO {table} (originator_id, originator_version, topic, state)"
    " SELECT i, v, t, s FROM unnest($1::{id}[], $2::bigint[], $3::text[], $4::bytea[])"
    " WITH ORDINALITY AS u (i, v, t, s, n) WHERE {in_time} ORDER BY n RETURNING notification_id"
)
# Only for batches with one of the listed topics: the list of changes needs no index on every domain event.
_LISTED_ROWS = SQL(
    ", listed AS (INSERT INTO {acts} (position) SELECT notification_id FROM inserted WHERE topic = ANY({listed}))"
)
# Only for batches with intents. Numbers are drawn in the order of the log, whose lock is held.
_WORK_ROWS = SQL(
    ", opened AS (INSERT INTO {open_work} (kind, queue, position) SELECT k, q, notification_id"
    " FROM unnest($6::bigint[], $7::text[], $8::text[]) AS w (n, k, q)"
    " JOIN (SELECT notification_id, row_number() OVER (ORDER BY notification_id) AS n FROM inserted) i USING (n)"
    " ORDER BY n)"
)


def _with_rows(names: dict[str, Composable], *further_rows: SQL) -> Composed:
    """The insert of domain events, with further rows that refer to them in the same statement."""
    parts = [_INSERT, SQL(", topic)"), *further_rows, SQL(" SELECT notification_id FROM inserted ORDER BY 1")]
    return SQL("WITH inserted AS (") + SQL("").join(part.format(**names) for part in parts)


_EVENTS: dict[tuple[bool, bool], bytes] = {
    (False, False): b"events",
    (True, False): b"listed events",
    (False, True): b"events with work",
    (True, True): b"listed events with work",
}
"""(Has the batch listed topics, has it intents) -> the name of its statement."""
_LISTED = tuple(stored_topics(sorted(LISTED_TOPICS)))
_LISTED_ELEMENTS = frozenset(element(topic.encode()) for topic in _LISTED)
_KEYS = SQL(
    "INSERT INTO {keys} (scope, key, body_hash, reply)"
    " SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) WHERE {in_time}"
)
_FIND_EVENT = SQL(
    "SELECT notification_id, topic, state FROM {table} WHERE originator_id = %s AND originator_version = %s"
)
_FIND_KEY = SQL("SELECT scope, key, body_hash, reply FROM {keys} WHERE scope = %s AND key = %s")


# Under the lock of the log, before the inserts. It writes nothing but for the first save on a timeline.
_TIMELINE = SQL(
    "INSERT INTO gridproof.log_timelines (log, cluster, timeline, after_position)"
    " SELECT {log}, now.cluster, now.timeline, coalesce((SELECT max(notification_id) FROM {table}), 0)"
    " FROM (SELECT system_identifier AS cluster, {timeline} AS timeline FROM pg_control_system()) now"
    " WHERE NOT EXISTS (SELECT FROM"
    " (SELECT cluster, timeline FROM gridproof.log_timelines WHERE log = {log} ORDER BY number DESC LIMIT 1) newest"
    " WHERE newest.cluster = now.cluster AND newest.timeline = now.timeline)"
)


def record_timeline(schema: str, table: str) -> Composed:
    """The statement that notes the server's timeline for the log in `table`, from its last position on."""
    return _TIMELINE.format(
        table=Identifier(schema, table),
        log=Literal(table),
        timeline=SQL(TIMELINE),
    )


class WriteStatements:
    """The statements for one table of domain events: those sent in a pipeline, by name, and those that
    psycopg sends."""

    def __init__(self, datastore: StoreDatastore, *, table: str, channel: str) -> None:
        is_uuid = datastore.originator_id_type == "uuid"
        names: dict[str, Composable] = {
            "table": Identifier(datastore.schema, table),
            "keys": Identifier(datastore.schema, "idempotency_keys"),
            "channel": Identifier(channel),
            "acts": Identifier(datastore.schema, "administrative_acts"),
            "open_work": Identifier(datastore.schema, "open_work"),
            "listed": Literal(list(_LISTED)),
            "in_time": in_time("$5"),
            "id": SQL("uuid" if is_uuid else "text"),
        }
        self._id_type = UUID if is_uuid else TEXT
        self.lock: Composed = _LOCK.format(**names)
        self.notify: Composed = SQL("NOTIFY {channel}").format(**names)
        self.find_event: Composed = _FIND_EVENT.format(**names)
        self.find_key: Composed = _FIND_KEY.format(**names)
        together: dict[bytes, Composable] = {
            b"begin": SQL("BEGIN"),
            b"lock": self.lock,
            b"notify": self.notify,
            b"timeline": record_timeline(datastore.schema, table),
            b"events": _INSERT.format(**names),
            b"listed events": _with_rows(names, _LISTED_ROWS),
            b"events with work": _with_rows(names, _WORK_ROWS),
            b"listed events with work": _with_rows(names, _LISTED_ROWS, _WORK_ROWS),
            b"keys": _KEYS.format(**names),
            b"savepoint": SQL("SAVEPOINT one"),
            b"release": SQL("RELEASE SAVEPOINT one"),
            b"commit": SQL("COMMIT"),
        }
        self.together = {name: statement.as_string().encode() for name, statement in together.items()}

    def insert(self, batch: Sequence[Save]) -> list[Call]:
        """The calls that insert the batch. The last one returns the positions, in the order of the domain
        events; none if the batch is dated ahead of the database's clock."""
        ids, versions, topics, states = zip(*(row for save in batch for row in save.rows), strict=True)
        latest_at = bigint(max(save.latest_at for save in batch))
        is_listed = not _LISTED_ELEMENTS.isdisjoint(topics)
        work = _work_columns(batch)
        events: Call = (
            _EVENTS[is_listed, bool(work)],
            (
                array(self._id_type, ids),
                array(BIGINT, versions),
                array(TEXT, topics),
                array(BYTEA, states),
                latest_at,
                *work,
            ),
        )
        key_rows = [save.key_row for save in batch if save.key_row is not None]
        if not key_rows:
            return [events]
        key_rows.sort()  # the same order in every process, against deadlocks
        scopes, keys, hashes, replies = zip(*key_rows, strict=True)
        return [
            (
                b"keys",
                (
                    array(TEXT, scopes),
                    array(TEXT, keys),
                    array(TEXT, hashes),
                    array(BYTEA, replies),
                    latest_at,
                ),
            ),
            events,
        ]


def _work_columns(batch: Sequence[Save]) -> tuple[bytes, ...]:
    """The rows of open work of a batch: the number of each intent among its domain events, from 1 on, the kinds and the
    queues; empty if there are none."""
    rows: list[tuple[bytes, bytes, bytes]] = []
    first = 1
    for save in batch:
        rows += [(element(bigint(first + index)), kind, queue) for index, kind, queue in save.work_rows]
        first += len(save.rows)
    if not rows:
        return ()
    numbers, kinds, queues = zip(*rows, strict=True)
    return array(BIGINT, numbers), array(TEXT, kinds), array(TEXT, queues)
