"""Kills each dependency of the API in turn under load and checks docs/degradation.md cell by cell."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests import servers
from tests.acceptance.degradation.degradation_setup import SystemBuilder, SystemUnderLoad, each_cell
from tests.acceptance.degradation.outage import Outage
from tests.acceptance.degradation.outages import Dependency, foreseeing, metering
from tests.conftest import DebianCommand
from tests.integration.telemetry.mosquitto import LOCAL, Mosquitto
from tests.servers import PostgresServer

HERE = (
    "NATS",
    "the MQTT broker",
    "worker ingest",
    "worker aggregate",
    "worker decide",
    "worker dispatch",
    "worker project",
    "the cache",
    "PostgreSQL",
    "a web process",
)
"""The rows of the table that this system covers."""
WORKERS = ("ingest", "aggregate", "decide", "dispatch", "project")


@pytest.fixture(scope="module")
def system_under_load(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory, debian_command: DebianCommand
) -> Iterator[SystemUnderLoad]:
    """Two web processes and the workers, on a PostgreSQL, a NATS, a cache and an MQTT broker that can be killed."""
    folder = tmp_path_factory.mktemp("degradation")
    with ExitStack() as stack:
        broker = Mosquitto(debian_command("mosquitto"), folder)
        stack.callback(broker.kill)
        broker.start()
        mqtt_url = f"mqtt://{LOCAL}:{broker.port}"
        database = stack.enter_context(servers.fresh_database(postgres_server))
        builder = SystemBuilder(stack, database, folder, GRIDPROOF_MQTT_URL=mqtt_url)
        doors = [builder.door(f"door-{number}") for number in (1, 2)]
        workers = {f"worker {name}": builder.worker(name) for name in WORKERS}
        stack.enter_context(metering(mqtt_url, builder.clock))
        stack.enter_context(foreseeing(database, builder.clock))
        dependencies: dict[str, Dependency] = {
            "PostgreSQL": postgres_server,
            "the cache": builder.cache.valkey,
            "NATS": builder.nats.nats,
            "the MQTT broker": broker,
            "a web process": doors[0],
            **workers,
        }
        yield stack.enter_context(builder.under_load(dependencies))


@pytest.fixture(scope="module", params=HERE)
def away(system_under_load: SystemUnderLoad, request: pytest.FixtureRequest) -> Outage:
    return system_under_load.without(request.param)


@each_cell
def test_responses_match_the_table_during_an_outage_and_are_normal_after_it(
    away: Outage, column: str
) -> None:
    away.check(column)
