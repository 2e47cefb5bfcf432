"""Appends administrative acts to the log in the transaction of the rows that they are about.

Group commit has transactions of its own, which no other statement joins. Acts are rare, so they take the lock of the
log by themselves: in the same order, and with the same notification, as every other save.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from application.event_store.demand_response import DemandResponse
from application.event_store.event_mapper import to_stored_event
from domain.administration import AdministrativeAct

WITHIN_S = 5.0
"""For the lock of the log, and then for the commit. A process that is stopped in between loses its session, and with
it the lock, which every save waits for."""

# One message of the simple protocol: no process can be stopped between the lock and what needs it.
_APPEND = sql.SQL(
    "SET LOCAL lock_timeout = {within}; SET LOCAL idle_in_transaction_session_timeout = {within};"
    " LOCK TABLE {table} IN EXCLUSIVE MODE; NOTIFY {channel};"
    " WITH appended AS ("
    "INSERT INTO {table} (originator_id, originator_version, topic, state)"
    " SELECT i, v, t, s FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::bytea[])"
    " WITH ORDINALITY AS u (i, v, t, s, n) ORDER BY n RETURNING notification_id)"
    " INSERT INTO gridproof.administrative_acts (position) SELECT notification_id FROM appended"
)
_CHANNEL = f"{DemandResponse.name}_events"


def append_acts(connection: psycopg.Connection[Any], acts: Sequence[AdministrativeAct]) -> None:
    """Call it last: until the commit, every save waits. The caller's transaction commits, within WITHIN_S.

    Raises psycopg.errors.UniqueViolation where an act was recorded before.
    """
    stored = [to_stored_event(recorded) for act in acts for recorded in act.collect_events()]
    if not stored:
        return
    statements = _APPEND.format(
        within=sql.Literal(f"{WITHIN_S * 1_000:.0f}ms"),
        table=sql.Identifier("gridproof", _CHANNEL),
        channel=sql.Identifier(_CHANNEL),
    )
    rows = [(one.originator_id, one.originator_version, one.topic, one.state) for one in stored]
    psycopg.ClientCursor(connection).execute(statements, [list(column) for column in zip(*rows, strict=True)])
