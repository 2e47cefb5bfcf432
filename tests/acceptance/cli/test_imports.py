"""Imports of history on a real database: refused where they are wrong, listed, and taken back as a correction."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg_pool import ConnectionPool

from adapters.clock import SystemClock
from adapters.postgres.telemetry.rollups.read import PostgresTelemetryRollups
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from domain.telemetry.meter_reading import MeterReading, partition_of
from domain.time_series.windows import TimeWindow
from tests.acceptance.cli.terminal import Terminal
from tests.patience import START_S
from tests.servers import Database
from tests.stored_intervals import interval_series

ROOT = Path(__file__).parents[3]
KILLED = ROOT / "tests/integration/telemetry_store/take_back_process.py"
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
FIRST = NOW.replace(hour=0) - timedelta(days=4)
DAYS = 2
ROWS = 96 * DAYS


def written(
    path: Path, facility_ids: Sequence[str], *, kwh: float, rows: int = ROWS, starts_at: datetime = FIRST
) -> Path:
    lines = [
        f"{one},{(starts_at + timedelta(minutes=15 * n)).isoformat()},{kwh}"
        for one in facility_ids
        for n in range(rows)
    ]
    path.write_text("\n".join(["facility,timestamp,load_kwh", *lines]) + "\n")
    return path


@pytest.fixture
def terminal(database: Database, tmp_path: Path) -> Terminal:
    terminal = Terminal(database, tmp_path)
    terminal.import_portfolio()
    terminal.project()
    return terminal


class Readers:
    """What a reader sees of a facility."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self.store = PostgresTelemetryStore(pool, SystemClock())
        self.rollups = PostgresTelemetryRollups(pool, SystemClock())

    def values(self, facility_id: str) -> list[float]:
        window = TimeWindow(FIRST, FIRST + timedelta(days=DAYS))
        values = interval_series(self.store, facility_id, window).values
        return [float(kw) for kw in values if kw == kw]  # noqa: PLR0124 - not NaN

    def corrections(self) -> int:
        return len(self.rollups.corrections_after(0, limit=10_000))


@pytest.fixture
def readers(database: Database) -> Any:
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        yield Readers(pool)


def test_an_import_of_strangers_or_of_the_future_is_refused(terminal: Terminal, readers: Readers) -> None:
    strangers = written(terminal.folder / "strangers.csv", ["fac-001", "fac-01", "new-site"], kwh=10.0)
    refused = terminal.run("telemetry", "import", strangers)
    assert refused.exit_code == 1
    assert "2 facilities are not in the portfolio: fac-01 (did you mean fac-001?), new-site" in refused.stderr
    future = written(
        terminal.folder / "future.csv",
        ["fac-001"],
        kwh=10.0,
        starts_at=datetime.now(UTC) - timedelta(hours=1),
    )
    assert f"{ROWS - 4} rows are of intervals that are not over at" in (
        terminal.run("telemetry", "import", future).stderr
    )
    assert terminal.run("telemetry", "import", future, "--dry-run").exit_code == 3
    assert terminal.document("telemetry", "imports", "list") == {"imports": []}
    assert readers.values("fac-001") == []
    allowed = terminal.document("telemetry", "import", strangers, "--allow-unknown")
    assert (allowed["added"], allowed["unknown_facilities"]) == (3 * ROWS, ["fac-01", "new-site"])


