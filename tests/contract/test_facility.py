"""The contract of Utilities: PostgreSQL's and the fake's."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace
from psycopg_pool import ConnectionPool

from adapters.postgres.utilities import PostgresUtilities
from application.facility.portfolio_entries import UtilityEntry
from application.ports.facility import Utilities
from tests.fakes.facility import FakeUtilities
from tests.sample_values import portfolio_act

T0 = datetime(2026, 7, 14, 21, 0, tzinfo=UTC)
CITY = UtilityEntry(
    utility_id="city-power",
    name="City Power",
    webhook_secret_ref="env:GRIDPROOF_SECRET_WEBHOOK_CITY",
    callback_secret_ref="file:/run/secrets/city",
)


@pytest.fixture(params=["fake", "postgres"])
def utilities(request: pytest.FixtureRequest) -> Iterator[Utilities]:
    if request.param == "fake":
        yield FakeUtilities()
        return
    database = request.getfixturevalue("database")
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        yield PostgresUtilities(pool)


def stored(utilities: Utilities, *entries: UtilityEntry) -> int:
    return utilities.keep(entries, at=T0, act=portfolio_act())


def test_a_stored_utility_is_read_unchanged(utilities: Utilities) -> None:
    assert stored(utilities, CITY) == 1

    assert utilities.find("city-power") == CITY
    assert utilities.find("other") is None


def test_storing_the_same_utility_again_is_no_change(utilities: Utilities) -> None:
    stored(utilities, CITY)

    assert stored(utilities, CITY) == 0


def test_a_change_can_remove_a_value(utilities: Utilities) -> None:
    stored(utilities, CITY)

    assert stored(utilities, replace(CITY, webhook_secret_ref=None)) == 1
    assert utilities.find("city-power") == replace(CITY, webhook_secret_ref=None)


def test_utilities_are_listed_by_id(utilities: Utilities) -> None:
    assert stored(utilities, *(UtilityEntry(utility_id=utility_id) for utility_id in ("b", "a", "c"))) == 3

    assert [entry.utility_id for entry in utilities.listed()] == ["a", "b", "c"]
