"""The complete DSN applies to every connection of the event store, including parameters that the library
drops."""

from contextlib import closing
from uuid import uuid4

import pytest
from eventsourcing.persistence import OperationalError

from adapters.postgres.connection.dsn import for_failover
from adapters.postgres.event_store.event_store import PostgresEventStore
from application.event_store.demand_response import DemandResponse
from application.ports.event_store.event_store import StreamNotFound
from domain.facility import Facility
from tests.servers import Database


def test_who_asks_for_tls_is_not_connected_without(database: Database) -> None:
    """The test server has no TLS."""
    with pytest.raises(OperationalError, match="couldn't get a connection"):
        PostgresEventStore(DemandResponse, f"{database.app_dsn}&sslmode=require")


def test_of_several_hosts_the_first_that_is_there_is_taken(database: Database) -> None:
    # Nothing listens on port 1.
    several = database.app_dsn.replace("@127.0.0.1:", "@127.0.0.1:1,127.0.0.1:")
    with closing(PostgresEventStore(DemandResponse, for_failover(several))) as store:
        assert store.head() == 0
        with pytest.raises(StreamNotFound):
            store.load(Facility, uuid4())
