"""The complete DSN applies to every connection of the event store, including parameters that the library
drops."""

import threading
from contextlib import closing
from uuid import uuid4

import pytest

from adapters.postgres.connection.dsn import for_failover
from adapters.postgres.event_store.event_store import PostgresEventStore
from application.event_store.demand_response import DemandResponse
from application.ports.event_store.event_store import EventStoreUnavailable, StreamNotFound
from domain.facility import Facility
from tests.servers import Database


def test_a_store_without_the_required_tls_does_not_answer_and_leaves_no_thread(database: Database) -> None:
    """The test server has no TLS."""
    before = set(threading.enumerate())
    with (
        closing(PostgresEventStore(DemandResponse, f"{database.app_dsn}&sslmode=require")) as store,
        pytest.raises(EventStoreUnavailable, match="SSL"),
    ):
        store.head()
    assert [thread for thread in threading.enumerate() if thread not in before] == []


def test_the_pool_of_the_library_stays_closed(database: Database) -> None:
    with closing(PostgresEventStore(DemandResponse, database.app_dsn)) as store:
        assert store.head() == 0
        assert store.find_reply("scope", "key") is None
        assert store.load_many(Facility, [uuid4()]) == {}
        assert store._recorder.datastore.pool.closed


def test_the_first_available_of_several_hosts_is_used(database: Database) -> None:
    # Nothing listens on port 1.
    several = database.app_dsn.replace("@127.0.0.1:", "@127.0.0.1:1,127.0.0.1:")
    with closing(PostgresEventStore(DemandResponse, for_failover(several))) as store:
        assert store.head() == 0
        with pytest.raises(StreamNotFound):
            store.load(Facility, uuid4())
