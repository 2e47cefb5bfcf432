"""Forecast scores in PostgreSQL: daily sums, to which one transaction per hour adds, with the hour that was
scored last."""

from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import transaction
from application.ports.forecast.scores import ErrorCorrelation, ForecastScore

HOUR = timedelta(hours=1)
_BEGIN = """
INSERT INTO gridproof.forecast_scoring_progress (scored_through) VALUES (%s) ON CONFLICT DO NOTHING RETURNING 1
"""
_ADVANCE = (
    "UPDATE gridproof.forecast_scoring_progress SET scored_through = %s WHERE scored_through = %s RETURNING 1"
)
_KEY, _PAIR_KEY = ("facility_id", "lead_h", "data_quality"), ("lead_h",)
_SUMS = tuple(name for name in ForecastScore.__struct_fields__ if name not in _KEY)
_PAIR_SUMS = tuple(name for name in ErrorCorrelation.__struct_fields__ if name not in _PAIR_KEY)
_TYPES = {"facility_id": "text", "data_quality": "text", "lead_h": "smallint"} | dict.fromkeys(
    ("quarters", "below", "above", "compared"), "integer"
)


def _add(table: str, key: Sequence[str], sums: Sequence[str]) -> str:
    names = (*key, *sums)
    arrays = ", ".join(f"%s::{_TYPES.get(name, 'double precision')}[]" for name in names)
    added = ", ".join(f"{name} = kept.{name} + excluded.{name}" for name in sums)
    return (
        f"INSERT INTO gridproof.{table} AS kept (day, {', '.join(names)}) "  # noqa: S608 - our own names
        f"SELECT %s, * FROM unnest({arrays}) ON CONFLICT (day, {', '.join(key)}) DO UPDATE SET {added}"
    )


def _total(table: str, key: Sequence[str], sums: Sequence[str], where: str = "") -> str:
    keys = ", ".join(key)
    # PostgreSQL's sum of integers is a bigint, which Python reads as int.
    added = ", ".join(f"sum({name})" for name in sums)
    return (
        f"SELECT {keys}, {added} FROM gridproof.{table} "  # noqa: S608 - likewise
        f"WHERE day BETWEEN %s AND %s{where} GROUP BY {keys} ORDER BY {keys}"
    )


_ADD_SCORES = _add("forecast_scores", _KEY, _SUMS)
_ADD_PAIRS = _add("forecast_correlations", _PAIR_KEY, _PAIR_SUMS)
_TOTALS = _total("forecast_scores", _KEY, _SUMS)
_TOTALS_OF = _total("forecast_scores", _KEY, _SUMS, " AND facility_id = ANY(%s)")
_PAIRS = _total("forecast_correlations", _PAIR_KEY, _PAIR_SUMS)


class PostgresForecastScores:
    """Implements ForecastScores."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def scored_through(self) -> datetime | None:
        with transaction(self._pool) as connection:
            row = connection.execute(
                "SELECT scored_through FROM gridproof.forecast_scoring_progress"
            ).fetchone()
        return None if row is None else row[0].astimezone(UTC)

    def record(
        self,
        hour: datetime,
        scores: Sequence[ForecastScore],
        correlations: Sequence[ErrorCorrelation],
        *,
        after: datetime | None,
    ) -> bool:
        ends_at = hour + HOUR
        with transaction(self._pool) as connection:
            if after is None:
                moved = connection.execute(_BEGIN, (ends_at,)).fetchone()
            else:
                moved = connection.execute(_ADVANCE, (ends_at, after)).fetchone()
            if moved is None:
                return False
            day = hour.astimezone(UTC).date()
            if scores:
                connection.execute(_ADD_SCORES, (day, *_columns(scores, (*_KEY, *_SUMS))))
            if correlations:
                connection.execute(_ADD_PAIRS, (day, *_columns(correlations, (*_PAIR_KEY, *_PAIR_SUMS))))
        return True

    def totals(
        self, first: date, last: date, facility_ids: Collection[str] | None = None
    ) -> list[ForecastScore]:
        with transaction(self._pool) as connection:
            if facility_ids is None:
                rows = connection.execute(_TOTALS, (first, last)).fetchall()
            else:
                rows = connection.execute(_TOTALS_OF, (first, last, list(facility_ids))).fetchall()
        names = (*_KEY, *_SUMS)
        return [ForecastScore(**dict(zip(names, row, strict=True))) for row in rows]

    def correlations(self, first: date, last: date) -> list[ErrorCorrelation]:
        with transaction(self._pool) as connection:
            rows = connection.execute(_PAIRS, (first, last)).fetchall()
        names = (*_PAIR_KEY, *_PAIR_SUMS)
        return [ErrorCorrelation(**dict(zip(names, row, strict=True))) for row in rows]

    def delete_before(self, day: date) -> int:
        with transaction(self._pool) as connection:
            deleted = connection.execute(
                "DELETE FROM gridproof.forecast_scores WHERE day < %s", (day,)
            ).rowcount
            connection.execute("DELETE FROM gridproof.forecast_correlations WHERE day < %s", (day,))
        return deleted


def _columns(rows: Sequence[msgspec.Struct], names: Sequence[str]) -> list[list[object]]:
    return [[getattr(row, name) for row in rows] for name in names]
