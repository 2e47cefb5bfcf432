"""The contract of PastForecasts, in memory and on PostgreSQL."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.forecast.past_forecasts import PostgresPastForecasts
from application.event_store.forecasts import Forecasts
from application.ports.event_store.event_store import EventStoreUnavailable
from application.ports.forecast.past_forecasts import ForecastKey, PastForecasts
from domain.forecast import Forecast
from tests.fakes.forecast.past_forecasts import FakePastForecasts
from tests.issued_forecasts import CYCLE_START, issued_forecast, reissued
from tests.servers import Database

QUARTER = timedelta(minutes=15)
LATER = CYCLE_START + timedelta(days=30)

Keep = Callable[[Forecast], None]


@pytest.fixture(params=["fake", "postgres"])
def past(request: pytest.FixtureRequest) -> Iterator[tuple[PastForecasts, Keep]]:
    if request.param == "fake":
        fake = FakePastForecasts()
        yield fake, fake.note
        return
    database: Database = request.getfixturevalue("database")
    store = PostgresEventStore(Forecasts, database.app_dsn)
    with ConnectionPool(database.app_dsn, min_size=1, max_size=2, open=True) as pool:
        yield PostgresPastForecasts(pool), lambda forecast: store.save([forecast])
    store.close()


def test_a_forecast_is_read_by_its_key_with_everything_recorded(
    past: tuple[PastForecasts, Keep],
) -> None:
    reader, keep = past
    keep(forecast := issued_forecast("fac-001", CYCLE_START, 100.0))
    place = ForecastKey("fac-001", CYCLE_START)
    nothing = ForecastKey("fac-001", CYCLE_START + QUARTER)
    assert reader.in_force([place, nothing], at=LATER) == {place: forecast.state}
    assert reader.in_force([], at=LATER) == {}


def test_a_forecast_as_of_a_time_is_the_one_issued_by_then(past: tuple[PastForecasts, Keep]) -> None:
    reader, keep = past
    forecast = issued_forecast("fac-001", CYCLE_START, 100.0, full=False)
    keep(forecast)
    first = forecast.state
    reissued(forecast, 110.0, at=CYCLE_START + timedelta(minutes=3))
    keep(forecast)
    place = ForecastKey("fac-001", CYCLE_START)
    asked = {
        minutes: reader.in_force([place], at=CYCLE_START + timedelta(minutes=minutes)).get(place)
        for minutes in (0, 1, 5)
    }
    assert asked == {0: None, 1: first, 5: forecast.state}
    assert (first.data_quality, forecast.state.data_quality) == ("degraded_stale_data", "full")


def test_many_forecasts_are_read_in_batches(
    past: tuple[PastForecasts, Keep], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.postgres.forecast.past_forecasts.STREAMS_PER_QUERY", 3)
    reader, keep = past
    places = [ForecastKey(f"fac-{n}", CYCLE_START) for n in range(8)]
    for number, place in enumerate(places):
        keep(issued_forecast(place.facility_id, CYCLE_START, float(number)))
    found = reader.in_force(places, at=LATER)
    assert [found[place].steps.p50_kw[0] for place in places] == [float(n) for n in range(8)]


def test_an_unavailable_database_is_reported(database: Database) -> None:
    pool = ConnectionPool(database.app_dsn, min_size=1, open=True)
    pool.close()
    with pytest.raises(EventStoreUnavailable):
        PostgresPastForecasts(pool).in_force(
            [ForecastKey("fac-001", datetime(2026, 1, 1, tzinfo=UTC))], at=LATER
        )
