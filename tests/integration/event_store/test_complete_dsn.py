"""The complete DSN applies to every connection of the event store, including parameters that the library
drops."""

import threading
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


def test_a_store_without_the_required_tls_does_not_open_and_leaves_no_pool(database: Database) -> None:
    """The test server has no TLS."""
    before = set(threading.enumerate())
    with pytest.raises(OperationalError, match="couldn't get a connection") as refused:
        PostgresEventStore(DemandResponse, f"{database.app_dsn}&sslmode=require")
    left = [thread for thread in threading.enumerate() if thread not in before]
    assert left == [], refused  # the error refers to the application, so no pool was garbage-collected


def test_the_first_available_of_several_hosts_is_used(database: Database) -> None:
    # Nothing listens on port 1.
    several = database.app_dsn.replace("@127.0.0.1:", "@127.0.0.1:1,127.0.0.1:")
    with closing(PostgresEventStore(DemandResponse, for_failover(several))) as store:
        assert store.head() == 0
        with pytest.raises(StreamNotFound):
            store.load(Facility, uuid4())
