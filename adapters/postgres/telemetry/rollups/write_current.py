"""Storage of current values from finalized quarter-hours, in the caller's transaction."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import psycopg

from adapters.postgres.telemetry.dirty_intervals import columns
from adapters.postgres.telemetry.readings.latest import VALUES, ValueKey, look_back
from adapters.postgres.telemetry.rollups.compute import NewestOfMeter
from adapters.postgres.wire_format.array_parameters import doubles, moments, texts
from application.ports.telemetry.progress import Quarter

Connection = psycopg.Connection[Any]

_CURRENT = """
INSERT INTO current_values AS c
    (facility_id, meter_id, first_reading_at, newest_reading_at, kw, kw_at, kwh_total, kwh_total_at)
SELECT facility_id, meter_id, first_at, newest_at, nullif(kw, 'NaN'), CASE WHEN kw <> 'NaN' THEN kw_at END,
    nullif(kwh, 'NaN'), CASE WHEN kwh <> 'NaN' THEN kwh_at END
FROM unnest(%s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::float8[], %s::timestamptz[],
    %s::float8[], %s::timestamptz[]) AS n (facility_id, meter_id, first_at, newest_at, kw, kw_at, kwh, kwh_at)
ON CONFLICT (facility_id, meter_id) DO UPDATE SET
    first_reading_at = least(c.first_reading_at, EXCLUDED.first_reading_at),
    newest_reading_at = greatest(c.newest_reading_at, EXCLUDED.newest_reading_at),
    kw = CASE WHEN c.kw_at IS NULL OR EXCLUDED.kw_at >= c.kw_at THEN EXCLUDED.kw ELSE c.kw END,
    kw_at = greatest(c.kw_at, EXCLUDED.kw_at),
    kwh_total = CASE WHEN c.kwh_total_at IS NULL OR EXCLUDED.kwh_total_at >= c.kwh_total_at
        THEN EXCLUDED.kwh_total ELSE c.kwh_total END,
    kwh_total_at = greatest(c.kwh_total_at, EXCLUDED.kwh_total_at)
"""

# A quarter-hour that is finalized again replaces its earlier value.
_CLEAR_OUTDATED = """
UPDATE current_values c SET {value} = NULL, {value}_at = NULL
FROM unnest(%s::text[], %s::timestamptz[]) t (facility_id, starts_at)
WHERE c.facility_id = t.facility_id
    AND c.{value}_at >= t.starts_at AND c.{value}_at < t.starts_at + interval '15 minutes'
RETURNING c.facility_id, c.meter_id, t.starts_at
"""


def write_current_values(
    conn: Connection, newest: Sequence[NewestOfMeter], refinalized: Sequence[Quarter]
) -> None:
    """Store the `newest` values of finalized quarter-hours, in order of time. `refinalized` ones were
    finalized before."""
    outdated = _clear_outdated(conn, refinalized)
    _upsert(conn, newest)
    _upsert(conn, _look_up_earlier(conn, outdated, newest))


def _upsert(conn: Connection, newest: Sequence[NewestOfMeter]) -> None:
    """Later values replace earlier ones."""
    merged: dict[tuple[str, str], NewestOfMeter] = {}
    for one in newest:
        before = merged.get((one.facility_id, one.meter_id))
        merged[one.facility_id, one.meter_id] = one if before is None else one.after(before)
    if merged:
        rows = merged.values()
        conn.execute(
            _CURRENT,
            (
                texts([one.facility_id for one in rows]),
                texts([one.meter_id for one in rows]),
                moments([one.first_at for one in rows]),
                moments([one.newest_at for one in rows]),
                doubles(np.array([one.kw for one in rows], dtype=np.float64)),
                moments([one.kw_at or one.newest_at for one in rows]),
                doubles(np.array([one.kwh_total for one in rows], dtype=np.float64)),
                moments([one.kwh_total_at or one.newest_at for one in rows]),
            ),
        )


def _clear_outdated(conn: Connection, refinalized: Sequence[Quarter]) -> dict[ValueKey, datetime]:
    """Clear current values that came from `refinalized` quarter-hours. Returns them with the starts of these."""
    cleared: dict[ValueKey, datetime] = {}
    if refinalized:
        for value in VALUES:
            query = _CLEAR_OUTDATED.format(value=value).encode()
            for facility_id, meter_id, start in conn.execute(query, columns(refinalized)):
                cleared[facility_id, meter_id, value] = start.astimezone(UTC)
    return cleared


def _look_up_earlier(
    conn: Connection, outdated: Mapping[ValueKey, datetime], newest: Sequence[NewestOfMeter]
) -> list[NewestOfMeter]:
    """Earlier values of meters whose quarter-hours have no usable reading any more."""
    present = {(one.facility_id, one.meter_id, "kw") for one in newest if one.kw_at is not None}
    present |= {
        (one.facility_id, one.meter_id, "kwh_total") for one in newest if one.kwh_total_at is not None
    }
    earlier = look_back(conn, {key: start for key, start in outdated.items() if key not in present})
    return [
        NewestOfMeter(*meter, one.newest_at, *msgspec.structs.astuple(one)) for meter, one in earlier.items()
    ]
