"""`gridproof telemetry import` from the outside, on the fake store."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from adapters.readings_file import open_readings_file
from application.ports.telemetry_store import TelemetryStore
from domain.time_windows import TimeWindow
from interfaces.cli.telemetry import telemetry_group
from tests.fakes.telemetry_store import FakeTelemetryStore

T0 = datetime(2026, 7, 14, tzinfo=UTC)
CSV = """facility,timestamp,load_kwh,temp_c
a,2026-07-14T00:00:00Z,10,20.5
a,2026-07-14T00:15:00Z,,20.5
a,2026-07-14T00:30:00Z,12,20.5
a,2026-07-14T01:00:00Z,12,
b,2026-07-14T02:00:00+02:00,40,
b,2026-07-14T03:00:00+02:00,44,
"""


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> FakeTelemetryStore:
    fake = FakeTelemetryStore()

    @contextmanager
    def opened() -> Iterator[TelemetryStore]:
        yield fake

    monkeypatch.setattr("interfaces.cli.telemetry.opened_store", opened)
    monkeypatch.setattr("interfaces.cli.telemetry.open_readings", open_readings_file)
    return fake


@pytest.fixture
def load(tmp_path: Path) -> Path:
    path = tmp_path / "load.csv"
    path.write_text(CSV)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(telemetry_group, ["import", *map(str, arguments)])


def test_it_stores_what_the_file_says_and_reports_the_gaps(store: FakeTelemetryStore, load: Path) -> None:
    result = run(load)
    assert result.exit_code == 0, result.output
    assert (
        "a: 4 rows of 900 s, 2026-07-14 00:00 to 2026-07-14 01:15 UTC, 2 missing in 2 gaps" in result.stdout
    )
    assert "b: 2 rows of 3600 s, 2026-07-14 00:00 to 2026-07-14 02:00 UTC, no gaps" in result.stdout
    assert "6 rows: 6 new, 0 corrected, 0 already stored" in result.stdout
    assert "stored 6 of 6 rows" in result.stderr
    hour = TimeWindow(T0, T0 + timedelta(hours=1))
    assert store.interval_series("a", hour).values[[0, 2]].tolist() == [40.0, 48.0]
    block = store.interval_series_of(["b", "a"], hour)
    assert block.mean_kw[0].tolist() == [40.0] * 4
    assert block.expanded.tolist() == [[True] * 4, [False] * 4]
    assert block.temp_c[1, :3].tolist() == [20.5] * 3


def test_the_same_file_again_changes_nothing_and_says_so_as_json(
    store: FakeTelemetryStore, load: Path
) -> None:
    run(load)
    document = json.loads(run(load, "--json").stdout)
    assert (document["rows"], document["added"], document["changed"], document["unchanged"]) == (6, 0, 0, 6)
    assert [f["facility_id"] for f in document["facilities"]] == ["a", "b"]
    assert document["facilities"][0]["gaps"] == 2


def test_only_the_named_facility_is_imported(store: FakeTelemetryStore, load: Path) -> None:
    assert "2 rows: 2 new" in run(load, "--facility", "b").stdout
    assert store.newest_reading_at("a") is None


def test_a_wrong_line_stores_nothing_and_is_named(store: FakeTelemetryStore, load: Path) -> None:
    load.write_text(CSV + "b,noon,1,\n")
    result = run(load)
    assert result.exit_code == 1
    assert f"{load}:8:" in result.stderr
    assert store.imported == {}


def test_an_absent_store_says_what_to_do(store: FakeTelemetryStore, load: Path) -> None:
    store.available = False
    result = run(load)
    assert result.exit_code == 1
    assert "gridproof up" in result.stderr
