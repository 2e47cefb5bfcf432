"""The record of administrative acts in PostgreSQL."""

from collections.abc import Sequence
from datetime import UTC
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import transaction
from adapters.postgres.event_store.acts import WallTime, append_acts
from application.ports.operations.act_log import AppliedMigration
from application.ports.operations.unavailable import OperationsUnavailable
from domain.administration import AdministrativeAct

_RECORDED = """
SELECT originator_id FROM gridproof.demand_response_events WHERE originator_id = ANY(%s) AND originator_version = 1
"""
_MIGRATIONS = "SELECT name, applied_at FROM gridproof.migrations ORDER BY name"


class PostgresActLog:
    """`pool` connects as the application's role."""

    def __init__(self, pool: ConnectionPool[Any], wall_time: WallTime = None) -> None:
        self._pool = pool
        self._wall_time = wall_time

    def record(self, acts: Sequence[AdministrativeAct]) -> int:
        try:
            with transaction(self._pool) as connection:
                known = {row[0] for row in connection.execute(_RECORDED, ([act.id for act in acts],))}
                new = [act for act in acts if act.id not in known]
                append_acts(connection, new, self._wall_time)
        except psycopg.errors.UniqueViolation as error:
            raise OperationsUnavailable(
                "another process was recording the same administrative acts: try again"
            ) from error
        return len(new)

    def migrations(self) -> list[AppliedMigration]:
        with transaction(self._pool) as connection:
            rows = connection.execute(_MIGRATIONS).fetchall()
        return [AppliedMigration(name, applied_at.astimezone(UTC)) for name, applied_at in rows]