def test_an_import_is_listed_and_taken_back_as_a_correction(terminal: Terminal, readers: Readers) -> None:
    right = written(terminal.folder / "right.csv", ["fac-001"], kwh=10.0, rows=96)
    wrong = written(terminal.folder / "wrong.csv", ["fac-001", "fac-002", "stranger"], kwh=50.0)
    terminal.document("telemetry", "import", right)
    terminal.document("telemetry", "import", wrong, "--allow-unknown")
    readers.store.prepare_days(FIRST, FIRST)
    metered = [
        MeterReading("fac-002", "main", FIRST + timedelta(seconds=15 * n), 33.0, None, n) for n in range(60)
    ]
    readers.store.write_readings(partition_of("fac-002"), 1, metered)

    newest, oldest = terminal.document("telemetry", "imports", "list")["imports"]
    assert newest["file_sha256"] == hashlib.sha256(wrong.read_bytes()).hexdigest()
    assert (newest["rows"], newest["added"], newest["changed"]) == (3 * ROWS, 3 * ROWS - 96, 96)
    assert newest["facility_ids"] == ["fac-001", "fac-002", "stranger"]
    assert (newest["starts_at"], newest["state"]) == (f"{FIRST:%Y-%m-%dT%H:%M:%SZ}", "complete")
    assert (newest["begun_by"].startswith("operator:cli/"), oldest["facility_ids"]) == (True, ["fac-001"])
    listed = terminal.run("telemetry", "imports", "list").stdout
    assert "fac-001, fac-002 and 1 more" in listed
    assert newest["file_sha256"] in listed

    take_back = ("telemetry", "imports", "take-back", newest["import_id"][:8], "--reason", "of another year")
    report = terminal.document(*take_back)
    assert (report["rows_removed"], report["facilities_done"], report["facilities_failed"]) == (
        3 * ROWS - 96,
        3,
        0,
    )
    assert report["rows_with_the_value_of_an_earlier_import_again"] == 96
    # Of fac-002 one quarter-hour is metered: nobody sees it otherwise. The stranger cannot have been measured.
    assert report["quarter_hours_corrected"] == readers.corrections() == 2 * ROWS - 1
    assert readers.values("fac-001") == [40.0] * 96
    assert readers.values("fac-002") == [33.0]
    assert readers.values("stranger") == []

    assert terminal.document(*take_back)["facilities_done"] == 0, "a second time changes nothing"
    assert "nothing was left to be done" in terminal.run(*take_back).stdout
    newest, oldest = terminal.document("telemetry", "imports", "list")["imports"]
    assert (newest["state"], newest["reason"], oldest["state"]) == (
        "taken back",
        "of another year",
        "complete",
    )
    assert "by operator:cli/" in terminal.run("telemetry", "imports", "list").stdout
    listed_acts = terminal.document("audit", "administration")["acts"]
    assert {one["kind"] for one in listed_acts if "of history" in one["what"]} == {"import"}
    acts = [one["what"] for one in listed_acts]
    assert any("import of history of 3 facilities begun: fac-001, fac-002, stranger" in one for one in acts)
    assert (
        f"import {newest['import_id']} of history taken back: {3 * ROWS} rows of 3 facilities: fac-001, "
        in ("\n".join(acts))
    )
    again = terminal.document("telemetry", "import", wrong, "--allow-unknown")
    assert (again["added"], again["changed"]) == (3 * ROWS - 96, 96), "the file can be imported again"


def test_a_take_back_that_is_killed_in_the_middle_is_completed_by_the_same_command(
    terminal: Terminal, readers: Readers
) -> None:
    terminal.document(
        "telemetry", "import", written(terminal.folder / "w.csv", ["fac-001", "fac-002"], kwh=5.0)
    )
    [one] = terminal.document("telemetry", "imports", "list")["imports"]
    killed = subprocess.run(
        [sys.executable, str(KILLED), terminal.database.app_dsn, one["import_id"]],
        env={"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        check=False,
        timeout=START_S,
    )
    assert killed.returncode == -signal.SIGKILL
    assert (readers.values("fac-001"), len(readers.values("fac-002"))) == ([], ROWS)
    assert readers.corrections() == ROWS
    assert (
        "2 of 2 facilities are left: take it back again"
        in terminal.run("telemetry", "imports", "list").stdout
    )
    refused = terminal.run("telemetry", "imports", "take-back", "ffffffff", "--reason", "x")
    assert (refused.exit_code, "no import begins with ffffffff" in refused.stderr) == (1, True)

    report = terminal.document("telemetry", "imports", "take-back", one["import_id"], "--reason", "the rest")
    assert (report["rows_removed"], report["facilities_done"]) == (ROWS, 2)
    assert (readers.values("fac-002"), readers.corrections()) == ([], 2 * ROWS)
    [one] = terminal.document("telemetry", "imports", "list")["imports"]
    assert (one["state"], one["reason"]) == ("taken back", "killed in the middle")
