"""Imports in separate processes: memory does not grow with the file, and SIGKILL in the middle loses nothing."""

import json
import random
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.green_button import Feed, Interval, Meter, Point
from tests.servers import Database

ROOT = Path(__file__).parents[3]
PROGRAM = Path(__file__).with_name("import_process.py")
T0 = datetime(2020, 1, 1, tzinfo=UTC)
MOST_GROWTH_KIB = 40 * 1024
"""Rows collected in memory would take at least 66 MiB more for a file with 750,000 more rows."""


def imported(*arguments: object) -> "subprocess.CompletedProcess[str]":
    program = [sys.executable, str(PROGRAM), *map(str, arguments)]
    return subprocess.run(
        program, check=False, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )


def answer(*arguments: object) -> Any:
    done = imported(*arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def csv_of(path: Path, rows: int, facilities: int) -> Path:
    """A CSV file with minutes of several facilities, newest first, each minute in another order of facilities."""
    draw = random.Random(7)
    names = [f"fac-{n:03}" for n in range(facilities)]
    with path.open("w") as file:
        file.write("facility,timestamp,load_kwh\n")
        for n in reversed(range(rows // facilities)):
            at = (T0 + timedelta(minutes=n)).isoformat()
            draw.shuffle(names)
            file.writelines(f"{name},{at},{10 + draw.random():.3f}\n" for name in names)
    return path


def parquet_of(path: Path, rows: int, facilities: int) -> Path:
    """A Parquet file with the same minutes, facility by facility, in one row group."""
    minutes = np.tile(np.arange(rows // facilities)[::-1], facilities) * np.timedelta64(1, "m")
    columns = {
        "facility": np.repeat([f"fac-{n:03}" for n in range(facilities)], rows // facilities),
        "timestamp": pa.array(np.datetime64("2020-01-01", "us") + minutes, pa.timestamp("us", "UTC")),
        "load_kwh": 10 + np.random.default_rng(7).random(len(minutes)),
    }
    pq.write_table(pa.table(columns), path, row_group_size=rows)
    return path


def feed_of(path: Path, rows: int) -> Path:
    """A feed with a block of quarter-hours per day: half are consumption, half are feed-in."""
    start = int(T0.timestamp())
    blocks = [
        [Interval(start + 900 * (day + n), 1_000 + n * 7 % 50) for n in range(96)]
        for day in range(0, rows // 2, 96)
    ]
    return Feed([Point([Meter(blocks, direction=way) for way in (1, 19)])]).write(path)


@pytest.mark.parametrize(("kind", "facilities"), [("csv", 10), ("parquet", 1)])
def test_memory_does_not_grow_with_the_rows_of_a_file(tmp_path: Path, kind: str, facilities: int) -> None:
    write = csv_of if kind == "csv" else parquet_of
    small, large = (
        answer(write(tmp_path / f"{rows}.{kind}", rows, facilities)) for rows in (250_000, 1_000_000)
    )
    assert large["report"]["rows"] == large["report"]["added"] == 1_000_000
    assert len(large["report"]["facilities"]) == facilities
    assert large["greatest_kib"] - small["greatest_kib"] < MOST_GROWTH_KIB


def test_memory_does_not_grow_with_the_netted_intervals_of_a_feed(tmp_path: Path) -> None:
    """If they were collected in memory, 153,600 more intervals would take 59 MiB."""
    small, large = (answer(feed_of(tmp_path / f"{days}.xml", 2 * 96 * days)) for days in (700, 1_500))
    assert large["report"]["rows"] == 96 * 1_500
    assert large["greatest_kib"] - small["greatest_kib"] < 28 * 1024


def test_repeating_an_import_killed_half_way_completes_it(tmp_path: Path, database: Database) -> None:
    path = csv_of(tmp_path / "load.csv", 80_000, 4)
    killed = imported(path, database.app_dsn, 30_000)
    assert killed.returncode == -signal.SIGKILL
    stored = stored_rows(database)
    assert 30_000 <= stored < 80_000
    report = answer(path, database.app_dsn)["report"]
    assert (report["rows"], report["added"], report["changed"]) == (80_000, 80_000 - stored, 0)
    assert report["unchanged"] == stored
    assert stored_rows(database) == 80_000
    again = answer(path, database.app_dsn)["report"]
    assert (again["added"], again["changed"], again["unchanged"]) == (0, 0, 80_000)


def stored_rows(database: Database) -> int:
    with psycopg.connect(database.app_dsn) as conn:
        row = conn.execute("SELECT count(*) FROM interval_readings WHERE source = 'import'").fetchone()
    assert row is not None
    return int(row[0])
