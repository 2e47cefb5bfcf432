"""What the workers look for again and again is found without reading the dispatches that have ended."""

import asyncio
from contextlib import closing
from pathlib import Path

import psycopg

from interfaces.bootstrap import open_stores
from interfaces.bootstrap.doctor.open_work import check_open_work
from interfaces.bootstrap.kinds.dispatch import curtailed_dispatches
from interfaces.bootstrap.monitors import monitors_of
from interfaces.settings.settings import read_settings
from interfaces.workers.loops.periodic import PeriodicCheck
from tests.servers import Database

ENDED = 20_000
_STORE_ENDED = """
INSERT INTO gridproof.rm_dispatches (generation, key, sort_key, tenant, row, position)
SELECT 1, 'dispatch-' || n, 'fac-' || n, 'city-power',
       jsonb_build_object('status', (ARRAY['restored', 'compensated', 'aborted', 'failed'])[1 + mod(n, 4)],
                          'dr_event_id', n / 100, 'facility_id', 'fac-' || mod(n, 100)), n
FROM generate_series(1, %s) AS n
"""
_ROWS_READ = """
SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0) FROM pg_stat_user_tables WHERE relname LIKE 'rm_dispatches%'
"""


def rows_read(database: Database) -> int:
    with psycopg.connect(database.admin_dsn, autocommit=True) as connection:
        found = connection.execute(_ROWS_READ).fetchone()
    assert found is not None
    return int(found[0])


async def _round(monitor: PeriodicCheck) -> None:
    await monitor.check()


def test_a_round_of_every_loop_reads_no_ended_dispatch(database: Database, tmp_path: Path) -> None:
    with psycopg.connect(database.admin_dsn, autocommit=True) as connection:
        connection.execute(_STORE_ENDED, [ENDED])
        connection.execute("VACUUM ANALYZE gridproof.rm_dispatches")
    settings = read_settings(
        {"GRIDPROOF_DATABASE_URL": database.app_dsn, "GRIDPROOF_DATA_DIR": str(tmp_path / "data")}
    )
    before = rows_read(database)
    with closing(
        open_stores(settings, pool_size=1)
    ) as stores:  # its sessions state their figures when they close
        for monitor in monitors_of(stores):
            asyncio.run(_round(monitor))
        assert list(curtailed_dispatches(stores)) == []
        assert check_open_work(stores).state == "ok"
    assert rows_read(database) - before < ENDED / 10
