"""Long streams on PostgreSQL: a snapshot is taken on the way and used to load, and nobody sees a difference."""

import psycopg

from adapters.postgres.event_store import PostgresEventStore
from application.demand_response import DemandResponse
from domain.facility import Facility
from domain.identifiers import facility_stream_id
from tests.made_up import provenance
from tests.servers import Database

SNAPSHOTS = "SELECT originator_version FROM gridproof.demand_response_snapshots ORDER BY 1"


def long_stream(store: PostgresEventStore, versions: int) -> Facility:
    facility = Facility.register(
        provenance(), facility_id="fac-001", tz="UTC", latitude=0, longitude=0, weather_cell="c"
    )
    while facility.version < versions:
        if facility.state.status == "active":
            facility.start_maintenance(provenance(), reason="boiler")
        else:
            facility.end_maintenance(provenance())
    store.save([facility])
    return facility


def test_a_stream_of_120_has_snapshots_and_loads_from_the_newest(database: Database) -> None:
    store = PostgresEventStore(DemandResponse, database.app_dsn)
    facility = long_stream(store, 120)
    with psycopg.connect(database.admin_dsn) as connection:
        assert connection.execute(SNAPSHOTS).fetchall() == [(50,), (100,)]
        # Without the snapshots the stream could no longer be loaded: what it begins with is gone.
        connection.execute("DELETE FROM gridproof.demand_response_events WHERE originator_version <= 100")

    loaded = store.load(Facility, facility_stream_id("fac-001"))
    assert (loaded.version, loaded.state) == (120, facility.state)
    store.close()


def test_a_stream_of_49_has_none(database: Database) -> None:
    store = PostgresEventStore(DemandResponse, database.app_dsn)
    long_stream(store, 49)
    with psycopg.connect(database.admin_dsn) as connection:
        assert connection.execute(SNAPSHOTS).fetchall() == []
    store.close()
