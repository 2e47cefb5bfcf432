"""The contract of ListedMeters: the read model of facilities in PostgreSQL, and the fake."""

from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.telemetry.listed_meters import PostgresListedMeters
from application.ports.telemetry.listed_meters import ListedMeters, ListedMetersUnavailable
from tests.bench.ingest.listing import list_facility
from tests.fakes.telemetry.listed_meters import FakeListedMeters
from tests.servers import Database, PostgresServer


class Listing(NamedTuple):
    meters: ListedMeters
    put: Callable[[str, Collection[str]], None]
    deactivate: Callable[[str], None]


@pytest.fixture(params=["fake", "postgres"])
def listing(request: pytest.FixtureRequest) -> Iterator[Listing]:
    if request.param == "fake":
        fake = FakeListedMeters()
        yield Listing(fake, fake.put, fake.deactivate)
        return
    database: Database = request.getfixturevalue("database")
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        yield Listing(
            PostgresListedMeters(pool),
            lambda facility_id, meters: list_facility(database.admin_dsn, facility_id, meters),
            lambda facility_id: list_facility(database.admin_dsn, facility_id, {"m1"}, status="deactivated"),
        )


def test_everything_has_each_facility_and_its_meters(listing: Listing) -> None:
    assert listing.meters.everything() == {}
    listing.put("fac-001", {"m1", "m2"})
    listing.put("fac-002", ())
    assert listing.meters.everything() == {"fac-001": frozenset({"m1", "m2"}), "fac-002": frozenset()}


def test_among_has_those_that_exist(listing: Listing) -> None:
    listing.put("fac-001", {"m1"})
    assert listing.meters.among({"fac-001", "fac-009"}) == {"fac-001": frozenset({"m1"})}
    assert listing.meters.among(()) == {}


def test_a_deactivated_facility_is_not_listed(listing: Listing) -> None:
    listing.put("fac-001", {"m1"})
    version = listing.meters.version()
    listing.deactivate("fac-001")
    assert (listing.meters.everything(), listing.meters.among({"fac-001"})) == ({}, {})
    assert listing.meters.version() != version
    assert listing.meters.deactivated() == {"fac-001"}
    listing.put("fac-001", {"m1"})
    assert listing.meters.deactivated() == frozenset()


def test_the_version_changes_with_the_listing(listing: Listing) -> None:
    listing.put("fac-001", {"m1"})
    version = listing.meters.version()
    assert listing.meters.version() == version
    listing.put("fac-001", {"m2"})
    assert listing.meters.version() != version


def test_a_server_that_is_away_is_named(postgres_server: PostgresServer) -> None:
    nowhere = psycopg.conninfo.make_conninfo(postgres_server.admin_dsn, port=1)
    with ConnectionPool[Any](nowhere, min_size=0, max_size=1, timeout=0.2, open=True) as pool:
        meters = PostgresListedMeters(pool)
        reads: list[Callable[[], object]] = [
            meters.version,
            meters.everything,
            meters.deactivated,
            lambda: meters.among(["fac-001"]),
        ]
        for read in reads:
            with pytest.raises(ListedMetersUnavailable):
                read()
