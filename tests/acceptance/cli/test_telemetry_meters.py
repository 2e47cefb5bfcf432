"""`gridproof telemetry gaps` and `telemetry meters` on a real database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from psycopg_pool import ConnectionPool

from adapters.clock import SystemClock
from adapters.postgres.telemetry.rollups.read import PostgresTelemetryRollups
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from domain.telemetry.meter_reading import MeterReading, partition_of
from tests.acceptance.cli.terminal import Terminal
from tests.servers import Database

START = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=6)
LOST = {40, 41}


def store_readings(pool: ConnectionPool[Any]) -> None:
    """Two hours of `main`, which lost two readings, and of a meter that the portfolio does not list; finalized."""
    readings = [
        MeterReading("fac-001", meter_id, START + timedelta(seconds=15 * n), kw, None, 1_000 + n)
        for meter_id, kw in (("main", 58.0), ("nosuchmeter", 50.0))
        for n in range(480)
        if n not in LOST
    ]
    partition = partition_of("fac-001")
    PostgresTelemetryStore(pool, SystemClock()).write_readings(partition, 1, readings)
    PostgresTelemetryRollups(pool, SystemClock()).finalize(partition, limit=1_000)


def test_gaps_and_strays_are_shown_and_a_removal_is_a_recorded_correction(
    database: Database, tmp_path: Path
) -> None:
    terminal = Terminal(database, tmp_path)
    terminal.import_portfolio()
    terminal.project()
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        store_readings(pool)
        window = ("--from", START.isoformat(), "--to", (START + timedelta(hours=2)).isoformat())
        [gaps] = terminal.document("telemetry", "gaps", "--facility", "fac-001", *window)["facilities"]
        assert [(one["missing"], one["missing_seqs"]) for one in gaps["hours"]] == [(2, 2), (0, 0)]
        assert gaps["unlisted_meters"] == ["nosuchmeter"]

        meters = terminal.document("telemetry", "meters", "fac-001")["meters"]
        assert [(one["meter_id"], one["status"]) for one in meters] == [
            ("main", "listed"),
            ("nosuchmeter", "stray"),
        ]
        remove = ("telemetry", "meters", "fac-001", "--remove", "nosuchmeter", "--reason", "a typo")
        report = terminal.document(*remove)
        assert (report["readings"], report["corrected"] >= 8) == (478, True)
        corrections = PostgresTelemetryRollups(pool, SystemClock()).corrections_after(0, limit=1_000)
        assert {(one.old_mean_kw, one.new_mean_kw) for one in corrections[-8:]} == {(108.0, 58.0)}

    after = terminal.document("telemetry", "meters", "fac-001")
    assert [one["meter_id"] for one in after["meters"]] == ["main"]
    assert [one["reason"] for one in after["removals"]] == ["a typo"]
    acts = terminal.document("audit", "administration")["acts"]
    assert any("478 readings of meter nosuchmeter of facility fac-001 removed" in one["what"] for one in acts)
    again = terminal.run(*remove)
    assert (again.exit_code, "no reading of a meter nosuchmeter" in again.stderr) == (1, True)
