"""Appends administrative acts to the log in the transaction of the rows that they are about.

Group commit has transactions of its own, which no other statement joins. Acts are rare, so they take the lock of the
log by themselves: in the same order, and with the same notification, as every other save.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from adapters.postgres.event_store.statements import DATED_AHEAD, in_time, record_timeline
from application.event_store.demand_response import DemandResponse
from application.event_store.event_mapper import to_stored_event
from application.ports.clock import ClockSkewed
from domain.administration import AdministrativeAct

WallTime = Callable[[datetime], datetime] | None
"""When the machine's clock shows a time of the system's clock; None: a clock that does not follow the machine's, whose
times are not compared with the database's."""
WITHIN_S = 5.0
"""For the lock of the log, and then for the commit. A process that is stopped in between loses its session, and with
it the lock, which every save waits for."""

# One message of the simple protocol: no process can be stopped between the lock and what needs it.
_APPEND = sql.SQL(
    "SET LOCAL lock_timeout = {within}; SET LOCAL idle_in_transaction_session_timeout = {within};"
    " LOCK TABLE {table} IN EXCLUSIVE MODE; NOTIFY {channel}; {timeline};"
    " WITH appended AS ("
    "INSERT INTO {table} (originator_id, originator_version, topic, state)"
    " SELECT i, v, t, s FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::bytea[])"
    " WITH ORDINALITY AS u (i, v, t, s, n) WHERE {in_time} ORDER BY n RETURNING notification_id)"
    " INSERT INTO gridproof.administrative_acts (position) SELECT notification_id FROM appended"
)
_CHANNEL = f"{DemandResponse.name}_events"


def append_acts(
    connection: psycopg.Connection[Any], acts: Sequence[AdministrativeAct], wall_time: WallTime
) -> None:
    """Call it last: until the commit, every save waits. The caller's transaction commits, within WITHIN_S.

    Raises ClockSkewed if an act is dated ahead of the database's clock, and psycopg.errors.UniqueViolation where one
    was recorded before. The transaction is then to be rolled back.
    """
    recorded: list[Any] = [domain_event for act in acts for domain_event in act.collect_events()]
    if not recorded:
        return
    latest_at = (
        "-infinity" if wall_time is None else wall_time(max(one.recorded_at for one in recorded)).isoformat()
    )
    statements = _APPEND.format(
        within=sql.Literal(f"{WITHIN_S * 1_000:.0f}ms"),
        table=sql.Identifier("gridproof", _CHANNEL),
        channel=sql.Identifier(_CHANNEL),
        timeline=record_timeline("gridproof", _CHANNEL),
        in_time=in_time("%s"),
    )
    rows = [
        (one.originator_id, one.originator_version, one.topic, one.state)
        for one in map(to_stored_event, recorded)
    ]
    cursor = psycopg.ClientCursor(connection)
    cursor.execute(statements, [*map(list, zip(*rows, strict=True)), latest_at])
    while cursor.nextset():  # the last statement's is the number of acts
        pass
    if not cursor.rowcount:
        raise ClockSkewed(DATED_AHEAD)
