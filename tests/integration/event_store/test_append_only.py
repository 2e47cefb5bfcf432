"""Recorded domain events are immutable: the application's role cannot change them."""

from uuid import uuid4

import psycopg
import pytest
from psycopg.errors import GeneratedAlways, InsufficientPrivilege

from adapters.postgres.event_store.event_store import PostgresEventStore
from application.event_store.demand_response import DemandResponse
from domain.facility import Facility
from tests.sample_values import provenance
from tests.servers import Database

LOGS = ("demand_response_events", "forecasts_events")
FORBIDDEN = [
    *(f"UPDATE gridproof.{log} SET state = ''" for log in LOGS),
    *(f"UPDATE gridproof.{log} SET notification_id = DEFAULT" for log in LOGS),
    *(f"DELETE FROM gridproof.{log}" for log in LOGS),
    *(f"TRUNCATE gridproof.{log}" for log in LOGS),
    *(f"DROP TABLE gridproof.{log}" for log in LOGS),
    *(f"ALTER TABLE gridproof.{log} DISABLE TRIGGER ALL" for log in LOGS),
    "UPDATE gridproof.idempotency_keys SET reply = ''",
    "DELETE FROM gridproof.idempotency_keys",
    "UPDATE gridproof.demand_response_snapshots SET state = ''",
    "DELETE FROM gridproof.demand_response_snapshots",
    "DELETE FROM gridproof.reader_positions",
    "DELETE FROM gridproof.migrations",
    "CREATE TABLE gridproof.another (id int)",
]
FORGED = """
INSERT INTO gridproof.demand_response_events (originator_id, originator_version, topic, state, notification_id)
{overriding} VALUES (gen_random_uuid(), 1, 'facility.registered.v1', '{{}}', 1)
"""


@pytest.fixture
def written(database: Database) -> Database:
    """A database whose log holds one domain event."""
    store = PostgresEventStore(DemandResponse, database.app_dsn)
    facility = Facility.register(
        provenance(), facility_id="fac-001", tz="UTC", latitude=0, longitude=0, weather_cell="c"
    )
    store.save([facility])
    store.close()
    return database


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_application_cannot_change_or_remove_recorded_events(written: Database, statement: str) -> None:
    with psycopg.connect(written.app_dsn) as connection, pytest.raises(InsufficientPrivilege):
        connection.execute(statement.encode())


@pytest.mark.parametrize("overriding", ["", "OVERRIDING SYSTEM VALUE", "OVERRIDING USER VALUE"])
def test_the_application_cannot_forge_a_position(written: Database, overriding: str) -> None:
    refused = (InsufficientPrivilege, GeneratedAlways)
    with psycopg.connect(written.app_dsn) as connection, pytest.raises(refused):
        connection.execute(FORGED.format(overriding=overriding).encode())


def test_the_application_can_add_and_read(written: Database) -> None:
    with psycopg.connect(written.app_dsn) as connection:
        connection.execute(
            "INSERT INTO gridproof.demand_response_events (originator_id, originator_version, topic, state)"
            " VALUES (%s, 1, 'facility.registered.v1', '{}')",
            (uuid4(),),
        )
        rows = connection.execute("SELECT notification_id FROM gridproof.demand_response_events").fetchall()
    assert len({row[0] for row in rows}) == 2
