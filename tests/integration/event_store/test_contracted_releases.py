"""Newer topics on PostgreSQL: refused until `gridproof migrate --contract` said that no older process runs."""

import psycopg
import pytest

from adapters.postgres.event_store import contracted_releases, event_store
from adapters.postgres.event_store.event_store import PostgresEventStore
from application.event_store import newer_topics
from application.event_store.demand_response import DemandResponse
from application.ports.event_store.event_store import NewerTopicRefused
from domain.facility import Facility
from tests.sample_values import provenance
from tests.servers import Database


def test_a_newer_topic_waits_for_the_end_of_older_processes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = frozenset({Facility.MaintenanceStarted.TOPIC})
    monkeypatch.setattr(newer_topics, "NEWER_TOPICS", newer)
    monkeypatch.setattr(event_store, "NEWER_TOPICS", newer)
    monkeypatch.setattr(contracted_releases, "CHECK_EVERY_S", 0.0)
    with psycopg.connect(database.owner_dsn, autocommit=True) as owner:
        owner.execute("DELETE FROM gridproof.contracted_releases")
        store = PostgresEventStore(DemandResponse, database.app_dsn)
        try:
            facility = Facility.register(
                provenance(),
                facility_id="fac-001",
                tz="UTC",
                latitude=1.5,
                longitude=2.5,
                weather_cell="cell-1",
            )
            store.save([facility])
            assert not store.writes_newer_topics()
            facility.start_maintenance(provenance(), reason="boiler")
            with pytest.raises(NewerTopicRefused, match=r"migrate --contract"):
                store.save([facility])

            owner.execute("INSERT INTO gridproof.contracted_releases VALUES ('0.2')")
            again = store.load(Facility, facility.id)
            again.start_maintenance(provenance(), reason="boiler")
            store.save([again])
            assert store.load(Facility, facility.id).state.status == "maintenance"
        finally:
            store.close()
