"""A wait for new log entries ends at once, also after a lost notification or connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from time import monotonic

import psycopg
import pytest

from adapters.postgres.connection.session import open_async_session
from adapters.postgres.event_store import log_listener
from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.event_store.log_listener import LogListener
from application.event_store.demand_response import DemandResponse
from domain.facility import Facility
from tests.sample_values import provenance
from tests.servers import Database

CHANNEL = "demand_response_events"
NEVER_S = 60.0
PATIENCE_S = 20.0
SOONEST_S = 2
"""The shortest time-out of psycopg for a connection, which its first statement falls within."""


@pytest.fixture
def signal(database: Database) -> LogListener:
    return LogListener(database.app_dsn, CHANNEL)


def register(store: PostgresEventStore, facility_id: str) -> None:
    facility = Facility.register(
        provenance(), facility_id=facility_id, tz="UTC", latitude=0, longitude=0, weather_cell="c"
    )
    store.save([facility])


async def listening(database: Database) -> None:
    """Wait until PostgreSQL reports a listener."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
    )
    async with (
        asyncio.timeout(PATIENCE_S),
        await psycopg.AsyncConnection.connect(database.admin_dsn, autocommit=True) as connection,
    ):
        while (await (await connection.execute(query)).fetchone()) != (1,):  # noqa: ASYNC110 - it is set elsewhere
            await asyncio.sleep(0.01)


def test_a_save_ends_a_wait(database: Database, signal: LogListener) -> None:
    async def scenario() -> None:
        store = PostgresEventStore(DemandResponse, database.app_dsn)
        waiting = asyncio.create_task(signal.wait(NEVER_S))
        await listening(database)
        assert not waiting.done()
        await asyncio.to_thread(register, store, "fac-001")
        async with asyncio.timeout(PATIENCE_S):
            await waiting
        store.close()
        await signal.aclose()

    asyncio.run(scenario())


def test_a_save_between_two_waits_is_not_missed(database: Database, signal: LogListener) -> None:
    async def scenario() -> None:
        store = PostgresEventStore(DemandResponse, database.app_dsn)
        await signal.wait(0.01)
        await asyncio.to_thread(register, store, "fac-001")
        async with asyncio.timeout(PATIENCE_S):
            await signal.wait(NEVER_S)
        store.close()
        await signal.aclose()

    asyncio.run(scenario())


def test_a_wait_without_a_notification_ends_after_the_heartbeat(signal: LogListener) -> None:
    async def scenario() -> None:
        before = monotonic()
        async with asyncio.timeout(PATIENCE_S):
            await signal.wait(0.1)
        assert monotonic() - before >= 0.1
        await signal.aclose()

    asyncio.run(scenario())


def test_the_listener_reconnects_after_its_connection_was_killed(
    database: Database, signal: LogListener
) -> None:
    async def scenario() -> None:
        store = PostgresEventStore(DemandResponse, database.app_dsn)
        await signal.wait(0.01)
        with psycopg.connect(database.admin_dsn, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
            )
        async with asyncio.timeout(PATIENCE_S):
            await signal.wait(
                NEVER_S
            )  # the listener detects the loss and returns, so that the caller reads the log
            waiting = asyncio.create_task(signal.wait(NEVER_S))
            await listening(database)
            await asyncio.to_thread(register, store, "fac-001")
            await waiting
        store.close()
        await signal.aclose()

    asyncio.run(scenario())


def test_the_listener_only_waits_while_the_database_is_unreachable() -> None:
    async def scenario() -> None:
        nowhere = LogListener("postgresql://nobody@127.0.0.1:1/x?connect_timeout=2", CHANNEL)
        async with asyncio.timeout(PATIENCE_S):
            await nowhere.wait(0.1)

    asyncio.run(scenario())


AUTHENTICATED = b"R\x00\x00\x00\x08\x00\x00\x00\x00"
READY = b"Z\x00\x00\x00\x05I"


class Silent:
    """A server that accepts connections like PostgreSQL but answers no statement. It counts its connections."""

    def __init__(self) -> None:
        self.came = 0
        self.gone = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came += 1
        length = int.from_bytes(await reader.readexactly(4), "big")
        await reader.readexactly(length - 4)
        writer.write(AUTHENTICATED + READY)
        while await reader.read(1_024):
            pass
        self.gone += 1
        writer.close()

    @asynccontextmanager
    async def at(self) -> AsyncIterator[str]:
        """Run the server; yields its address."""
        async with await asyncio.start_server(self, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            yield f"postgresql://nobody@127.0.0.1:{port}/x?sslmode=disable&gssencmode=disable"


async def until_gone(silent: Silent, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while silent.gone < count:  # noqa: ASYNC110 - it is set elsewhere
            await asyncio.sleep(0.01)


def test_a_server_without_a_response_blocks_no_wait_and_is_reconnected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_listener, "LISTEN_WITHIN_S", 0.2)
    monkeypatch.setattr(
        log_listener, "open_async_session", partial(open_async_session, connect_within_s=SOONEST_S)
    )

    async def scenario() -> None:
        silent = Silent()
        async with silent.at() as address:
            signal = LogListener(address, CHANNEL)
            for connection in (1, 2):
                async with asyncio.timeout(PATIENCE_S):
                    await signal.wait(NEVER_S)
                await until_gone(silent, connection)
            assert silent.came == 2, "no connection was opened to cancel the statement"
            await signal.aclose()

    asyncio.run(scenario())


def test_a_wait_during_a_connect_ends_at_the_heartbeat_and_leaks_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_listener, "LISTEN_WITHIN_S", NEVER_S)
    monkeypatch.setattr(log_listener, "MIN_CONNECT_WAIT_S", 0.1)

    async def scenario() -> None:
        silent = Silent()
        async with silent.at() as address:
            signal = LogListener(address, CHANNEL)
            async with asyncio.timeout(PATIENCE_S):
                for _ in range(3):
                    await signal.wait(0.01)
                while not silent.came:
                    await signal.wait(0.01)
            assert (silent.came, silent.gone) == (1, 0), "the same connection attempt continues"
            await signal.aclose()
            await until_gone(silent, 1)

    asyncio.run(scenario())


def test_a_save_during_a_connect_is_not_missed(monkeypatch: pytest.MonkeyPatch, signal: LogListener) -> None:
    """The notification is lost, but the wait returns, and the caller reads the log."""
    monkeypatch.setattr(log_listener, "MIN_CONNECT_WAIT_S", 0.0)

    async def scenario() -> None:
        await signal.wait(0.0)
        assert signal._connecting is not None
        async with asyncio.timeout(PATIENCE_S):
            await signal.wait(NEVER_S)
        await signal.aclose()

    asyncio.run(scenario())
