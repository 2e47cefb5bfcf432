"""Forecast cycles on a real PostgreSQL."""

from collections.abc import Iterator

import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.forecast.forecast_book import PostgresForecastBook
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from application.event_store.forecasts import Forecasts
from tests.fakes.clock import FakeClock
from tests.integration.forecast.forecast_setup import NOW, ForecastSetup
from tests.servers import Database


@pytest.fixture
def forecast_setup(database: Database) -> Iterator[ForecastSetup]:
    clock = FakeClock(NOW, speed=3_600)
    store = PostgresEventStore(Forecasts, database.app_dsn)
    with ConnectionPool(database.app_dsn, min_size=1, max_size=4, open=True) as pool:
        telemetry = PostgresTelemetryStore(pool, clock)
        yield ForecastSetup(telemetry, store, PostgresForecastBook(pool), clock, clock)
    store.close()
