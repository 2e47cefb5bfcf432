"""Kills a primary and its replica in turn under load and checks their rows of docs/degradation.md."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from adapters.embedded.postgres import APP, OWNER, SUPERUSER
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from tests.acceptance.degradation.degradation_setup import SystemBuilder, SystemUnderLoad, each_cell
from tests.acceptance.degradation.outage import Outage
from tests.acceptance.degradation.outages import feeding, foreseeing
from tests.postgres_pair import postgres_pair
from tests.servers import Database, PostgresServer

HERE = ("the replica", "PostgreSQL, with a replica")


@pytest.fixture(scope="module")
def system_under_load(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemUnderLoad]:
    folder = tmp_path_factory.mktemp("degradation")
    with ExitStack() as stack:
        pair = stack.enter_context(postgres_pair())
        with pair.primary.connect() as connection:  # else commits wait for the killed standby
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
            connection.execute("SELECT pg_reload_conf()")
        url_of = pair.primary.url
        database = Database("gridproof", url_of(APP), url_of(OWNER), url_of(SUPERUSER))
        replica_url = pair.standby.url(APP)
        builder = SystemBuilder(stack, database, folder, GRIDPROOF_DATABASE_REPLICA_URL=replica_url)
        builder.door()
        builder.worker("project")
        store = PostgresTelemetryStore(builder.pool(), builder.clock)
        stack.enter_context(feeding(store, builder.clock))
        stack.enter_context(foreseeing(database, builder.clock))
        primary = PostgresServer(pair.primary)
        yield stack.enter_context(
            builder.under_load({"the replica": pair.standby, "PostgreSQL, with a replica": primary})
        )


@pytest.fixture(scope="module", params=HERE)
def away(system_under_load: SystemUnderLoad, request: pytest.FixtureRequest) -> Outage:
    return system_under_load.without(request.param)


@each_cell
def test_responses_match_the_table_during_an_outage_and_are_normal_after_it(
    away: Outage, column: str
) -> None:
    away.check(column)
