"""The database is lost during a DR event and its standby on another port is promoted: same result.

Every process uses one connection string with both hosts, as in production. The standby is listed first.
"""

from contextlib import closing
from pathlib import Path

import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.connection.dsn import for_failover
from adapters.postgres.operations.alerts import PostgresAlerts
from domain.dr_event import Batch
from interfaces.simulators.bms.journal import COMMANDED, curtailed_zones, duplicate_actions
from tests.chaos.phases import keeps_its_promises
from tests.chaos.small_system import small_system
from tests.demo_runs import KILLED, run_demo_with_listener
from tests.postgres_pair import PostgresPair, postgres_pair
from tests.servers import Database


def test_commits_in_progress_during_a_failover_are_executed_once(nats_url: str, tmp_path: Path) -> None:
    """The three processes are not restarted: they continue by themselves."""
    with postgres_pair() as pair:
        database = Database("gridproof", pair.app_dsn, pair.owner_dsn, pair.app_dsn)
        with small_system(database, nats_url, tmp_path, "") as system:
            system.until_scheduled()
            system.prepare()
            system.propose_start()
            pair.fail_over()
            system.until_committed()
            system.end()
            assert system.killed == []
            assert system.dr_event.batch == Batch(asked=2, prepared=2, committed=2, failed=0, restored=2)
            assert duplicate_actions(system.journal) == {}
            for facility_id in system.facility_ids:
                done = [entry.action for entry in system.journal if entry.facility_id == facility_id]
                assert [action for action in done if action in COMMANDED] == ["prepare", "commit", "restore"]
            assert curtailed_zones(system.journal, system.clock.now()) == set()


@pytest.mark.chaos
def test_a_failover_during_an_active_dr_event_does_not_change_the_outcome(tmp_path: Path) -> None:
    """All processes of the demo, its ledger and its alert."""
    with postgres_pair() as pair:
        fallen: list[str] = []

        def heard(_: int, line: str) -> None:
            if "the DR event is active" in line and not fallen:
                fallen.append(line)
                pair.fail_over()

        run = run_demo_with_listener(
            *KILLED,
            "--servers-of-settings",
            data_dir=tmp_path / "data",
            heard=heard,
            settings={
                "GRIDPROOF_DATABASE_URL": pair.app_dsn,
                "GRIDPROOF_MIGRATION_DATABASE_URL": pair.owner_dsn,
            },
        )
        assert fallen, run.said
        keeps_its_promises(run)
        assert run.document["facilities"] == {"asked": 4, "committed": 2, "failed": 2, "restored": 2}
        was, now = (f"127.0.0.1:{server.ports['postgres']}" for server in (pair.primary, pair.standby))
        assert failover_alerts(pair) == [f"{was} on timeline 1 is now {now} on timeline 2"]


def failover_alerts(pair: PostgresPair) -> list[str]:
    """The details of the failover alerts, including cleared ones."""
    with closing(ConnectionPool(for_failover(pair.app_dsn), min_size=1, open=True)) as pool:
        alerts = PostgresAlerts(pool).listed(include_cleared=True)
    return [alert.detail.partition(";")[0] for alert in alerts if alert.name == "database_failover"]
