"""The sessions of real processes have application names and stay within the connection budget (ADR 0088)."""

import time
from collections import Counter
from pathlib import Path

import psycopg

from adapters.embedded.loopback import free_port
from interfaces.bootstrap.connection_budget import connection_budget, kind_of
from interfaces.settings.settings import read_settings
from interfaces.system.running_system import PROCESSES, RunningSystem
from tests.patience import START_S, whole_system
from tests.servers import Database

WORKERS = ("web", "decide", "watch", "dispatch", "compute", "project", "aggregate", "archive")
EXACT = {"locks": 6}
"""Sessions that their processes hold all the time: one for the locks of each."""


def sessions(database: Database) -> Counter[str]:
    """The number of sessions of the application's role by application name."""
    with psycopg.connect(database.app_dsn, application_name="test") as connection:
        rows = connection.execute(
            "SELECT application_name FROM pg_stat_activity "
            "WHERE datname = current_database() AND usename = current_user AND application_name <> 'test'"
        ).fetchall()
    return Counter(str(name) for (name,) in rows)


def test_processes_stay_within_their_connection_budget(
    database: Database, nats_url: str, tmp_path: Path
) -> None:
    settings = read_settings(
        {
            "GRIDPROOF_DATABASE_URL": database.app_dsn,
            "GRIDPROOF_NATS_URL": nats_url,
            "GRIDPROOF_MQTT_URL": "mqtt://127.0.0.1:1",
            "GRIDPROOF_REDIS_URL": "redis://127.0.0.1:1",
            "GRIDPROOF_HTTP_BIND": f"127.0.0.1:{free_port()}",
            "GRIDPROOF_DATA_DIR": str(tmp_path / "data"),
        }
    )
    budget: Counter[str] = Counter()
    for name in WORKERS:
        budget.update(connection_budget(name, settings))
        budget["survey"] += 1  # outside the budget: `watch` looks at the hosts of the address
    settings.data_dir.mkdir(parents=True)
    with whole_system(), RunningSystem(settings) as system:
        system.start_workers(settings, without=PROCESSES)
        for name in WORKERS:
            system.start_process(name, ["worker", name])
        deadline = time.monotonic() + START_S
        wanted = EXACT | {"projections": budget["projections"]}
        while True:
            names = sessions(database)
            kinds: Counter[str | None] = Counter()
            for name, count in names.items():
                kinds[kind_of(name)] += count
            assert None not in kinds, names
            assert all(count <= budget[str(kind)] for kind, count in kinds.items()), (kinds, budget)
            if all(kinds[kind] == count for kind, count in wanted.items()) and kinds["listen"] == 4:
                break
            assert time.monotonic() < deadline, names
            time.sleep(0.2)
        said = [path.read_text() for path in settings.data_dir.rglob("*.log")]
    assert said
    assert not any("PostgreSQL sessions for" in text or "too many clients" in text for text in said)
