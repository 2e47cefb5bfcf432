"""The contract of CellTemperatures, in memory and on PostgreSQL."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.temperatures import PostgresCellTemperatures
from application.ports.operations.unavailable import OperationsUnavailable
from application.ports.weather.temperatures import CellTemperatures
from domain.time_series.windows import IntervalSeries, NotAligned, TimeWindow
from tests.fakes.weather.temperatures import FakeCellTemperatures
from tests.servers import Database

DAY = datetime(2026, 7, 14, tzinfo=UTC)
HOUR, ONE_DAY = timedelta(hours=1), timedelta(days=1)
WHOLE_DAY = TimeWindow(DAY, DAY + ONE_DAY)


def hourly(starts_at: datetime, *values: float) -> IntervalSeries:
    return IntervalSeries(starts_at, 3600, np.array(values))


@pytest.fixture(params=["fake", "postgres"])
def temperatures(request: pytest.FixtureRequest) -> Iterator[CellTemperatures]:
    if request.param == "fake":
        yield FakeCellTemperatures()
        return
    database: Database = request.getfixturevalue("database")
    with ConnectionPool(database.app_dsn, min_size=1, max_size=2, open=True) as pool:
        yield PostgresCellTemperatures(pool)


def test_what_was_recorded_is_read_by_quarter_hours(temperatures: CellTemperatures) -> None:
    temperatures.record("la", hourly(DAY + 22 * HOUR, 20.5, 19.0, 18.25), final_until=DAY)
    found = temperatures.temperatures_of("la", TimeWindow(DAY + 22.75 * HOUR, DAY + 24.5 * HOUR))
    assert found.starts_at == DAY + 22.75 * HOUR
    assert found.step_s == 900
    assert found.values.tolist() == [20.5, 19.0, 19.0, 19.0, 19.0, 18.25, 18.25]


def test_hours_and_cells_without_a_value_are_missing(temperatures: CellTemperatures) -> None:
    temperatures.record("la", hourly(DAY + HOUR, 20.5, np.nan, 18.0), final_until=DAY)
    found = temperatures.stored("la", TimeWindow(DAY, DAY + 5 * HOUR)).temp_c.values
    np.testing.assert_array_equal(found, [np.nan, 20.5, np.nan, 18.0, np.nan])
    assert np.isnan(temperatures.temperatures_of("muc", WHOLE_DAY).values).all()


def test_a_later_report_replaces_values_and_keeps_what_it_lacks(temperatures: CellTemperatures) -> None:
    temperatures.record("la", hourly(DAY, 10.0, 11.0, 12.0), final_until=DAY)
    temperatures.record("la", hourly(DAY + HOUR, 21.0, np.nan, 23.0), final_until=DAY)
    found = temperatures.stored("la", TimeWindow(DAY, DAY + 4 * HOUR)).temp_c.values
    assert found.tolist() == [10.0, 21.0, 12.0, 23.0]


def test_a_day_is_due_until_it_is_whole_and_final(temperatures: CellTemperatures) -> None:
    window = TimeWindow(DAY - ONE_DAY, DAY + ONE_DAY)
    assert temperatures.stored("la", window).first_due() == window.starts_at
    temperatures.record("la", hourly(DAY - ONE_DAY, *[20.0] * 48), final_until=DAY)
    assert temperatures.stored("la", window).first_due() == DAY
    temperatures.record("la", hourly(DAY, *[21.0] * 24), final_until=DAY + ONE_DAY)
    assert temperatures.stored("la", window).first_due() == window.ends_at


def test_hours_that_are_not_final_are_missing_where_only_final_ones_are_wanted(
    temperatures: CellTemperatures,
) -> None:
    window = TimeWindow(DAY - HOUR, DAY + HOUR)
    temperatures.record("la", hourly(DAY - ONE_DAY, *[20.0] * 48), final_until=DAY)
    assert temperatures.temperatures_of("la", window).values.tolist() == [20.0] * 8
    found = temperatures.temperatures_of("la", window, final_only=True).values
    np.testing.assert_array_equal(found, [20.0] * 4 + [np.nan] * 4)
    temperatures.record("la", hourly(DAY, *[21.0] * 24), final_until=DAY + ONE_DAY)
    found = temperatures.temperatures_of("la", window, final_only=True).values
    assert found.tolist() == [20.0] * 4 + [21.0] * 4


def test_old_days_are_deleted(temperatures: CellTemperatures) -> None:
    temperatures.record("la", hourly(DAY, *[20.0] * 48), final_until=DAY)
    temperatures.record("muc", hourly(DAY, 20.0), final_until=DAY)
    assert temperatures.delete_before((DAY + ONE_DAY).date()) == 2
    found = temperatures.stored("la", TimeWindow(DAY, DAY + 2 * ONE_DAY)).temp_c.values
    assert np.isnan(found[:24]).all()
    assert (found[24:] == 20.0).all()


def test_hours_begin_on_the_hour(temperatures: CellTemperatures) -> None:
    with pytest.raises(NotAligned):
        temperatures.record("la", hourly(DAY + HOUR / 2, 20.0), final_until=DAY)
    with pytest.raises(NotAligned):
        temperatures.stored("la", TimeWindow(DAY + HOUR / 2, DAY + ONE_DAY))


def test_an_unavailable_database_is_reported(database: Database) -> None:
    pool = ConnectionPool(database.app_dsn, min_size=1, open=True)
    pool.close()
    with pytest.raises(OperationsUnavailable):
        PostgresCellTemperatures(pool).temperatures_of("la", WHOLE_DAY)
