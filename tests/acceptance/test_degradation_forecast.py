"""The forecast worker and the weather service, killed in turn while callers keep asking: their rows, cell by cell."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from psycopg_pool import ConnectionPool

from adapters.clock import AcceleratedClock
from adapters.embedded import EmbeddedServers
from adapters.embedded.loopback import HOST, free_port
from adapters.postgres.quick_pool import QuickPool
from adapters.postgres.telemetry_store import PostgresTelemetryStore
from application.ports.telemetry_store import ImportedIntervals
from domain.forecast import CYCLE, cycle_start_of
from tests import servers
from tests.acceptance.asking import Callers
from tests.acceptance.degradation import COLUMNS
from tests.acceptance.forked import Forked
from tests.acceptance.outage import Outage, outage
from tests.acceptance.outages import (
    FACILITIES,
    Dependency,
    System,
    answers,
    callers_of,
    environ_of,
    fast_clock,
    feeding,
    portfolio,
    serving,
    working,
)
from tests.acceptance.terminal import Terminal
from tests.servers import PostgresServer

HERE = {"the weather service": 7.0, "worker forecast": 2.0}
"""For how long each is looked at, wall seconds: without weather, until a forecast would have grown old."""
SPEED = 300.0
"""A cycle is 3 s on the wall, and a forecast is old after 6."""
DAYS = 15


@dataclass
class Asking:
    system: System
    callers: Callers


def remember(store: PostgresTelemetryStore, clock: AcceleratedClock) -> None:
    """Two weeks of a flat load."""
    quarter_s = int(CYCLE.total_seconds())
    until = cycle_start_of(clock.now())
    starts_s = np.arange(int((until - timedelta(days=DAYS)).timestamp()), int(until.timestamp()), quarter_s)
    times, count = len(FACILITIES), len(starts_s)
    store.import_intervals(
        ImportedIntervals(
            FACILITIES,
            np.repeat(np.arange(times), count),
            np.tile(starts_s, times),
            np.full(times * count, quarter_s),
            np.full(times * count, 10.0),
            np.full(times * count, 20.0),
        )
    )


@pytest.fixture(scope="module")
def asking(
    postgres_server: PostgresServer,
    nats_server: EmbeddedServers,
    valkey_server: EmbeddedServers,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Asking]:
    folder = tmp_path_factory.mktemp("degradation")
    with ExitStack() as stack:
        database = stack.enter_context(servers.fresh_database(postgres_server))
        terminal, clock = Terminal(database, folder), fast_clock(SPEED)
        assert terminal.run("facilities", "import", terminal.file(portfolio())).exit_code == 0
        weather_at = f"{HOST}:{free_port()}"
        environ = environ_of(
            terminal,
            clock,
            GRIDPROOF_NATS_URL=nats_server.nats_url,
            GRIDPROOF_REDIS_URL=valkey_server.redis_url,
            GRIDPROOF_WEATHER_URL=f"http://{weather_at}",
        )
        pool: ConnectionPool[Any] = stack.enter_context(
            QuickPool(database.app_dsn, min_size=1, max_size=2, timeout=1)
        )
        store = PostgresTelemetryStore(pool, clock)
        remember(store, clock)
        stack.enter_context(feeding(store, clock))
        weather = Forked(["simulate", "weather", "--bind", weather_at], environ, folder / "weather.log")
        stack.callback(weather.kill)
        weather.start()
        url, door = serving(stack, environ, folder, "door")
        workers = [working(stack, environ, folder, name) for name in ("project", "forecast")]
        dependencies: dict[str, Dependency] = {"the weather service": weather, "worker forecast": workers[1]}
        system = System(database, [url], [door, *workers, weather], dependencies, clock)
        system.until(lambda: answers(f"{url}/health"), "the door answers")
        callers = callers_of(system)
        with callers.asking():
            yield Asking(system, callers)


@pytest.fixture(scope="module", params=HERE)
def away(asking: Asking, request: pytest.FixtureRequest) -> Outage:
    return outage(asking.system, asking.callers, request.param, observed_s=HERE[request.param])


@pytest.mark.parametrize("column", COLUMNS)
def test_while_it_is_away_each_is_answered_as_the_table_says_and_then_as_ever(
    away: Outage, column: str
) -> None:
    away.check(column)
