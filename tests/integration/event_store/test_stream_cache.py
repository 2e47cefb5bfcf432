"""The cache of streams in a process never replaces what the log holds."""

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from adapters.postgres.event_store import loaders
from adapters.postgres.event_store.event_store import PostgresEventStore
from application.event_store.demand_response import DemandResponse
from application.ports.event_store.event_store import StreamNotFound
from domain.facility import Facility
from domain.identifiers import facility_stream_id
from tests.sample_values import provenance
from tests.servers import Database

HALL = facility_stream_id("fac-001")


@pytest.fixture
def stores(database: Database) -> Iterator[list[PostgresEventStore]]:
    """The stores of two processes."""
    opened = [PostgresEventStore(DemandResponse, database.app_dsn) for _ in range(2)]
    yield opened
    for store in opened:
        store.close()


def registered(facility_id: str = "fac-001") -> Facility:
    return Facility.register(
        provenance(), facility_id=facility_id, tz="UTC", latitude=1.5, longitude=2.5, weather_cell="cell-1"
    )


def test_each_process_sees_the_later_events_of_the_other(stores: list[PostgresEventStore]) -> None:
    stores[0].save([registered()])
    for number in range(12):
        facility = stores[number % 2].load(Facility, HALL)
        assert facility.version == number + 1
        if number % 2:
            facility.end_maintenance(provenance())
        else:
            facility.start_maintenance(provenance(), reason=f"boiler {number}")
        stores[number % 2].save([facility])


def test_an_unsaved_change_of_an_aggregate_does_not_change_the_cache(
    stores: list[PostgresEventStore],
) -> None:
    stores[0].save([registered()])
    stores[0].load(Facility, HALL).start_maintenance(provenance(), reason="boiler")
    again = stores[0].load(Facility, HALL)
    assert (again.version, again.state.status, list(again.pending_events)) == (1, "active", [])


def test_a_new_session_begins_with_an_empty_cache(
    stores: list[PostgresEventStore], database: Database
) -> None:
    """The server may have been restored from a backup."""
    stores[0].save([registered()])
    stores[0].load(Facility, HALL)
    with psycopg.connect(database.admin_dsn, autocommit=True) as admin:
        admin.execute("TRUNCATE gridproof.demand_response_events")
        admin.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'gridproof streams%'"
        )
    with pytest.raises(StreamNotFound):
        stores[0].load(Facility, HALL)


def test_the_memory_is_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaders, "MAX_CACHED", 3)
    names = [f"fac-{number:03}" for number in range(8)]
    with closing(PostgresEventStore(DemandResponse, database.app_dsn)) as store:
        store.save([registered(name) for name in names])
        for name in names * 2:
            assert store.load(Facility, facility_stream_id(name)).state.facility_id == name
        assert len(store._streams._cached) == 3


def test_the_memory_is_also_bounded_in_bytes(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer large aggregates are cached. One that exceeds the cache by itself is read each time."""
    monkeypatch.setattr(loaders, "MAX_CACHED_BYTES", 4_000)
    names = [f"fac-{number:03}" for number in range(40)]
    with closing(PostgresEventStore(DemandResponse, database.app_dsn)) as store:
        store.save([registered(name) for name in names])
        for name in names * 2:
            assert store.load(Facility, facility_stream_id(name)).state.facility_id == name
        known = store._streams._cached
        assert 1 < len(known) < len(names)
        assert sum(one.byte_count for _, one in known.items()) == known.counts().size <= 4_000

        for number in range(10):
            facility = store.load(Facility, HALL)
            facility.start_maintenance(provenance(), reason=f"{number} " + "x" * 500)
            facility.end_maintenance(provenance())
            store.save([facility])
            assert store.load(Facility, HALL).version == facility.version
        assert HALL not in known
        assert sum(one.byte_count for _, one in known.items()) == known.counts().size <= 4_000
