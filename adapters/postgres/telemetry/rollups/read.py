"""Queries for rollups on PostgreSQL: finalized ones from their table, replaced by recomputed ones where
intervals are dirty."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import psycopg
from psycopg_pool import ConnectionPool

from adapters.postgres.telemetry.rollups.compute import ComputedQuarters, compute_dirty
from adapters.postgres.telemetry.rollups.finalize import finalize_quarters
from adapters.postgres.telemetry.transaction import telemetry_transaction
from application.ports.clock import Clock
from application.ports.telemetry.rollups import STEPS_S, CorrectedInterval, FinalizeResult
from application.telemetry.store_health import TelemetryHealth
from domain.telemetry.facility_rollups import (
    HOUR_S,
    QUARTERS,
    RollupColumns,
    RollupSeries,
    columns_of,
    hour_of_quarters,
)
from domain.telemetry.intervals import INTERVAL_S
from domain.telemetry.minute_ranges import MINUTE_S
from domain.time_series.windows import NotAligned, TimeWindow

_STORED = """
SELECT starts_at, mean_kw, kwh, min_kw, max_kw, coverage_pct, readings, replaced FROM rollups
WHERE facility_id = %s AND step_s = %s AND starts_at >= %s AND starts_at < %s
"""
_CORRECTIONS = """
SELECT correction_id, facility_id, starts_at, old_mean_kw, new_mean_kw, old_kwh, new_kwh, corrected_at
FROM telemetry_corrections WHERE correction_id > %s ORDER BY correction_id LIMIT %s
"""

Row = tuple[float, ...]
"""One rollup, in the order of RollupColumns."""
Rows = dict[datetime, Row]
_GAP: Row = (np.nan, np.nan, np.nan, np.nan, 0.0, 0, 0)


class PostgresTelemetryRollups:
    """`pool`'s connections find the schema by their search_path; `clock` determines which quarter-hours are
    over."""

    def __init__(
        self, pool: ConnectionPool[Any], clock: Clock, health: TelemetryHealth | None = None
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._health = health or TelemetryHealth()

    def rollups(self, facility_id: str, window: TimeWindow, step_s: int) -> RollupSeries:
        if step_s not in STEPS_S:
            raise NotAligned(f"there are rollups of {', '.join(map(str, STEPS_S))} s, not of {step_s} s")
        with telemetry_transaction(self._pool, self._health.timed("rollups")) as conn:
            computed = compute_dirty(conn, [facility_id], *_hours_around(window))
            rows = _stored(conn, facility_id, step_s, window.starts_at, window.ends_at)
            if computed is not None:
                rows |= _computed_rows(conn, computed, facility_id, step_s)
        last = window.ends_at - timedelta(seconds=step_s)
        inside = sorted(
            start for start in rows if window.starts_at <= start <= last and _has_data(rows[start])
        )
        return RollupSeries(facility_id, step_s, tuple(inside), columns_of([rows[start] for start in inside]))

    def finalize(self, partition: int, *, limit: int) -> FinalizeResult:
        with telemetry_transaction(self._pool, partitions=[partition]) as conn:
            return finalize_quarters(conn, partition, at=self._clock.now(), limit=limit)

    def corrections_after(self, correction_id: int, *, limit: int) -> list[CorrectedInterval]:
        with telemetry_transaction(self._pool, self._health.timed("corrections")) as conn:
            rows = conn.execute(_CORRECTIONS, (correction_id, limit)).fetchall()
        names = CorrectedInterval.__struct_fields__
        corrections = [CorrectedInterval(**dict(zip(names, row, strict=True))) for row in rows]
        return [
            msgspec.structs.replace(
                one, starts_at=one.starts_at.astimezone(UTC), corrected_at=one.corrected_at.astimezone(UTC)
            )
            for one in corrections
        ]


def _has_data(row: Row) -> bool:
    *_, coverage_pct, readings, _ = row
    return coverage_pct > 0 or readings > 0


def _hours_around(window: TimeWindow) -> tuple[datetime, datetime]:
    ends_at = _hour(window.ends_at)
    return _hour(window.starts_at), ends_at + timedelta(hours=ends_at < window.ends_at)


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _stored(
    conn: psycopg.Connection[Any], facility_id: str, step_s: int, starts_from: datetime, ends_at: datetime
) -> Rows:
    rows = conn.execute(_STORED, (facility_id, step_s, starts_from, ends_at)).fetchall()
    return {
        row[0].astimezone(UTC): tuple(np.nan if value is None else value for value in row[1:]) for row in rows
    }


def _computed_rows(
    conn: psycopg.Connection[Any], computed: ComputedQuarters, facility_id: str, step_s: int
) -> Rows:
    """The recomputed rows, which replace the stored ones."""
    seen = [n for n in range(len(computed.quarters)) if computed.rows_seen[n]]
    if step_s == MINUTE_S:
        return {
            computed.quarters[n][1] + timedelta(minutes=k): _row(computed.minutes, n, k)
            for n in seen
            for k in range(computed.minutes.mean_kw.shape[1])
        }
    quarters = {computed.quarters[n][1]: _row(computed.whole, n, 0) for n in seen}
    if step_s == INTERVAL_S:
        return quarters
    hours = sorted({_hour(start) for start in quarters})
    if not hours:
        return {}
    finalized = _stored(conn, facility_id, INTERVAL_S, hours[0], hours[-1] + timedelta(seconds=HOUR_S))
    return {hour: _hour_row(finalized | quarters, hour) for hour in hours}


def _hour_row(quarters: Rows, hour: datetime) -> Row:
    four = columns_of([quarters.get(hour + timedelta(seconds=INTERVAL_S * n), _GAP) for n in range(QUARTERS)])
    shaped = RollupColumns(*(getattr(four, name).reshape(1, QUARTERS) for name in four.__struct_fields__))
    whole = hour_of_quarters(shaped)
    return tuple(getattr(whole, name)[0].item() for name in whole.__struct_fields__)


def _row(columns: RollupColumns, n: int, k: int) -> Row:
    return tuple(getattr(columns, name)[n, k].item() for name in columns.__struct_fields__)
