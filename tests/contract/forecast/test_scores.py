"""The contract of ForecastScores, in memory and on PostgreSQL."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest
from msgspec.structs import replace
from psycopg_pool import ConnectionPool

from adapters.postgres.forecast.scores import PostgresForecastScores
from application.ports.forecast.scores import ErrorCorrelation, ForecastScore, ForecastScores
from application.ports.operations.unavailable import OperationsUnavailable
from tests.fakes.forecast.scores import FakeForecastScores
from tests.servers import Database

HOUR = datetime(2026, 7, 14, 22, tzinfo=UTC)
DAY = date(2026, 7, 14)
ONE = timedelta(hours=1)
SCORE = ForecastScore(
    facility_id="fac-001",
    lead_h=4,
    data_quality="full",
    quarters=4,
    load_kw=400.5,
    error_kw=-2.25,
    abs_kw=4.5,
    square_kw2=9.75,
    pinball_kw=1.25,
    below=1,
    above=0,
    compared=3,
    compared_square_kw2=8.0,
    naive_square_kw2=16.0,
)
PAIRS = ErrorCorrelation(
    lead_h=4, quarters=4, pairs_kw2=-3.5, own_kw2=10.0, spread_pairs_kw2=20.0, spread_own_kw2=8.0
)


@pytest.fixture(params=["fake", "postgres"])
def scores(request: pytest.FixtureRequest) -> Iterator[ForecastScores]:
    if request.param == "fake":
        yield FakeForecastScores()
        return
    database: Database = request.getfixturevalue("database")
    with ConnectionPool(database.app_dsn, min_size=1, max_size=2, open=True) as pool:
        yield PostgresForecastScores(pool)


def test_hours_add_up_by_facility_lead_time_and_quality(scores: ForecastScores) -> None:
    others = [
        replace(SCORE, facility_id="fac-002"),
        replace(SCORE, lead_h=23),
        replace(SCORE, data_quality="degraded_no_weather"),
    ]
    assert scores.scored_through() is None
    assert scores.record(HOUR, [SCORE, *others], [PAIRS], after=None)
    assert scores.record(HOUR + ONE, [SCORE], [PAIRS], after=HOUR + ONE)
    assert scores.record(HOUR + 2 * ONE, [SCORE], [PAIRS], after=HOUR + 2 * ONE)  # on the next day
    assert scores.scored_through() == HOUR + 3 * ONE
    twice = replace(
        SCORE,
        quarters=8,
        load_kw=801.0,
        error_kw=-4.5,
        abs_kw=9.0,
        square_kw2=19.5,
        pinball_kw=2.5,
        below=2,
        compared=6,
        compared_square_kw2=16.0,
        naive_square_kw2=32.0,
    )
    expected = [others[2], twice, others[1], others[0]]
    assert scores.totals(DAY, DAY) == expected
    assert scores.totals(DAY, DAY, ["fac-002", "fac-009"]) == [others[0]]
    assert scores.totals(DAY - timedelta(days=2), DAY - timedelta(days=1)) == []
    assert [one.quarters for one in scores.correlations(DAY, DAY + timedelta(days=1))] == [12]
    assert scores.correlations(DAY, DAY)[0].pairs_kw2 == -7.0


def test_an_hour_is_added_once_even_if_repeated(scores: ForecastScores) -> None:
    assert scores.record(HOUR, [SCORE], [PAIRS], after=None)
    assert not scores.record(HOUR, [SCORE], [PAIRS], after=None)
    assert scores.record(HOUR + ONE, [], [], after=HOUR + ONE)
    assert not scores.record(HOUR + ONE, [SCORE], [PAIRS], after=HOUR + ONE)
    assert scores.totals(DAY, DAY) == [SCORE]
    assert scores.correlations(DAY, DAY) == [PAIRS]


def test_old_days_are_deleted(scores: ForecastScores) -> None:
    assert scores.record(HOUR, [SCORE], [PAIRS], after=None)
    assert scores.record(HOUR + 24 * ONE, [SCORE], [PAIRS], after=HOUR + ONE)
    assert scores.delete_before(DAY + timedelta(days=1)) == 1
    assert scores.totals(DAY, DAY + timedelta(days=1)) == [SCORE]
    assert scores.correlations(DAY, DAY) == []


def test_an_hour_that_cannot_be_stored_in_full_leaves_nothing_behind(database: Database) -> None:
    with ConnectionPool(database.app_dsn, min_size=1, max_size=1, open=True) as pool:
        scores = PostgresForecastScores(pool)
        assert scores.record(HOUR, [SCORE], [PAIRS], after=None)
        with pytest.raises(psycopg.DataError):
            scores.record(HOUR + ONE, [SCORE], [replace(PAIRS, lead_h=40_000)], after=HOUR + ONE)
        assert scores.scored_through() == HOUR + ONE
        assert scores.totals(DAY, DAY) == [SCORE]


def test_an_unavailable_database_is_reported(database: Database) -> None:
    pool = ConnectionPool(database.app_dsn, min_size=1, open=True)
    pool.close()
    with pytest.raises(OperationsUnavailable):
        PostgresForecastScores(pool).scored_through()
