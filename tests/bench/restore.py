"""Benchmark restore: `gridproof restore` of a full backup and the log after it, compared with copying and unpacking the
same files."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from tests.bench.environment import BenchEnvironment
from tests.bench.figures import Figure, figure
from tests.bench.rounds import timed

BACKED_UP, LOGGED = 800_000, 400_000
"""Chunks of readings, each of 40 readings and about 2 kB: before the backup, and after it."""
AT_ONCE = 50_000
MB = 1e6
_FILL = """
INSERT INTO gridproof.reading_chunks (quarter, facility_id, meter_ids, ts, kw, kwh_total, seq)
SELECT quarter, 'fac-' || number, ARRAY(SELECT 'm' || n FROM generate_series(1, 40) AS n),
    ARRAY(SELECT quarter + n * interval '1 second' FROM generate_series(1, 40) AS n),
    ARRAY(SELECT number + random() * 100 FROM generate_series(1, 40) AS n),
    ARRAY(SELECT number + random() * 1e6 FROM generate_series(1, 40) AS n),
    ARRAY(SELECT number + n FROM generate_series(1, 40) AS n)
FROM (
    SELECT number, timestamptz '2026-07-14T00:00:00Z' + number %% 96 * interval '15 minutes' AS quarter
    FROM generate_series(%s::int, %s::int - 1) AS number
) AS chunk
"""


class CommandFailed(RuntimeError):
    """A command of gridproof failed, so there is no figure."""


def restore(env: BenchEnvironment) -> Iterator[Figure]:
    """The files of the backup, and the log since it. Both are mostly in the memory of the machine, since they have just
    been written; so are those that the floor reads."""
    from adapters.embedded import EmbeddedServers
    from adapters.embedded.postgres import DATABASE, SUPERUSER, WalArchiving
    from adapters.postgres.schema.migrate import migrate

    first, last = env.sized(BACKED_UP, least=1_000), env.sized(BACKED_UP + LOGGED, least=1_500)
    with tempfile.TemporaryDirectory(prefix="gridproof-bench-") as place:
        folder = Path(place)
        servers = EmbeddedServers(
            folder / "data", valkey=False, wal=WalArchiving(folder / "backups" / "wal", 60)
        )
        with servers:
            migrate(servers.migration_database_url, alone=True)
            admin_url = servers.postgres.url(SUPERUSER, DATABASE)
            env.report(f"restore: storing {first:,} chunks of readings")
            _fill(admin_url, 0, first)
            env.report("restore: backing up")
            _gridproof(folder, "backup", "--full")
        env.report("restore: restoring the backup")
        files_s = _restored(folder)["recovered"]["seconds"]
        with servers:
            env.report("restore: backing up again")
            backup = _gridproof(folder, "backup", "--full")
            began = _log_position(admin_url)
            env.report(f"restore: storing {last - first:,} chunks after it")
            _fill(admin_url, first, last)
            log_bytes = _log_position(admin_url) - began
        env.report("restore: restoring the backup and the log")
        restored_s, done = timed(lambda: _restored(folder))
        start_s, _ = timed(servers.start)
        stored = _stored(admin_url)
        servers.stop()
        if stored != last:
            raise CommandFailed(f"{stored} of {last} chunks were restored")
        files = folder / "backups" / "base" / backup["backup"]["name"]
        copied_s, copied_bytes = timed(lambda: _copied(files, folder / "copy"))
        unpacked_s, _ = timed(lambda: _unpacked(folder / "backups" / "wal"))
    replayed_s = done["recovered"]["seconds"] - files_s
    yield figure(
        "restore, a backup",
        unit="MB/s",
        ours=copied_bytes / MB / files_s,
        floor=copied_bytes / MB / copied_s,
        details={"MB": round(copied_bytes / MB), "floor": "the same files copied, and on disk"},
    )
    yield figure(
        "restore, the log after it",
        unit="MB/s",
        ours=log_bytes / MB / replayed_s,
        floor=log_bytes / MB / unpacked_s,
        details={
            "MB": round(log_bytes / MB),
            "the_whole_command_s": round(restored_s, 1),
            "start_of_the_servers_s": round(start_s, 1),
            "floor": "the archived log unpacked",
        },
    )


def _restored(folder: Path) -> dict[str, Any]:
    """The result of the command; the database of before is removed."""
    done = _gridproof(folder, "restore", "--to", "latest", "--yes")
    shutil.rmtree(folder / "data" / "postgres" / done["former"])
    return done


def _gridproof(folder: Path, *arguments: str) -> dict[str, Any]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GRIDPROOF_")}
    environ |= {
        "GRIDPROOF_DATA_DIR": str(folder / "data"),
        "GRIDPROOF_BACKUP_DIR": str(folder / "backups"),
    }
    command = [sys.executable, "-m", "interfaces.cli", *arguments, "--json"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CommandFailed(f"gridproof {' '.join(arguments)}: {done.stdout}{done.stderr}")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def _fill(url: str, first: int, last: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT gridproof.prepare_readings_day('2026-07-14')")
        for number in range(first, last, AT_ONCE):
            connection.execute(_FILL, (number, min(last, number + AT_ONCE)))


def _log_position(url: str) -> int:
    with psycopg.connect(url) as connection:
        [(position,)] = connection.execute("SELECT pg_current_wal_lsn() - '0/0'").fetchall()
    return int(position)


def _stored(url: str) -> int:
    with psycopg.connect(url) as connection:
        [(count,)] = connection.execute("SELECT count(*) FROM gridproof.reading_chunks").fetchall()
    return int(count)


def _copied(source: Path, target: Path) -> int:
    """Returns the number of bytes."""
    shutil.copytree(source, target)
    os.sync()
    return sum(file.stat().st_size for file in target.rglob("*") if file.is_file())


def _unpacked(archive: Path) -> None:
    for packed in archive.glob("*.gz"):
        with gzip.open(packed) as file:
            while file.read(1 << 20):
                pass
