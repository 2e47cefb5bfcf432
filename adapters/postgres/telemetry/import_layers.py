"""The layers of imported history, in the caller's transaction: what each import said, so that it can be taken back.

An imported row of `interval_readings` has, in each column, the newest known value of the layers over its interval. What
was stored without a layer (by no recorded import) is made one, the newest of them, before
something is put over it or taken from below it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from adapters.postgres.wire_format.array_parameters import ArrayParam
from application.ports.telemetry.imported_history import RowsTakenBack
from application.ports.telemetry.store import ReadingsRefused

Connection = psycopg.Connection[Any]

_ORDERED_IMPORTS = 0x7E21
# Held until the commit, so that the order of layers is that in which rows were written.
_LOCK = "SELECT pg_advisory_xact_lock(%s, 0)"
# Blocks a take-back until the rows of this transaction are stored.
_IS_OPEN = """
SELECT taken_back_at IS NULL FROM gridproof.history_imports WHERE import_id = %s FOR SHARE
"""

_GIVEN = """
SELECT facility_id, starts_at, step_s
FROM unnest(%(facility_id)s::text[], %(starts_at)s::timestamptz[], %(step_s)s::int4[])
    AS g (facility_id, starts_at, step_s)
"""
_OF_LAYER = """
SELECT l.facility_id, v.starts_at, l.step_s FROM gridproof.import_layers l, unnest(l.starts_at) AS v (starts_at)
WHERE l.layer_id = %(layer)s
"""
# What the layers say of the intervals `n`; NaN where none knows.
_SAID = """
spans AS (SELECT facility_id, step_s, min(starts_at) AS low, max(starts_at) AS high FROM n GROUP BY 1, 2),
said AS (
    SELECT l.facility_id, v.starts_at, l.step_s,
        coalesce((array_agg(v.mean_kw ORDER BY l.layer_id DESC) FILTER (WHERE v.mean_kw <> 'NaN'))[1], 'NaN')
            AS mean_kw,
        coalesce((array_agg(v.temp_c ORDER BY l.layer_id DESC) FILTER (WHERE v.temp_c <> 'NaN'))[1], 'NaN') AS temp_c
    FROM spans s
    JOIN gridproof.import_layers l ON l.facility_id = s.facility_id AND l.step_s = s.step_s
        AND l.first_at <= s.high AND l.last_at >= s.low AND l.layer_id IS DISTINCT FROM %(without)s::bigint,
    unnest(l.starts_at, l.mean_kw, l.temp_c) AS v (starts_at, mean_kw, temp_c)
    WHERE v.starts_at BETWEEN s.low AND s.high
    GROUP BY 1, 2, 3
)
"""
_KEEP_UNSAID = """
WITH n AS ({intervals}), {said}, unsaid AS (
    SELECT i.facility_id, i.starts_at, i.step_s,
        CASE WHEN i.mean_kw IS NOT DISTINCT FROM nullif(s.mean_kw, 'NaN') THEN 'NaN'
            ELSE coalesce(i.mean_kw, 'NaN') END AS mean_kw,
        CASE WHEN i.temp_c IS NOT DISTINCT FROM nullif(s.temp_c, 'NaN') THEN 'NaN'
            ELSE coalesce(i.temp_c, 'NaN') END AS temp_c
    FROM n JOIN interval_readings i USING (facility_id, starts_at, step_s)
    LEFT JOIN said s USING (facility_id, starts_at, step_s)
    WHERE i.source = 'import' AND (s.mean_kw IS NULL
        OR (i.mean_kw, i.temp_c) IS DISTINCT FROM (nullif(s.mean_kw, 'NaN'), nullif(s.temp_c, 'NaN')))
)
INSERT INTO gridproof.import_layers (facility_id, step_s, first_at, last_at, starts_at, mean_kw, temp_c)
SELECT facility_id, step_s, min(starts_at), max(starts_at), array_agg(starts_at ORDER BY starts_at),
    array_agg(mean_kw ORDER BY starts_at), array_agg(temp_c ORDER BY starts_at)
FROM unsaid GROUP BY facility_id, step_s
"""
_KEEP_UNSAID_GIVEN = _KEEP_UNSAID.format(intervals=_GIVEN, said=_SAID)
_KEEP_UNSAID_OF_LAYER = _KEEP_UNSAID.format(intervals=_OF_LAYER, said=_SAID)
_PUT_LAYER = """
INSERT INTO gridproof.import_layers (import_id, facility_id, step_s, first_at, last_at, starts_at, mean_kw, temp_c)
SELECT %(import_id)s, facility_id, step_s, min(starts_at), max(starts_at), array_agg(starts_at ORDER BY starts_at),
    array_agg(mean_kw ORDER BY starts_at), array_agg(temp_c::real ORDER BY starts_at)
