"""A primary and its replica, killed in turn while callers keep asking: their rows of docs/degradation.md."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from psycopg_pool import ConnectionPool

from adapters.embedded import EmbeddedServers
from adapters.embedded.postgres import APP, OWNER, SUPERUSER
from adapters.postgres.quick_pool import QuickPool
from adapters.postgres.telemetry_store import PostgresTelemetryStore
from tests.acceptance.asking import Callers
from tests.acceptance.degradation import COLUMNS
from tests.acceptance.outage import Outage, outage
from tests.acceptance.outages import (
    Dependency,
    System,
    answers,
    callers_of,
    environ_of,
    fast_clock,
    feeding,
    foreseeing,
    portfolio,
    serving,
    working,
)
from tests.acceptance.terminal import Terminal
from tests.postgres_pair import postgres_pair
from tests.servers import Database, PostgresServer

HERE = ("the replica", "PostgreSQL, with a replica")


@dataclass
class Asking:
    system: System
    callers: Callers


@pytest.fixture(scope="module")
def asking(
    nats_server: EmbeddedServers,
    valkey_server: EmbeddedServers,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Asking]:
    folder = tmp_path_factory.mktemp("degradation")
    with ExitStack() as stack:
        pair = stack.enter_context(postgres_pair())
        with pair.primary.connect() as connection:  # else no post ends without its standby
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
            connection.execute("SELECT pg_reload_conf()")
        url_of = pair.primary.url
        database = Database("gridproof", url_of(APP), url_of(OWNER), url_of(SUPERUSER))
        terminal, clock = Terminal(database, folder), fast_clock()
        assert terminal.run("facilities", "import", terminal.file(portfolio())).exit_code == 0
        environ = environ_of(
            terminal,
            clock,
            GRIDPROOF_NATS_URL=nats_server.nats_url,
            GRIDPROOF_REDIS_URL=valkey_server.redis_url,
            GRIDPROOF_DATABASE_REPLICA_URL=pair.standby.url(APP),
        )
        url, door = serving(stack, environ, folder, "door")
        project = working(stack, environ, folder, "project")
        dependencies: dict[str, Dependency] = {
            "the replica": pair.standby,
            "PostgreSQL, with a replica": PostgresServer(pair.primary),
        }
        system = System(database, [url], [door, project], dependencies, clock)
        pool: ConnectionPool[Any] = stack.enter_context(
            QuickPool(database.app_dsn, min_size=1, max_size=2, timeout=1)
        )
        stack.enter_context(feeding(PostgresTelemetryStore(pool, clock), clock))
        stack.enter_context(foreseeing(database, clock))
        system.until(lambda: answers(f"{url}/health"), "the door answers")
        callers = callers_of(system)
        with callers.asking():
            yield Asking(system, callers)


@pytest.fixture(scope="module", params=HERE)
def away(asking: Asking, request: pytest.FixtureRequest) -> Outage:
    return outage(asking.system, asking.callers, request.param)


@pytest.mark.parametrize("column", COLUMNS)
def test_while_it_is_away_each_is_answered_as_the_table_says_and_then_as_ever(
    away: Outage, column: str
) -> None:
    away.check(column)
