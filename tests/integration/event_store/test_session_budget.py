"""Every way to reach PostgreSQL counts against the budget of the process (ADR 0088)."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from psycopg_pool import PoolTimeout

from adapters.postgres.connection.budget import BUDGET, BudgetExceeded
from adapters.postgres.connection.dedicated_connection import DedicatedConnection
from adapters.postgres.connection.pool import PostgresPool
from adapters.postgres.connection.session import open_async_session, open_session
from adapters.postgres.event_store.event_store import PostgresEventStore
from application.event_store.demand_response import DemandResponse
from application.ports.event_store.event_store import EventStoreUnavailable
from interfaces.bootstrap.connection_budget import kind_of
from tests.servers import Database


@pytest.fixture(autouse=True)
def budget(database: Database) -> Iterator[None]:
    BUDGET.set_limits({"pool": 2, "event_store": 1, "waits": 1}, kind_of)
    yield
    BUDGET.set_limits(None, kind_of)


def test_sessions_that_are_opened_by_themselves_are_held_to_the_budget(database: Database) -> None:
    with open_session(database.app_dsn, "gridproof waits") as first:
        with pytest.raises(BudgetExceeded):
            open_session(database.app_dsn, "gridproof waits")
        with pytest.raises(BudgetExceeded):
            asyncio.run(open_async_session(database.app_dsn, "gridproof waits"))
        first.close()
        open_session(database.app_dsn, "gridproof waits").close()


def test_a_pool_that_is_larger_than_its_budget_opens_no_more(database: Database) -> None:
    with PostgresPool(database.app_dsn, min_size=1, max_size=3, timeout=5) as pool, ExitStack() as held:
        for _ in range(2):
            held.enter_context(pool.connection())
        with pytest.raises(PoolTimeout):
            pool.getconn(timeout=0.3)
        assert BUDGET.open_sessions()["pool"] == 2


def test_the_connections_of_the_event_store_are_held_to_the_budget(database: Database) -> None:
    with closing(PostgresEventStore(DemandResponse, database.app_dsn)) as store:
        assert store.head() == 0
        other = DedicatedConnection(database.app_dsn, "streams", {b"one": b"SELECT 1"})
        with pytest.raises(BudgetExceeded, match="sessions for event_store"):
            other.run((b"one", ()))
        with pytest.raises(EventStoreUnavailable, match="sessions for event_store"):
            store.load_many(object, [])  # type: ignore[type-var]
