"""Long streams on PostgreSQL: snapshots are written and used for loading, with the same results."""

from collections.abc import Iterator

import psycopg
import pytest

from adapters.postgres.event_store.event_store import PostgresEventStore
from application.event_store.demand_response import DemandResponse
from domain.event_sourcing.snapshot import Snapshot
from domain.facility import Facility
from domain.identifiers import facility_stream_id
from tests.sample_values import provenance, trusted_snapshots
from tests.servers import Database

SNAPSHOTS = "SELECT originator_version FROM gridproof.demand_response_snapshots ORDER BY 1"


def registered(facility_id: str) -> Facility:
    return Facility.register(
        provenance(), facility_id=facility_id, tz="UTC", latitude=0, longitude=0, weather_cell="c"
    )


def grow(facility: Facility, versions: int) -> Facility:
    while facility.version < versions:
        if facility.state.status == "active":
            facility.start_maintenance(provenance(), reason="boiler")
        else:
            facility.end_maintenance(provenance())
    return facility


def long_stream(store: PostgresEventStore, versions: int) -> Facility:
    facility = grow(registered("fac-001"), versions)
    store.save([facility])
    return facility


@pytest.fixture
def store(database: Database) -> Iterator[PostgresEventStore]:
    opened = PostgresEventStore(DemandResponse, database.app_dsn, snapshots=trusted_snapshots())
    yield opened
    opened.close()


def test_a_long_stream_has_snapshots_and_loads_from_the_newest(
    store: PostgresEventStore, database: Database
) -> None:
    facility = registered("fac-001")
    for version in range(1, 161):
        store.save([grow(facility, version)])
    with psycopg.connect(database.admin_dsn) as connection:
        (first,), (second,) = connection.execute(SNAPSHOTS).fetchall()
        assert (50 <= first < 100, second) == (True, first + 50)
        # Without its snapshots the stream could no longer be loaded, because its first events are deleted.
        connection.execute(
            "DELETE FROM gridproof.demand_response_events WHERE originator_version < %s", (second,)
        )

    another = PostgresEventStore(DemandResponse, database.app_dsn, snapshots=trusted_snapshots())
    loaded = another.load(Facility, facility_stream_id("fac-001"))
    assert (loaded.version, loaded.state) == (160, facility.state)
    another.close()


def test_the_snapshots_of_streams_that_grow_together_are_spread_out(
    store: PostgresEventStore, database: Database
) -> None:
    facilities = [grow(registered(f"fac-{number}"), 49) for number in range(20)]
    for facility in facilities:
        store.save([facility])
    for version in range(50, 100):
        store.save([grow(facility, version) for facility in facilities])
    with psycopg.connect(database.admin_dsn) as connection:
        row = connection.execute(
            "SELECT count(*), count(DISTINCT originator_id), count(DISTINCT originator_version) > 8"
            " FROM gridproof.demand_response_snapshots"
        ).fetchone()
    assert row == (20, 20, True), "each stream has one snapshot, and their versions are spread"


def test_the_snapshots_of_one_save_are_written_together(
    store: PostgresEventStore, database: Database
) -> None:
    store.save([grow(registered(f"fac-{number}"), 50) for number in range(8)])
    with psycopg.connect(database.admin_dsn) as connection:
        rows = connection.execute(
            "SELECT count(*), count(DISTINCT xmin::text) FROM gridproof.demand_response_snapshots"
        ).fetchone()
    assert rows == (8, 1), "snapshots of eight streams in one transaction"


def test_a_save_succeeds_if_its_snapshot_cannot_be_stored(
    store: PostgresEventStore, database: Database
) -> None:
    with psycopg.connect(database.admin_dsn) as connection:
        connection.execute("REVOKE INSERT ON gridproof.demand_response_snapshots FROM gridproof_app")
    facility = long_stream(store, 60)
    another = PostgresEventStore(DemandResponse, database.app_dsn, snapshots=trusted_snapshots())
    assert another.load(Facility, facility_stream_id("fac-001")).state == facility.state
    another.close()
    with psycopg.connect(database.admin_dsn) as connection:
        assert connection.execute(SNAPSHOTS).fetchall() == []
        connection.execute("GRANT INSERT ON gridproof.demand_response_snapshots TO gridproof_app")
    store.save([grow(facility, 150)])
    with psycopg.connect(database.admin_dsn) as connection:
        assert connection.execute(SNAPSHOTS).fetchall() == [(150,)], "the next snapshot is stored"


def test_a_save_succeeds_if_its_snapshot_cannot_be_encoded(
    store: PostgresEventStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_words(_: object) -> Snapshot:
        raise TypeError("Encoding objects of type object is unsupported")

    with monkeypatch.context() as patched:
        patched.setattr(Snapshot, "take", no_words)
        facility = long_stream(store, 60)
    assert store.load(Facility, facility_stream_id("fac-001")).state == facility.state
    with psycopg.connect(database.admin_dsn) as connection:
        assert connection.execute(SNAPSHOTS).fetchall() == []


def test_a_stream_of_49_events_has_no_snapshot(store: PostgresEventStore, database: Database) -> None:
    long_stream(store, 49)
    with psycopg.connect(database.admin_dsn) as connection:
        assert connection.execute(SNAPSHOTS).fetchall() == []
