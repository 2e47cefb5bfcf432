"""Kills the compute worker and the weather service in turn under load and checks their rows of the table."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta

import numpy as np
import pytest

from adapters.clock import AcceleratedClock
from adapters.embedded.loopback import HOST, free_port
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from application.ports.telemetry.store import ImportedIntervals
from domain.forecast import CYCLE, cycle_start_of
from tests import servers
from tests.acceptance.degradation.degradation_setup import SystemBuilder, SystemUnderLoad, each_cell
from tests.acceptance.degradation.outage import Outage
from tests.acceptance.degradation.outages import FACILITIES, feeding
from tests.acceptance.forked_commands import ForkedCommand
from tests.servers import PostgresServer

HERE = {"the weather service": 39.0, "worker compute": 2.0}
"""Wall seconds for which each outage is observed: without weather, until a forecast would have become old."""
SPEED = 50.0
"""A cycle is 18 s on the wall, and a forecast is old after 36 s: the worker has one cycle to make the next one, also on
a busy machine. After 144 s there is no forecast; until then the worker is killed, observed, restarted and done."""
DAYS = 15


def import_history(store: PostgresTelemetryStore, clock: AcceleratedClock) -> None:
    """Store two weeks of a flat load."""
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
def system_under_load(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SystemUnderLoad]:
    folder, weather_at = tmp_path_factory.mktemp("degradation"), f"{HOST}:{free_port()}"
    with ExitStack() as stack:
        database = stack.enter_context(servers.fresh_database(postgres_server))
        weather_url = f"http://{weather_at}"
        builder = SystemBuilder(stack, database, folder, speed=SPEED, GRIDPROOF_WEATHER_URL=weather_url)
        store = PostgresTelemetryStore(builder.pool(), builder.clock)
        import_history(store, builder.clock)
        stack.enter_context(feeding(store, builder.clock))
        arguments = ["simulate", "weather", "--bind", weather_at]
        weather = ForkedCommand(arguments, builder.environ, folder / "weather.log")
        stack.callback(weather.kill)
        weather.start()
        builder.processes.append(weather)
        builder.door()
        builder.worker("project")
        forecast = builder.worker("compute")
        yield stack.enter_context(
            builder.under_load({"the weather service": weather, "worker compute": forecast})
        )


@pytest.fixture(scope="module", params=HERE)
def away(system_under_load: SystemUnderLoad, request: pytest.FixtureRequest) -> Outage:
    return system_under_load.without(request.param, observed_s=HERE[request.param])


@each_cell
def test_responses_match_the_table_during_an_outage_and_are_normal_after_it(
    away: Outage, column: str
) -> None:
    away.check(column)
