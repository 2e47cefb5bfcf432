"""Forecasts from the log are scored against meter readings in PostgreSQL and shown on the command line."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from psycopg_pool import ConnectionPool

from adapters.clock import SystemClock
from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.forecast.past_forecasts import PostgresPastForecasts
from adapters.postgres.forecast.scores import PostgresForecastScores
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from application.event_store.forecasts import Forecasts
from application.ports.telemetry.store import ImportedIntervals
from domain.forecast import CYCLE, cycle_start_of
from interfaces.workers.compute.scoring import ForecastScoring
from tests.acceptance.cli.terminal import Terminal
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.weather.temperatures import FakeCellTemperatures
from tests.issued_forecasts import issued_forecast
from tests.servers import Database

HOUR = timedelta(hours=1)
IDS = ("fac-001", "fac-002")


@pytest.fixture
def pool(database: Database) -> Iterator[ConnectionPool[Any]]:
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2, open=True) as pool:
        yield pool


def test_an_hour_is_scored_once_and_its_accuracy_shown(
    database: Database, pool: ConnectionPool[Any], tmp_path: Path
) -> None:
    now = SystemClock().now().astimezone(UTC)
    hour = now.replace(minute=0, second=0, microsecond=0) - 5 * HOUR
    drawn(pool, hour)
    store = PostgresEventStore(Forecasts, database.app_dsn)
    for facility_id in IDS:
        for lead_h in (1, 4):
            store.save([issued_forecast(facility_id, hour - HOUR * lead_h, 100.0 + lead_h, spread_kw=10.0)])
        store.save([issued_forecast(facility_id, cycle_start_of(now) - CYCLE, 50.0)])
    store.close()
    PostgresForecastScores(pool).record(hour - HOUR, [], [], after=None)
    scorings = [scoring(pool, hour + timedelta(hours=1, minutes=35)) for _ in range(2)]
    assert [one.step() for one in scorings] == [True, False]

    terminal = Terminal(database, tmp_path)
    terminal.import_portfolio()
    terminal.project()
    document = terminal.document("forecast", "accuracy", "--days", "3", "--facility", "fac-001")
    (one,) = document["facilities"]
    assert [
        (row["lead_h"], row["data_quality"], row["quarters"], row["bias_kw"]) for row in one["accuracy"]
    ] == [
        (1, "all", 4, 1.0),
        (1, "full", 4, 1.0),
        (4, "all", 4, 4.0),
        (4, "full", 4, 4.0),
    ]
    assert "covered %" in terminal.run("forecast", "accuracy").stdout
    together = terminal.document("forecast", "portfolio")
    assert (together["facilities"], together["without_forecast"]) == (2, 1)
    assert together["steps"][0]["kw"] == {"p10": 98.0, "p50": 100.0, "p90": 102.0}
    assert "1 h: 1.00 (assumed)" in terminal.run("forecast", "portfolio").stdout


def drawn(pool: ConnectionPool[Any], hour: datetime) -> None:
    """Write readings of 100 kW in that hour and a week before it."""
    starts = [at + CYCLE * n for at in (hour - timedelta(days=7), hour) for n in range(4)]
    starts_s = np.array([int(at.timestamp()) for at in starts])
    PostgresTelemetryStore(pool, SystemClock()).import_intervals(
        ImportedIntervals(
            IDS,
            np.repeat([0, 1], 8),
            np.tile(starts_s, 2),
            np.full(16, 900),
            np.full(16, 100.0),
            np.full(16, np.nan),
        )
    )


def scoring(pool: ConnectionPool[Any], at: datetime) -> ForecastScoring:
    return ForecastScoring(
        facilities=lambda: IDS,
        telemetry=PostgresTelemetryStore(pool, SystemClock()),
        past=PostgresPastForecasts(pool),
        scores=PostgresForecastScores(pool),
        alerts=FakeAlertRegistry(),
        clock=FakeClock(at),
        temperatures=FakeCellTemperatures(),
        temperatures_kept=timedelta(days=730),
    )