FROM unnest(%(facility_id)s::text[], %(starts_at)s::timestamptz[], %(step_s)s::int4[], %(mean_kw)s::float8[],
    %(temp_c)s::float8[]) AS g (facility_id, starts_at, step_s, mean_kw, temp_c)
GROUP BY facility_id, step_s
"""
_NEXT_LAYER = """
SELECT layer_id, first_at, last_at + step_s * interval '1 second' FROM gridproof.import_layers
WHERE import_id = %s AND facility_id = %s ORDER BY layer_id DESC LIMIT 1
"""
# All parts of a statement see the layer that it deletes: `said` leaves it out by its number.
_REMOVE = """
WITH n AS ({intervals}), {said},
gone AS (DELETE FROM gridproof.import_layers WHERE layer_id = %(layer)s),
removed AS (
    DELETE FROM interval_readings i
    USING (SELECT n.* FROM n LEFT JOIN said s USING (facility_id, starts_at, step_s) WHERE s.mean_kw IS NULL) u
    WHERE (i.facility_id, i.starts_at, i.step_s, i.source) = (u.facility_id, u.starts_at, u.step_s, 'import')
    RETURNING 1
),
restored AS (
    UPDATE interval_readings i SET mean_kw = nullif(s.mean_kw, 'NaN'),
        kwh = nullif(s.mean_kw, 'NaN') * s.step_s / 3600,
        coverage_pct = CASE WHEN s.mean_kw = 'NaN' THEN 0 ELSE 100 END, temp_c = nullif(s.temp_c, 'NaN'),
        updated_at = %(at)s
    FROM n JOIN said s USING (facility_id, starts_at, step_s)
    WHERE (i.facility_id, i.starts_at, i.step_s, i.source) = (s.facility_id, s.starts_at, s.step_s, 'import')
        AND (i.mean_kw, i.temp_c) IS DISTINCT FROM (nullif(s.mean_kw, 'NaN'), nullif(s.temp_c, 'NaN'))
    RETURNING 1
)
SELECT (SELECT count(*) FROM n), (SELECT count(*) FROM removed), (SELECT count(*) FROM restored)
"""
_REMOVE_LAYER = _REMOVE.format(intervals=_OF_LAYER, said=_SAID)


class Layer(NamedTuple):
    """A part of an import, of one facility."""

    layer_id: int
    starts_at: datetime
    ends_at: datetime


def order_imports(conn: Connection) -> None:
    """Let no other transaction write imported history until this one ends."""
    conn.execute(_LOCK, (_ORDERED_IMPORTS,))


def put_layer(conn: Connection, import_id: UUID, rows: Mapping[str, ArrayParam]) -> None:
    """Record what an import says, before it is stored. Raises ReadingsRefused for one that is not begun, or was taken
    back."""
    order_imports(conn)
    conn.execute(_KEEP_UNSAID_GIVEN, {**rows, "without": None})
    row = conn.execute(_IS_OPEN, (import_id,)).fetchone()
    if row is None or not row[0]:
        raise ReadingsRefused(f"import {import_id} {'was taken back' if row else 'was not begun'}")
    conn.execute(_PUT_LAYER, {**rows, "import_id": import_id})


def next_layer(conn: Connection, import_id: UUID, facility_id: str) -> Layer | None:
    """The newest one of the import that is left."""
    row = conn.execute(_NEXT_LAYER, (import_id, facility_id)).fetchone()
    return None if row is None else Layer(row[0], row[1].astimezone(UTC), row[2].astimezone(UTC))


def remove_layer(conn: Connection, layer: Layer, *, at: datetime) -> RowsTakenBack:
    """The caller holds the lock of `order_imports`."""
    conn.execute(_KEEP_UNSAID_OF_LAYER, {"layer": layer.layer_id, "without": None})
    row = conn.execute(
        _REMOVE_LAYER, {"layer": layer.layer_id, "without": layer.layer_id, "at": at}
    ).fetchone()
    intervals, removed, restored = row if row is not None else (0, 0, 0)
    return RowsTakenBack(removed=removed, restored=restored, kept=intervals - removed - restored)
