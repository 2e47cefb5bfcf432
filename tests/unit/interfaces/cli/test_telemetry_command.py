"""`gridproof telemetry import` on the fake store."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from adapters.readings_file import open_readings_file
from domain.time_series.windows import TimeWindow
from interfaces.bootstrap import NoRunningSystem
from interfaces.cli.telemetry.commands import telemetry_group
from interfaces.cli.telemetry.import_target import ImportTarget
from tests.fakes.clock import FakeClock
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.green_button import Feed, Interval, Meter, Point
from tests.portfolio_ids import portfolio_ids
from tests.stored_intervals import interval_series

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
    def opened() -> Iterator[ImportTarget]:
        yield ImportTarget(
            fake,
            FakeClock(T0 + timedelta(hours=2)),
            portfolio_ids("a", "b", "fac-009").unknown_facilities,
            lambda _sha256, _checked: None,
            lambda _report: None,
        )

    monkeypatch.setattr("interfaces.cli.telemetry.commands.opened_target", opened)
    monkeypatch.setattr("interfaces.cli.telemetry.commands.open_readings", open_readings_file)
    return fake


@pytest.fixture
def load(tmp_path: Path) -> Path:
    path = tmp_path / "load.csv"
    path.write_text(CSV)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(telemetry_group, ["import", *map(str, arguments)])


def test_an_import_stores_the_rows_of_the_file_and_reports_gaps(
    store: FakeTelemetryStore, load: Path
) -> None:
    result = run(load)
    assert result.exit_code == 0, result.output
    assert (
        "a: 4 rows of 900 s, 2026-07-14 00:00 to 2026-07-14 01:15 UTC, 2 missing in 2 gaps" in result.stdout
    )
    assert "b: 2 rows of 3600 s, 2026-07-14 00:00 to 2026-07-14 02:00 UTC, no gaps" in result.stdout
    assert "6 rows: 6 new, 0 corrected, 0 already stored" in result.stdout
    assert "stored 6 of 6 rows" in result.stderr
    hour = TimeWindow(T0, T0 + timedelta(hours=1))
    assert interval_series(store, "a", hour).values[[0, 2]].tolist() == [40.0, 48.0]
    block = store.interval_series_of(["b", "a"], hour)
    assert block.mean_kw[0].tolist() == [40.0] * 4
    assert block.expanded.tolist() == [[True] * 4, [False] * 4]
    assert block.temp_c[1, :3].tolist() == [20.5] * 3


def test_a_second_import_of_the_same_file_changes_nothing_and_reports_it_as_json(
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


def test_an_invalid_line_is_reported_and_nothing_is_stored(store: FakeTelemetryStore, load: Path) -> None:
    load.write_text(CSV + "b,noon,1,\n")
    result = run(load)
    assert result.exit_code == 1
    assert f"{load}:8:" in result.stderr
    assert store.imported == {}


def test_an_unreachable_store_is_reported_with_instructions(store: FakeTelemetryStore, load: Path) -> None:
    store.available = False
    result = run(load)
    assert result.exit_code == 1
    assert "gridproof up" in result.stderr


def test_a_dry_run_reports_the_content_of_the_file_and_stores_nothing(
    store: FakeTelemetryStore, load: Path
) -> None:
    store.available = False  # a dry run does not use the store
    result = run(load, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "6 rows; dry run: nothing was stored" in result.stdout
    assert "1 step is not there" in result.stdout
    document = json.loads(run(load, "--dry-run", "--json").stdout)
    assert (document["dry_run"], document["rows"], document["added"]) == (True, 6, 0)
    assert document["inspected"][0]["counts"] == {"gap": 1}
    assert store.imported == {}


def test_a_dry_run_of_an_invalid_file_lists_every_finding(store: FakeTelemetryStore, load: Path) -> None:
    load.write_text(CSV + "b,2026-07-14T00:00:00Z,41,\nb,2026-07-14T01:00:00Z,41,\n")
    result = run(load, "--dry-run")
    assert result.exit_code == 3
    assert result.stdout.count("duplicate") == 2
    assert "would be refused" in result.stderr
    document = json.loads(run(load, "--dry-run", "--json").stdout)
    assert "another row" in document["would_be_refused"]
    assert [f["line"] for f in document["inspected"][1]["findings"]] == [8, 9]
    refused = run(load)
    assert refused.exit_code == 1
    assert refused.stdout.count("duplicate") == 2
    assert store.imported == {}


def test_rows_of_facilities_that_the_portfolio_does_not_have_are_refused_unless_allowed(
    store: FakeTelemetryStore, load: Path
) -> None:
    load.write_text(CSV.replace("b,", "fac-09,"))
    refused = run(load)
    assert refused.exit_code == 1
    assert "1 facility is not in the portfolio: fac-09 (did you mean fac-009?)" in refused.stderr
    assert "--allow-unknown" in refused.stderr
    rehearsed = run(load, "--dry-run")
    assert rehearsed.exit_code == 3
    assert "1 facility is not in the portfolio" in rehearsed.stderr
    assert store.imported == {}
    assert run(load, "--facility", "a").exit_code == 0
    allowed = run(load, "--allow-unknown")
    assert allowed.exit_code == 0, allowed.output
    assert "1 of the 2 facilities are not in the portfolio" in allowed.stdout
    assert "6 rows: 2 new, 0 corrected, 4 already stored" in allowed.stdout


def test_without_a_running_system_a_dry_run_says_that_it_did_not_see_the_portfolio(
    store: FakeTelemetryStore, load: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing_runs() -> ImportTarget:
        raise NoRunningSystem("no running system")

    monkeypatch.setattr("interfaces.cli.telemetry.commands.opened_target", nothing_runs)
    result = run(load, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "not checked against the portfolio: no running system" in result.stderr


def test_green_button_xml_is_imported_for_the_given_facility(
    store: FakeTelemetryStore, tmp_path: Path
) -> None:
    start = int(T0.timestamp())
    meter = Meter([[Interval(start + 900 * n, 2_500 + n, quality="8") for n in range(4)]])
    feed = Feed([Point([meter], title="12 High Street")]).write(tmp_path / "usage.xml")
    assert "--facility" in run(feed).stderr
    result = run(feed, "--facility", "fac-009")
    assert result.exit_code == 0, result.output
    assert "fac-009: 4 estimated" in result.stdout
    assert "4 rows: 4 new" in result.stdout
    hour = TimeWindow(T0, T0 + timedelta(hours=1))
    assert interval_series(store, "fac-009", hour).values.tolist() == pytest.approx(
        [10.0, 10.004, 10.008, 10.012]
    )
