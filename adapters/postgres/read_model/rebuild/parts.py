"""The parts of a divided rebuild, and the one row of sums that some of them have a share of."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from adapters.postgres.read_model.rebuild.progress import RebuildProgress, count_rows, log_parts
from adapters.postgres.read_model.row_encoding import text_array
from adapters.postgres.read_model.row_table import RowTable, layout_of
from projections.engine.projection import AnyProjection

Connection = psycopg.Connection[tuple[Any, ...]]

_POSITIONS = "SELECT key, position FROM {table} WHERE generation = %s AND key = ANY(%s::text[])"


def join_shares(connection: Connection, projection: AnyProjection, goal: RebuildProgress) -> None:
    """Put the row of sums in the place of the parts' shares, if there are any: a rebuild that was killed after this
    finds none."""
    keys = [part.share for part in log_parts(projection, len(goal.positions)) if part.share is not None]
    if not keys:
        return
    table = layout_of(projection).table_of_generation(goal.generation)
    rows: RowTable[Any] = RowTable(connection, projection, goal.generation, table=table)
    with connection.transaction():
        statement = sql.SQL(_POSITIONS).format(table=table)
        found = connection.execute(statement, (goal.generation, text_array(keys)))
        positions = {str(key): int(position) for key, position in found}
        whole = projection.joined([(row, positions[key]) for key, row in rows.fetch(keys).items()])
        removed = rows.remove(keys)
        if whole is not None:
            rows.write({}, [whole])
        count_rows(connection, projection, more=(whole is not None) - removed)
