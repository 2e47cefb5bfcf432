"""Each dependency of the doors killed in turn while callers keep asking: docs/degradation.md, cell by cell."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from adapters.embedded import EmbeddedServers
from tests import servers
from tests.acceptance.asking import Callers
from tests.acceptance.degradation import COLUMNS
from tests.acceptance.outage import Outage, outage
from tests.acceptance.outages import (
    System,
    answers,
    callers_of,
    environ_of,
    fast_clock,
    foreseeing,
    metering,
    portfolio,
    serving,
    working,
)
from tests.acceptance.terminal import Terminal
from tests.conftest import DebianCommand
from tests.integration.telemetry.mosquitto import LOCAL, Mosquitto
from tests.servers import PostgresServer

HERE = (
    "NATS",
    "the MQTT broker",
    "worker ingest",
    "worker aggregate",
    "worker relay",
    "worker dispatch",
    "worker project",
    "the cache",
    "PostgreSQL",
    "a web process",
)
"""The rows that this system shows."""
WORKERS = ("ingest", "aggregate", "relay", "dispatch", "project")


@dataclass
class Asking:
    system: System
    callers: Callers


@pytest.fixture(scope="module")
def asking(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory, debian_command: DebianCommand
) -> Iterator[Asking]:
    """Two doors and the workers, on a PostgreSQL, a NATS, a cache and an MQTT broker that may be killed."""
    folder = tmp_path_factory.mktemp("degradation")
    with ExitStack() as stack:
        database = stack.enter_context(servers.fresh_database(postgres_server))
        behind: EmbeddedServers = stack.enter_context(servers.nats_server())
        cache: EmbeddedServers = stack.enter_context(servers.valkey_server())
        broker = Mosquitto(debian_command("mosquitto"), folder)
        stack.callback(broker.kill)
        broker.start()
        terminal, clock = Terminal(database, folder), fast_clock()
        assert terminal.run("facilities", "import", terminal.file(portfolio())).exit_code == 0
        environ = environ_of(
            terminal,
            clock,
            GRIDPROOF_NATS_URL=behind.nats_url,
            GRIDPROOF_REDIS_URL=cache.redis_url,
            GRIDPROOF_MQTT_URL=f"mqtt://{LOCAL}:{broker.port}",
        )
        doors = [serving(stack, environ, folder, f"door-{number}") for number in (1, 2)]
        workers = {name: working(stack, environ, folder, name) for name in WORKERS}
        system = System(
            database,
            [url for url, _ in doors],
            [*(process for _, process in doors), *workers.values()],
            {
                "PostgreSQL": postgres_server,
                "the cache": cache.valkey,
                "NATS": behind.nats,
                "the MQTT broker": broker,
                **{f"worker {name}": process for name, process in workers.items()},
                "a web process": doors[0][1],
            },
            clock,
        )
        stack.enter_context(metering(environ["GRIDPROOF_MQTT_URL"], clock))
        system.until(lambda: all(answers(f"{url}/health") for url in system.urls), "the doors answer")
        stack.enter_context(foreseeing(database, clock))
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
