"""Presence of meters in the quarter-hours of a day, recorded by finalization in the caller's transaction."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Any

import psycopg

from adapters.postgres.wire_format.array_parameters import dates, moments, texts
from application.ports.telemetry.progress import Quarter
from domain.telemetry.active_meters import QUARTERS_A_DAY, day_of, quarter_number

Connection = psycopg.Connection[Any]

_PRESENCE = """
WITH grown AS (
    INSERT INTO meter_days AS d (facility_id, day, meter_id, quarters)
    SELECT facility_id, day, meter_id, bits::bit(96)
    FROM unnest(%(facilities)s::text[], %(days)s::date[], %(meters)s::text[], %(bits)s::text[])
        n (facility_id, day, meter_id, bits)
    ON CONFLICT (facility_id, day, meter_id) DO UPDATE SET quarters = d.quarters | EXCLUDED.quarters
        WHERE (d.quarters | EXCLUDED.quarters) <> d.quarters
    RETURNING facility_id, day, meter_id
), later AS (
    SELECT n.facility_id, n.day, min(n.first_at) AS first_at
    FROM grown g JOIN unnest(%(facilities)s::text[], %(days)s::date[], %(meters)s::text[], %(firsts)s::timestamptz[])
        n (facility_id, day, meter_id, first_at) USING (facility_id, day, meter_id)
    GROUP BY 1, 2
)
-- A meter that appeared late also counts in the finalized quarter-hours of the next day: mark them dirty.
INSERT INTO unsettled_quarters (facility_id, starts_at, partition)
SELECT DISTINCT r.facility_id, r.starts_at, %(partition)s::smallint
FROM later l JOIN rollups r ON r.facility_id = l.facility_id AND r.step_s = 900
    AND r.starts_at > l.first_at AND r.starts_at < (l.day + 2)::timestamp AT TIME ZONE 'UTC'
ON CONFLICT DO NOTHING
"""


def record_presence(conn: Connection, partition: int, present: Mapping[Quarter, Sequence[str]]) -> None:
    """`present`: the meters with readings in each quarter-hour."""
    bits: dict[tuple[str, date, str], int] = {}
    firsts: dict[tuple[str, date, str], datetime] = {}
    for (facility_id, start), meters in present.items():
        quarter = quarter_number(start)
        bit = 1 << quarter % QUARTERS_A_DAY
        for meter_id in meters:
            key = (facility_id, day_of(quarter), meter_id)
            bits[key] = bits.get(key, 0) | bit
            firsts[key] = min(start, firsts.get(key, start))
    if not bits:
        return
    facilities, days, meter_ids = zip(*bits, strict=True)
    params = {
        "facilities": texts(facilities),
        "days": dates(days),
        "meters": texts(meter_ids),
        "bits": texts([_bit_string(value) for value in bits.values()]),
        "firsts": moments(list(firsts.values())),
    }
    conn.execute(_PRESENCE, {**params, "partition": partition})


@lru_cache(maxsize=1024)
def _bit_string(value: int) -> str:
    return f"{value:0{QUARTERS_A_DAY}b}"[::-1]
