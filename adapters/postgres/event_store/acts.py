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
from application.event_store.event_mapper import MsgspecMapper
from domain.administration import AdministrativeAct

_TABLE = f"{DemandResponse.name}_events"
_LOCK_WITHIN = "5s"
_LOCK = sql.SQL("LOCK TABLE gridproof.{} IN EXCLUSIVE MODE").format(sql.Identifier(_TABLE))
_INSERT = sql.SQL(
    "INSERT INTO gridproof.{} (originator_id, originator_version, topic, state) VALUES (%s, %s, %s, %s)"
    " RETURNING notification_id"
).format(sql.Identifier(_TABLE))
_LIST = "INSERT INTO gridproof.administrative_acts (position) VALUES (%s)"
_NOTIFY = sql.SQL("NOTIFY {}").format(sql.Identifier(_TABLE))


def append_acts(connection: psycopg.Connection[Any], acts: Sequence[AdministrativeAct]) -> None:
    """Call it last: until the commit, every save waits. The caller's transaction commits.

    Raises psycopg.errors.UniqueViolation where an act was recorded before.
    """
    mapper = MsgspecMapper.__new__(MsgspecMapper)  # neither a transcoder nor a cipher is used
    stored = [mapper.to_stored_event(recorded) for act in acts for recorded in act.collect_events()]
    if not stored:
        return
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(_LOCK_WITHIN)))
    connection.execute(_LOCK)
    for one in stored:
        row = (one.originator_id, one.originator_version, one.topic, one.state)
        connection.execute(_LIST, connection.execute(_INSERT, row).fetchone())
    connection.execute(_NOTIFY)
