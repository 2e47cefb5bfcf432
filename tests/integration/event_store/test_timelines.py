"""The timeline of the log by range of positions, and what happens to a server that was replaced (ADR 0102)."""

import asyncio
from contextlib import closing
from uuid import uuid4

import psycopg
import pytest

from adapters.embedded.loopback import HOST
from adapters.embedded.postgres import APP, EmbeddedPostgres
from adapters.postgres.connection import session as sessions
from adapters.postgres.connection.dsn import for_failover
from adapters.postgres.connection.pool import PostgresPool
from adapters.postgres.connection.session import open_session
from adapters.postgres.connection.survey import primaries_of
from adapters.postgres.connection.timeline import OlderTimeline, TimelineFence, UnknownCluster
from adapters.postgres.coordination.session_locks import NAMES, LockSession
from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.event_store.log_session import log_session
from adapters.postgres.operations.database_server import PostgresDatabaseServer
from adapters.postgres.schema.accepted_cluster import accept_cluster
from adapters.postgres.schema.migrate import MigrationError
from application.command_bus.bus import CommandBus
from application.commands.facility import RegisterFacility
from application.event_store.demand_response import DemandResponse
from application.handlers import HANDLERS
from application.ports.event_store.event_store import EventStoreUnavailable
from application.ports.operations.database_server import ServerIdentity, Standbys
from tests.fakes.clock import FakeClock
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.integration.event_store.stored_events import until
from tests.patience import ANSWER_S
from tests.postgres_pair import postgres_pair
from tests.sample_values import CONTEXT, NOW, facility_entry
from tests.servers import Database

LOG = "demand_response_events"
OLD = "is on timeline 1, and timeline 2 of its cluster has begun"


def ranges(dsn: str) -> list[tuple[str, int, int]]:
    """(log, timeline, after position)"""
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            "SELECT log, timeline, after_position FROM gridproof.log_timelines ORDER BY number"
        ).fetchall()


def save(store: PostgresEventStore) -> int:
    """The position of the last domain event that it saved."""
    bus = CommandBus(store, FakeClock(NOW), HANDLERS, forecasts=FakeForecastBook())
    bus.handle(RegisterFacility(entry=facility_entry(f"fac-{uuid4().hex}")), CONTEXT)
    return store.head()


def started_again(server: EmbeddedPostgres) -> str:
    """Start an old primary as if nothing had happened; its address."""
    server.start()
    dsn = for_failover(server.url(APP))
    until(lambda: answers(dsn))
    return dsn


def answers(dsn: str) -> bool:
    try:
        psycopg.connect(dsn).close()
    except psycopg.OperationalError:
        return False
    return True


async def acquire_lock(dsn: str) -> None:
    session = LockSession(dsn)
    try:
        await session.acquire(NAMES, ["any"])
    finally:
        await session.aclose()


