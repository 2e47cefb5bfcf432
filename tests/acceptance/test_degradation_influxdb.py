"""Telemetry in InfluxDB, killed while callers keep asking: its row of docs/degradation.md, cell by cell."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from psycopg_pool import ConnectionPool

from adapters.embedded import EmbeddedServers
from adapters.influxdb.store import InfluxTelemetryStore
from adapters.postgres.telemetry_progress import PostgresTelemetryProgress
from tests import servers
from tests.acceptance.degradation import COLUMNS
from tests.acceptance.outage import Outage, outage
from tests.acceptance.outages import (
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
from tests.influxdb_server import InfluxServer, Shim, influx_connection
from tests.servers import PostgresServer

ROW = "InfluxDB, where it keeps telemetry"


class WithItsShim:
    """An InfluxDB of which nothing listens any more once it is killed."""

    def __init__(self, server: InfluxServer) -> None:
        self._server = server
        self._port = int(server.shim.server_address[1])

    def kill(self) -> None:
        self._server.kill()
        self._server.shim.shutdown()
        self._server.shim.server_close()

    def start(self) -> None:
        self._server.start()
        shim = self._server.shim = Shim(self._server.http_port, self._port)
        threading.Thread(target=shim.serve_forever, name="influxdb-shim", daemon=True).start()


@pytest.fixture(scope="module")
def away(
    postgres_server: PostgresServer,
    nats_server: EmbeddedServers,
    valkey_server: EmbeddedServers,
    influxd: InfluxServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Outage]:
    folder = tmp_path_factory.mktemp("degradation")
    with ExitStack() as stack:
        database = stack.enter_context(servers.fresh_database(postgres_server))
        influx = stack.enter_context(influx_connection(influxd))
        terminal, clock = Terminal(database, folder), fast_clock()
        assert terminal.run("facilities", "import", terminal.file(portfolio())).exit_code == 0
        environ = environ_of(
            terminal,
            clock,
            GRIDPROOF_NATS_URL=nats_server.nats_url,
            GRIDPROOF_REDIS_URL=valkey_server.redis_url,
            GRIDPROOF_TELEMETRY_STORE="influx",
            GRIDPROOF_INFLUX_URL=f"{influxd.url}/{influx.database}",
        )
        url, door = serving(stack, environ, folder, "door")
        project = working(stack, environ, folder, "project")
        system = System(database, [url], [door, project], {ROW: WithItsShim(influxd)}, clock)
        pool = stack.enter_context(ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2))
        store = InfluxTelemetryStore(influx, PostgresTelemetryProgress(pool, clock), clock, raw_days=3_650)
        stack.enter_context(feeding(store, clock))
        stack.enter_context(foreseeing(database, clock))
        system.until(lambda: answers(f"{url}/health"), "the door answers")
        callers = callers_of(system)
        with callers.asking():
            yield outage(system, callers, ROW)


@pytest.mark.parametrize("column", COLUMNS)
def test_while_it_is_away_each_is_answered_as_the_table_says_and_then_as_ever(
    away: Outage, column: str
) -> None:
    away.check(column)
