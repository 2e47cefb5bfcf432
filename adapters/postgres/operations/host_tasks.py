"""Tasks for the host in PostgreSQL. All times are those of the database's clock."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import transaction
from application.ports.operations.host_tasks import (
    HISTORY_KINDS,
    HistoryTaskOpen,
    HostState,
    HostTask,
    HostTaskNotAllowed,
    Phase,
    Work,
)
from domain.event_sourcing.decoders import json_decoder

_ADD = "INSERT INTO gridproof.host_tasks (task_id, kind, work, requested_by, trace_id) VALUES (%s, %s, %s, %s, %s)"
_TASKS = """
SELECT task_id, work::text, requested_by, trace_id, state, attempts, phase, done, total, result::text, problem
FROM gridproof.host_tasks
"""
_FIND = f"{_TASKS} WHERE task_id = %s"
_NEWEST = f"{_TASKS} WHERE kind = ANY(%s) ORDER BY ended_at IS NULL DESC, requested_at DESC LIMIT 1"
_OPEN = f"{_TASKS} WHERE ended_at IS NULL ORDER BY requested_at, task_id LIMIT 100"
_STATE = """
SELECT extract(epoch FROM clock_timestamp() - seen_at)::float8, mqtt_port, meter_logins FROM gridproof.host_state
"""
_SHOW = """
INSERT INTO gridproof.host_state (mqtt_port, meter_logins) VALUES (%s, %s)
ON CONFLICT (is_only) DO UPDATE
    SET seen_at = clock_timestamp(), mqtt_port = excluded.mqtt_port, meter_logins = excluded.meter_logins
"""
_BEGIN = """
UPDATE gridproof.host_tasks SET state = 'running', attempts = attempts + 1, phase = NULL, done = 0, total = NULL
WHERE task_id = %s AND ended_at IS NULL
"""
_PROGRESS = """
UPDATE gridproof.host_tasks SET phase = %s, done = %s, total = %s WHERE task_id = %s AND ended_at IS NULL
"""
_END = """
UPDATE gridproof.host_tasks SET state = %s, result = %s, problem = %s, ended_at = clock_timestamp(),
    work = work - 'password_hash'
WHERE task_id = %s AND ended_at IS NULL
"""
_FORGET = "DELETE FROM gridproof.host_tasks WHERE ended_at < clock_timestamp() - %s"


class PostgresHostTasks:
    """`pool` connects as the application's role; as that of the web process it adds and reads tasks only."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def add(self, task_id: UUID, work: Work, *, by: str, trace_id: str) -> None:
        written = msgspec.json.encode(work).decode()
        kind = str(work.__struct_config__.tag)
        try:
            with transaction(self._pool) as connection:
                connection.execute(_ADD, (task_id, kind, written, by, trace_id))
        except psycopg.errors.InsufficientPrivilege:
            raise HostTaskNotAllowed(
                "the database role of this process may ask nothing of `gridproof up`; use the command, or give the web "
                "process the role gridproof_web (docs/guides/production.md)"
            ) from None
        except psycopg.errors.UniqueViolation:
            raise HistoryTaskOpen(
                "another file of past readings is worked on; wait until it is done"
            ) from None

    def find(self, task_id: UUID) -> HostTask | None:
        return next(iter(self._read(_FIND, task_id)), None)

    def newest_history(self) -> HostTask | None:
        return next(iter(self._read(_NEWEST, list(HISTORY_KINDS))), None)

    def open_tasks(self) -> Sequence[HostTask]:
        return self._read(_OPEN)

    def _read(self, query: str, *parameters: Any) -> list[HostTask]:
        with transaction(self._pool) as connection:
            return [_task(row) for row in connection.execute(query.encode(), parameters)]

    def state(self) -> HostState | None:
        with transaction(self._pool) as connection:
            row = connection.execute(_STATE).fetchone()
        if row is None:
            return None
        age_s, mqtt_port, logins = row
        return HostState(
            age_s=age_s, mqtt_port=mqtt_port, meter_logins=None if logins is None else tuple(logins)
        )

    def show_state(self, *, mqtt_port: int | None, meter_logins: Sequence[str] | None) -> None:
        logins = None if meter_logins is None else list(meter_logins)
        self._write(_SHOW, mqtt_port, logins)

    def begin(self, task_id: UUID) -> None:
        self._write(_BEGIN, task_id)

    def note_progress(self, task_id: UUID, phase: Phase, done: int, total: int | None) -> None:
        self._write(_PROGRESS, phase, done, total, task_id)

    def end(self, task_id: UUID, *, result: msgspec.Raw | None = None, problem: str | None = None) -> None:
        written = None if result is None else bytes(result).decode()
        self._write(_END, "done" if problem is None else "refused", written, problem, task_id)

    def forget(self, older_than: timedelta) -> None:
        self._write(_FORGET, older_than)

    def _write(self, statement: str, *parameters: Any) -> None:
        with transaction(self._pool) as connection:
            connection.execute(statement.encode(), parameters)


def _task(row: Sequence[Any]) -> HostTask:
    task_id, work, by, trace_id, state, attempts, phase, done, total, result, problem = row
    return HostTask(
        task_id=task_id,
        work=json_decoder(Work).decode(work),
        requested_by=by,
        trace_id=trace_id,
        state=state,
        attempts=attempts,
        phase=phase,
        done=done,
        total=total,
        result=None if result is None else msgspec.Raw(result.encode()),
        problem=problem,
    )
