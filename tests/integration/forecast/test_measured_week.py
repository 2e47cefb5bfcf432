"""A week of DR events on a real PostgreSQL: recorded figures equal `baseline compute` on the exported readings."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from pathlib import Path

import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from application.event_store.demand_response import DemandResponse
from tests.fakes.clock import FakeClock
from tests.independent_baseline import Comparison, export_from
from tests.servers import Database
from tests.simulated_year import FIRST, TZ, SimulatedYear

MONDAY = date(2026, 10, 26)
WEEK = [
    ("caiso", "14:00", 120),
    ("pjm", "15:05", 130),
    ("own", "13:00", 60),
    ("mid", "16:00", 90),
    ("firm", "12:00", 60),
    ("before", "17:00", 60),
    ("flat", "00:30", 120),  # clocks are put back in it
]
"""One DR event a day, from Monday to Sunday."""


def test_a_week_on_postgresql_equals_the_baselines_computed_from_its_exports(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = PostgresEventStore(DemandResponse, database.app_dsn)
    with ConnectionPool(database.app_dsn, min_size=1, max_size=2, open=True) as pool:
        telemetry = PostgresTelemetryStore(pool, FakeClock(FIRST))
        week = SimulatedYear(store, telemetry, days=range(240, 320))
        export_from(week, monkeypatch)
        comparison = Comparison(week, tmp_path)
        for number, (program, start, minutes) in enumerate(WEEK):
            day = MONDAY + timedelta(days=number)
            served = week.serve(program, day, start, minutes, shed_kw=40.0)
            assert comparison.check_new() == [served]
        friday = datetime.combine(MONDAY - timedelta(days=3), time(11, 30), TZ)
        assert week.correct(week.served[-1].ends_at + timedelta(days=1), friday) == len(WEEK)
        assert {one.program for one in comparison.check_new()} == {"caiso", "pjm", "own"}
    store.close()
