"""Kills InfluxDB as telemetry store under load and checks its row of docs/degradation.md."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from adapters.influxdb.store import InfluxTelemetryStore
from adapters.postgres.telemetry.external_progress import PostgresTelemetryProgress
from tests import servers
from tests.acceptance.degradation.degradation_setup import SystemBuilder, each_cell
from tests.acceptance.degradation.outage import Outage
from tests.acceptance.degradation.outages import feeding, foreseeing
from tests.influxdb_server import InfluxServer, Shim, influx_connection
from tests.servers import PostgresServer

ROW = "InfluxDB, where it keeps telemetry"


class InfluxWithShim:
    """An InfluxDB whose shim is closed when it is killed."""

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
    postgres_server: PostgresServer, influxd: InfluxServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Outage]:
    folder = tmp_path_factory.mktemp("degradation")
    with ExitStack() as stack:
        database = stack.enter_context(servers.fresh_database(postgres_server))
        influx = stack.enter_context(influx_connection(influxd))
        builder = SystemBuilder(
            stack,
            database,
            folder,
            GRIDPROOF_TELEMETRY_STORE="influx",
            GRIDPROOF_INFLUX_URL=f"{influxd.url}/{influx.database}",
        )
        builder.door()
        builder.worker("project")
        clock = builder.clock
        progress = PostgresTelemetryProgress(builder.pool(), clock)
        stack.enter_context(feeding(InfluxTelemetryStore(influx, progress, clock, raw_days=3_650), clock))
        stack.enter_context(foreseeing(database, clock))
        system_under_load = stack.enter_context(builder.under_load({ROW: InfluxWithShim(influxd)}))
        yield system_under_load.without(ROW)


@each_cell
def test_responses_match_the_table_during_an_outage_and_are_normal_after_it(
    away: Outage, column: str
) -> None:
    away.check(column)
