"""The contract of ForecastBook, in memory and on PostgreSQL."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.connection.pool import check_idle
from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.forecast import forecast_book
from adapters.postgres.forecast.forecast_book import PostgresForecastBook
from application.event_store.forecasts import Forecasts
from application.ports.event_store.event_store import EventStoreUnavailable
from application.ports.forecast.forecast_book import ForecastBook
from domain.event_sourcing.aggregate import Provenance
from domain.forecast import Forecast, ForecastInputs, ForecastModel, QuantileSteps
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.servers import Database, PostgresServer

CYCLE_START = datetime(2026, 7, 14, 20, 0, tzinfo=UTC)
QUARTER = timedelta(minutes=15)


class BookSetting:
    """A book and functions that record forecasts."""

    def __init__(self, book: ForecastBook, keep: Callable[[Forecast], None]) -> None:
        self.book = book
        self._keep = keep

    def issue(self, facility_id: str, cycle_start: datetime, kw: float, *, full: bool = True) -> Forecast:
        forecast = Forecast.issue(
            provenance(cycle_start + timedelta(seconds=30)),
            facility_id=facility_id,
            cycle_start=cycle_start,
            inputs=inputs(cycle_start, f"{kw}", full=full),
            model=ForecastModel(name="time-of-day", version="1", trained_at=cycle_start),
            steps=steps(cycle_start, kw),
        )
        self._keep(forecast)
        return forecast

    def reissue(self, forecast: Forecast, kw: float, *, at: datetime) -> None:
        start = forecast.state.cycle_start
        forecast.reissue(
            provenance(at),
            inputs=inputs(start, f"{kw}"),
            model=forecast.state.model,
            steps=steps(start, kw),
        )
        self._keep(forecast)


def provenance(at: datetime) -> Provenance:
    return Provenance(
        correlation_id=UUID(int=1),
        causation_id=UUID(int=2),
        actor="worker:compute",
        tenant=None,
        trace_id="0" * 32,
        recorded_at=at,
    )


def inputs(cycle_start: datetime, input_hash: str, *, full: bool = True) -> ForecastInputs:
    return ForecastInputs(
        input_hash=input_hash,
        newest_reading_at=cycle_start,
        sensor_coverage_pct=100.0 if full else 10.0,
        weather_available=True,
        weather_age_s=0.0,
    )


def steps(starts_at: datetime, kw: float) -> QuantileSteps:
    return QuantileSteps(
        starts_at=starts_at,
        step_s=900,
        p10_kw=(kw - 1,) * 96,
        p50_kw=(kw,) * 96,
        p90_kw=(kw + 1,) * 96,
    )


@pytest.fixture(params=["fake", "postgres"])
def setting(request: pytest.FixtureRequest) -> Iterator[BookSetting]:
    if request.param == "fake":
        fake = FakeForecastBook()
        yield BookSetting(fake, fake.note)
        return
    database: Database = request.getfixturevalue("database")
    store = PostgresEventStore(Forecasts, database.app_dsn)
    with ConnectionPool(database.app_dsn, min_size=1, max_size=2, open=True) as pool:
        yield BookSetting(PostgresForecastBook(pool), lambda forecast: store.save([forecast]))
    store.close()


def test_newest_returns_the_newest_cycle_with_its_steps(setting: BookSetting) -> None:
    setting.issue("fac-001", CYCLE_START - QUARTER, 90.0)
    newest = setting.issue("fac-001", CYCLE_START, 100.0)
    found = setting.book.newest("fac-001", at=CYCLE_START + timedelta(minutes=5))
    assert found is not None
    assert found.forecast_id == newest.state.forecast_id
    assert (found.cycle_start, found.data_quality) == (CYCLE_START, "full")
    assert found.issued_at == CYCLE_START + timedelta(seconds=30)
    assert len(found.steps) == 96
    last = found.steps[-1]
    assert (last.starts_at, last.ends_at) == (CYCLE_START + QUARTER * 95, CYCLE_START + QUARTER * 96)
    assert (last.p10_kw, last.p50_kw, last.p90_kw) == (99.0, 100.0, 101.0)


def test_newest_ignores_a_forecast_before_it_was_issued(setting: BookSetting) -> None:
    setting.issue("fac-001", CYCLE_START - QUARTER, 90.0)
    setting.issue("fac-001", CYCLE_START, 100.0)
    found = setting.book.newest("fac-001", at=CYCLE_START + timedelta(seconds=29))
    assert found is not None
    assert found.cycle_start == CYCLE_START - QUARTER


def test_a_reissued_forecast_is_in_force_from_its_later_position(setting: BookSetting) -> None:
    forecast = setting.issue("fac-001", CYCLE_START, 100.0, full=False)
    setting.reissue(forecast, 110.0, at=CYCLE_START + timedelta(minutes=3))
    before = setting.book.newest("fac-001", at=CYCLE_START + timedelta(minutes=2))
    after = setting.book.newest("fac-001", at=CYCLE_START + timedelta(minutes=4))
    assert before is not None
    assert after is not None
    assert (before.data_quality, before.steps[0].p50_kw) == ("degraded_stale_data", 100.0)
    assert (after.data_quality, after.steps[0].p50_kw) == ("full", 110.0)
    assert after.position > before.position > 0


def test_newest_looks_back_two_hours_and_no_further(setting: BookSetting) -> None:
    setting.issue("fac-001", CYCLE_START - QUARTER * 8, 90.0)
    setting.issue("fac-002", CYCLE_START - QUARTER * 9, 90.0)
    assert set(setting.book.newest_of(["fac-001", "fac-002"], at=CYCLE_START)) == {"fac-001"}


def test_newest_of_reads_many_facilities_and_leaves_out_those_without_a_forecast(
    setting: BookSetting,
) -> None:
    for number in range(5):
        setting.issue(f"fac-00{number}", CYCLE_START, 10.0 * (number + 1))
    asked = ["fac-003", "fac-001", "fac-009"]
    found = setting.book.newest_of(asked, at=CYCLE_START + timedelta(minutes=1))
    assert {facility_id: one.steps[0].p50_kw for facility_id, one in found.items()} == {
        "fac-001": 20.0,
        "fac-003": 40.0,
    }
    assert setting.book.newest("fac-009", at=CYCLE_START) is None
    assert setting.book.newest_of([], at=CYCLE_START) == {}


def test_an_unavailable_database_is_reported(database: Database) -> None:
    pool = ConnectionPool(database.app_dsn, min_size=1, open=True)
    pool.close()
    with pytest.raises(EventStoreUnavailable):
        PostgresForecastBook(pool).newest("fac-001", at=CYCLE_START)


def test_cached_forecasts_do_not_outlive_a_database_restored_from_a_backup(
    database: Database, postgres_server: PostgresServer
) -> None:
    at = CYCLE_START + timedelta(minutes=5)

    def admin(*statements: str) -> None:
        with psycopg.connect(postgres_server.admin_dsn, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def issue(facility_id: str, kw: float) -> None:
        store = PostgresEventStore(Forecasts, database.app_dsn)
        BookSetting(book, lambda forecast: store.save([forecast])).issue(facility_id, CYCLE_START, kw)
        store.close()

    with ConnectionPool(database.app_dsn, min_size=1, max_size=2, open=True, check=check_idle) as pool:
        book = PostgresForecastBook(pool)
        issue("fac-001", 100.0)
        assert set(book.newest_of(["fac-001"], at=at)) == {"fac-001"}
        admin(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database.name}'")
        admin(f"CREATE DATABASE {database.name}_backup TEMPLATE {database.name}")
        issue("fac-002", 100.0)
        assert set(book.newest_of(["fac-001", "fac-002"], at=at)) == {"fac-001", "fac-002"}
        admin(
            f"DROP DATABASE {database.name} WITH (FORCE)",
            f"ALTER DATABASE {database.name}_backup RENAME TO {database.name}",
        )
        assert set(book.newest_of(["fac-001", "fac-002"], at=at)) == {"fac-001"}


def test_the_cache_holds_the_most_recently_used_forecasts(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast_book, "MAX_CACHED", 2)
    store, at = PostgresEventStore(Forecasts, database.app_dsn), CYCLE_START + timedelta(minutes=5)
    with ConnectionPool(database.app_dsn, min_size=1, max_size=2, open=True) as pool:
        book = PostgresForecastBook(pool)
        setting = BookSetting(book, lambda forecast: store.save([forecast]))
        for facility_id in ("a", "b", "c"):
            setting.issue(facility_id, CYCLE_START, 100.0)
        for facility_id in ("a", "b", "a", "c"):
            assert book.newest(facility_id, at=at) is not None
        assert {entry.issued.facility_id for _, entry in book._cache.items()} == {"a", "c"}
    store.close()
