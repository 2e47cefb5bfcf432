"""The contract of FacilityCoordinates: PostgreSQL's and the fake's."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace
from psycopg_pool import ConnectionPool

from adapters.postgres.facility_coordinates import PostgresFacilityCoordinates
from application.ports.facility import FacilityCoordinates
from domain.administration import AdministrativeAct
from domain.facility import Coordinates
from tests.fakes.facility import FakeFacilityCoordinates
from tests.sample_values import provenance
from tests.servers import Database

HOME, OTHER = Coordinates(37.7749, -122.4194), Coordinates(-33.8688, 151.2093)


@pytest.fixture(params=["fake", "postgres"])
def coordinates(request: pytest.FixtureRequest) -> Iterator[FacilityCoordinates]:
    if request.param == "fake":
        yield FakeFacilityCoordinates()
        return
    database: Database = request.getfixturevalue("database")
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        yield PostgresFacilityCoordinates(pool)


def act(number: int) -> AdministrativeAct:
    cause = replace(provenance(), causation_id=UUID(int=number))
    return AdministrativeAct.forget_personal_data(cause, kind="coordinates", subject_id="fac-001", count=1)


def test_coordinates_are_stored_and_replaced(coordinates: FacilityCoordinates) -> None:
    assert coordinates.stored() == {}
    coordinates.put({})
    coordinates.put({"fac-001": HOME, "fac-002": OTHER})
    coordinates.put({"fac-002": HOME})
    assert coordinates.stored() == {"fac-001": HOME, "fac-002": HOME}


def test_forgotten_coordinates_come_back_only_if_they_are_given_again(
    coordinates: FacilityCoordinates,
) -> None:
    coordinates.put({"fac-001": HOME, "fac-002": OTHER})
    assert coordinates.forget("fac-001", act(1))
    assert not coordinates.forget("fac-001", act(2))
    coordinates.put({})
    assert coordinates.stored() == {"fac-001": None, "fac-002": OTHER}
    coordinates.put({"fac-001": OTHER})
    assert coordinates.stored()["fac-001"] == OTHER


def test_those_of_a_facility_of_before_can_be_forgotten(coordinates: FacilityCoordinates) -> None:
    assert coordinates.forget("fac-001", act(1))
    assert coordinates.stored() == {"fac-001": None}
