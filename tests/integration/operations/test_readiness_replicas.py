"""Whether `/ready` of the web process says that every replica is current."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from interfaces.bootstrap.health.readiness import readiness_probes
from interfaces.bootstrap.stores import Stores, open_stores
from interfaces.readiness import Readiness, readiness_of, states_of
from interfaces.settings.settings import Settings
from tests.open_alerts import begin_alert, end_alert
from tests.servers import Database


def readiness(stores: Stores) -> Readiness:
    probes = [probe for probe in readiness_probes(stores) if probe.name == "replicas"]
    return readiness_of(asyncio.run(states_of(probes)))


@pytest.mark.parametrize("name", ["no_synchronous_standby", "standby_lost", "replica_not_current"])
def test_a_replica_that_is_not_current_degrades_the_process_until_it_is(
    database: Database, tmp_path: Path, name: str
) -> None:
    settings = Settings(data_dir=tmp_path, database_url=database.app_dsn)
    with closing(open_stores(settings, pool_size=2)) as stores:
        alerts, now = stores.alerts(), stores.clock.now()
        assert readiness(stores).status == "ready"
        begin_alert(alerts, name, "db-2", "it is away", at=now)
        found = readiness(stores)
        assert (found.status, found.dependencies[0].problem) == ("degraded", f"open alerts: {name}")
        end_alert(alerts, name, "db-2", at=now)
        assert readiness(stores).status == "ready"
