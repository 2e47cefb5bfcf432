"""Temperatures of weather cells in PostgreSQL: one row for each cell and UTC day."""

from datetime import date, datetime
from typing import Any

from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import transaction
from application.ports.weather.temperatures import StoredTemperatures
from application.weather.cell_days import CellDay, day_rows, days_of, hours_stored, quarter_hours_stored
from domain.time_series.windows import IntervalSeries, TimeWindow

_OF = "SELECT day, temp_c, is_final FROM gridproof.temperatures WHERE cell = %s AND day BETWEEN %s AND %s"
_RECORD = """
INSERT INTO gridproof.temperatures AS stored (cell, day, temp_c, is_final)
VALUES (%s, %s, %s::double precision[], %s)
ON CONFLICT (cell, day) DO UPDATE SET is_final = stored.is_final OR excluded.is_final, temp_c = ARRAY(
    SELECT coalesce(later, earlier)
    FROM unnest(excluded.temp_c, stored.temp_c) WITH ORDINALITY AS hours (later, earlier, number) ORDER BY number
)
"""
_DELETE = "DELETE FROM gridproof.temperatures WHERE day < %s"


class PostgresCellTemperatures:
    """Implements CellTemperatures."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def temperatures_of(self, cell: str, window: TimeWindow, *, final_only: bool = False) -> IntervalSeries:
        return quarter_hours_stored(window, self._days(cell, window), final_only=final_only)

    def stored(self, cell: str, window: TimeWindow) -> StoredTemperatures:
        return hours_stored(window, self._days(cell, window))

    def record(self, cell: str, temp_c: IntervalSeries, *, final_until: datetime) -> None:
        rows = [
            (cell, day, list(known.temp_c), known.is_final) for day, known in day_rows(temp_c, final_until)
        ]
        if rows:
            with transaction(self._pool) as connection, connection.cursor() as cursor:
                cursor.executemany(_RECORD, rows)

    def delete_before(self, day: date) -> int:
        with transaction(self._pool) as connection:
            return connection.execute(_DELETE, (day,)).rowcount

    def _days(self, cell: str, window: TimeWindow) -> dict[date, CellDay]:
        with transaction(self._pool) as connection:
            rows = connection.execute(_OF, (cell, *days_of(window))).fetchall()
        return {day: CellDay(tuple(temp_c), is_final) for day, temp_c, is_final in rows}