def test_a_server_that_was_replaced_is_refused_by_every_kind_of_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with (
        postgres_pair() as pair,
        closing(PostgresEventStore(DemandResponse, for_failover(pair.app_dsn))) as store,
        PostgresPool(for_failover(pair.app_dsn), min_size=1, max_size=1) as servers,
    ):
        server = PostgresDatabaseServer(servers)
        save(store)
        before = save(store)
        assert ranges(pair.owner_dsn) == [(LOG, 1, 0)]
        assert server.standbys() == Standbys(attached=1, synchronous=True)
        pair.fail_over()
        until(lambda: saved(store))
        assert ranges(for_failover(pair.owner_dsn)) == [(LOG, 1, 0), (LOG, 2, before)]
        assert server.standbys() == Standbys(attached=0, synchronous=False)
        assert server.replaced() == []

        old = started_again(pair.primary)
        with closing(PostgresEventStore(DemandResponse, old)) as other:
            with pytest.raises(EventStoreUnavailable, match=OLD):
                save(other)
            with pytest.raises(EventStoreUnavailable, match=OLD):
                other.head()
        with pytest.raises(OlderTimeline, match=OLD), log_session(old, "any projection", []):
            pass
        with pytest.raises(psycopg.OperationalError, match=OLD):
            asyncio.run(acquire_lock(old))
        with PostgresPool(old, min_size=0, max_size=1) as pool, pytest.raises(OlderTimeline, match=OLD):
            pool.getconn(timeout=1)
        [replaced] = server.replaced()
        assert replaced == ServerIdentity(address=f"{HOST}:{pair.primary.ports['postgres']}", timeline=1)
        with open_session(listed_first(pair.primary, pair.standby), "new") as session:
            assert session.info.port == pair.standby.ports["postgres"]

        monkeypatch.setattr(sessions, "FENCE", TimelineFence())
        assert len(list(primaries_of(listed_first(pair.primary, pair.standby)))) == 2, "as a process starts"
        with pytest.raises(OlderTimeline, match=OLD):
            open_session(old, "old")

        closed_when_the_newer_timeline_is_seen(old, for_failover(pair.standby.url(APP)), monkeypatch)


def saved(store: PostgresEventStore) -> bool:
    try:
        return save(store) > 0
    except EventStoreUnavailable:
        return False


def listed_first(first: EmbeddedPostgres, second: EmbeddedPostgres) -> str:
    one, other = (f"{HOST}:{server.ports['postgres']}" for server in (first, second))
    return for_failover(first.url(APP).replace(one, f"{one},{other}"))


def closed_when_the_newer_timeline_is_seen(old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has seen the old primary alone works with it until it sees the new one."""
    monkeypatch.setattr(sessions, "FENCE", TimelineFence())
    with open_session(old, "reader") as session, PostgresPool(old, min_size=1, max_size=1) as pool:
        pool.wait(ANSWER_S)
        assert session.execute("SELECT 1").fetchone() == (1,)
        open_session(new, "new").close()
        with pytest.raises(OlderTimeline, match=OLD):
            session.execute("SELECT 1")
        assert session.pgconn.status == psycopg.pq.ConnStatus.BAD
        with pytest.raises(OlderTimeline, match=OLD):
            pool.getconn(timeout=1)


def test_a_loaded_dump_stops_until_somebody_accepts_its_cluster(database: Database) -> None:
    with closing(PostgresEventStore(DemandResponse, database.app_dsn)) as store:
        position = save(store)
    with psycopg.connect(database.owner_dsn) as owner:  # as in a dump of another cluster
        owner.execute("UPDATE gridproof.log_timelines SET cluster = cluster + 1, timeline = 7")
    with psycopg.connect(database.owner_dsn) as owner:
        [(cluster,)] = owner.execute("SELECT system_identifier FROM pg_control_system()").fetchall()

    with pytest.raises(UnknownCluster, match=f"--accept-cluster {cluster}"):
        open_session(database.app_dsn, "any")
    with pytest.raises(MigrationError, match=f"is the cluster {cluster}, not 1"):
        accept_cluster(database.owner_dsn, 1)
    assert accept_cluster(database.owner_dsn, cluster) == 1
    assert accept_cluster(database.owner_dsn, cluster) == 0

    with closing(PostgresEventStore(DemandResponse, database.app_dsn)) as store:
        save(store)
    timeline = ranges(database.owner_dsn)[-1][1]
    assert ranges(database.owner_dsn) == [(LOG, 7, 0), (LOG, timeline, position)]


def test_no_role_of_the_application_can_change_what_is_recorded(database: Database) -> None:
    with psycopg.connect(database.app_dsn, autocommit=True) as app:
        for statement in (
            "UPDATE gridproof.log_timelines SET timeline = 9",
            "DELETE FROM gridproof.log_timelines",
            "INSERT INTO gridproof.log_timelines (accepted_by) VALUES ('me')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(statement.encode())
