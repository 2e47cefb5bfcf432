"""The contract of ForecastModels: PostgreSQL's table and the fake."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.forecast.models import PostgresForecastModels
from application.ports.forecast.load_forecaster import TrainedModel
from application.ports.forecast.models import ForecastModels
from application.ports.operations.unavailable import OperationsUnavailable
from tests.fakes.forecast.models import FakeForecastModels
from tests.servers import Database

AT = datetime(2026, 7, 14, 20, tzinfo=UTC)


@pytest.fixture(params=["fake", "postgres"])
def models(request: pytest.FixtureRequest) -> Iterator[ForecastModels]:
    if request.param == "fake":
        yield FakeForecastModels()
        return
    database: Database = request.getfixturevalue("database")
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=1) as pool:
        yield PostgresForecastModels(pool)


def model(hours: int = 0, parameters: bytes = b"\x00\xff" * 9_000) -> TrainedModel:
    at = AT + timedelta(hours=hours)
    return TrainedModel(
        name="made up",
        version="7",
        trained_at=at,
        uses_weather=True,
        parameters=parameters,
        known_until=at - timedelta(hours=1),
    )


def test_a_stored_model_is_read_unchanged(models: ForecastModels) -> None:
    assert models.of(["fac-001"]) == {}
    models.keep({"fac-002": model(1), "fac-001": model()})
    assert models.of(["fac-001", "fac-002", "fac-003"]) == {"fac-001": model(), "fac-002": model(1)}


def test_a_newer_model_replaces_an_older_one_and_an_older_one_replaces_nothing(
    models: ForecastModels,
) -> None:
    models.keep({"fac-001": model(1, b"new")})
    models.keep({"fac-001": model(0, b"old")})
    assert models.of(["fac-001"])["fac-001"].parameters == b"new"
    models.keep({"fac-001": model(2, b"newest")})
    assert models.of(["fac-001"])["fac-001"].parameters == b"newest"


def test_the_time_of_training_is_read_without_the_model(models: ForecastModels) -> None:
    models.keep({"fac-001": model(1), "fac-002": model(2)})
    found = models.trained_at(["fac-001", "fac-003"])
    assert found == {"fac-001": AT + timedelta(hours=1)}


def test_an_unavailable_database_is_reported() -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/none"
    with (
        ConnectionPool[Any](nowhere, min_size=0, max_size=1, timeout=0.2, open=True) as pool,
        pytest.raises(OperationsUnavailable),
    ):
        PostgresForecastModels(pool).of(["fac-001"])
