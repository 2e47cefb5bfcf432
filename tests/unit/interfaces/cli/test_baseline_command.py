"""`gridproof baseline compute`: its output, exit status and errors."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner, Result

from adapters.readings_file import open_readings_file
from domain.baseline import compute_baseline, rule_named
from domain.time_series.windows import TimeWindow
from interfaces.cli.baseline.commands import baseline_group

START, END = "2026-07-14T13:00:00Z", "2026-07-14T15:00:00+00:00"
REAL_LOAD = Path(__file__).parents[5] / "shared" / "data" / "load"


@pytest.fixture(autouse=True)
def _readings_from_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces the composition root, which would import every adapter."""
    monkeypatch.setattr("interfaces.cli.baseline.commands.open_readings", open_readings_file)


@pytest.fixture
def readings(tmp_path: Path) -> Path:
    """Fifty days at 100 kWh an hour, the last morning 10 % higher and 30 kWh shed at 13:00 UTC; 14:00 is missing."""
    path, day = tmp_path / "load.csv", datetime(2026, 7, 14, tzinfo=UTC)
    lines = ["facility,timestamp,load_kwh"]
    for hour in range(-50 * 24, 24):
        at = day + timedelta(hours=hour)
        load = {9: "110", 10: "110", 11: "110", 13: "80", 14: ""}.get(hour, "100")
        lines.append(f"fac-001,{at.isoformat()},{load}")
    path.write_text("\n".join(lines) + "\n")
    return path


def run(readings: Path, *options: str, facility: str = "fac-001", method: str = "caiso-10-in-10") -> Result:
    given = (
        "--readings",
        str(readings),
        "--facility",
        facility,
        "--method",
        method,
        "--start",
        START,
        "--end",
        END,
    )
    return CliRunner().invoke(baseline_group, ["compute", *given, *options])


def test_the_json_document_has_the_documented_fields(readings: Path) -> None:
    ran = run(readings, "--json", "--event-day", "2026-07-13", "--holiday", "2026-07-03")
    assert ran.exit_code == 0, ran.stderr
    document = json.loads(ran.stdout)
    assert document["method"] == "caiso-10-in-10"
    july, june = (10, 9, 8, 7, 6, 2, 1), (30, 29, 26)
    assert document["days"] == [*(f"2026-07-{d:02}" for d in july), *(f"2026-06-{d}" for d in june)]
    assert document["days_skipped"] == [
        {"day": "2026-07-13", "why": "dr_event_day"},
        {"day": "2026-07-03", "why": "holiday"},
    ]
    adjustment = document["adjustment"]
    assert (adjustment["kind"], adjustment["value"], adjustment["clipped"]) == ("multiplicative", 1.1, False)
    first, second = document["intervals"]
    assert first == {
        "starts_at": "2026-07-14T13:00:00Z",
        "baseline_kw": 100.0,
        "adjusted_kw": pytest.approx(110),
        "metered_kw": 80.0,
        "delivered_kw": pytest.approx(30),
    }
    assert (second["metered_kw"], second["delivered_kw"]) == (None, None)
    assert document["missing"] == ["2026-07-14T14:00:00Z"]


def test_without_json_the_result_is_explained_as_text(readings: Path) -> None:
    ran = run(readings, "--holiday", "2026-07-03")
    assert ran.exit_code == 0, ran.stderr
    for said in ("80.000", "missing", "multiplicative 1.1000", "2026-07-03 holiday", "30.000 kWh"):
        assert said in ran.stdout


def test_the_time_zone_in_facilities_csv_overrides_the_option(readings: Path) -> None:
    assert json.loads(run(readings, "--json").stdout)["tz"] == "UTC"
    assert json.loads(run(readings, "--json", "--tz", "Asia/Tokyo").stdout)["tz"] == "Asia/Tokyo"
    readings.with_name("facilities.csv").write_text("facility,tz\nfac-001,Europe/London\n")
    assert json.loads(run(readings, "--json", "--tz", "Asia/Tokyo").stdout)["tz"] == "Europe/London"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--start", "2026-07-14T13:00:00"), "no UTC offset"),
        (("--start", "noon"), "not ISO 8601"),
        (("--start", "0001-01-01T00:00:00+05:00"), "no time of the years"),
        (("--end", START), "--end must be after --start"),
        (("--tz", "Mars/Olympus"), "no IANA time zone"),
        (("--event-day", "14.07.2026"), "is not a day"),
        (("--method", "best-guess"), "caiso-10-in-10"),
        (("--method", "firm-service-level"), "needs the contracted level"),
        (("--method", "x-of-y", "--x", "11"), "1 <= x <= y"),
    ],
)
def test_a_usage_error_exits_with_2_and_states_the_valid_usage(
    readings: Path, options: tuple[str, ...], said: str
) -> None:
    ran = run(readings, *options)
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert said in ran.stderr


def test_a_baseline_that_cannot_be_computed_exits_with_1_and_an_error_on_stderr(
    readings: Path, tmp_path: Path
) -> None:
    cases = {
        "no row of facility 'nope'": run(readings, "--json", facility="nope"),
        "not on a boundary": run(readings, "--json", "--start", "2026-07-14T13:10:00Z"),
        "only 0 of 10 baseline days": run(
            readings, "--start", "2026-05-25T13:00:00Z", "--end", "2026-05-25T14:00:00Z"
        ),
        "no such file": run(tmp_path / "gone.csv"),
    }
    for said, ran in cases.items():
        assert (ran.exit_code, ran.stdout) == (1, "")
        assert said in ran.stderr


def test_the_configurable_rule_takes_its_parameters(readings: Path) -> None:
    options = (
        "--x",
        "4",
        "--y",
        "6",
        "--pick",
        "mid",
        "--adjustment",
        "additive",
        "--no-cap",
        "--upward-only",
    )
    document = json.loads(run(readings, "--json", *options, method="x-of-y").stdout)
    assert len(document["days"]) == 4
    assert (document["adjustment"]["kind"], document["adjustment"]["value"]) == ("additive", 10)
    level = json.loads(run(readings, "--json", "--level-kw", "75", method="firm-service-level").stdout)
    assert level["intervals"][0]["delivered_kw"] == -5
    assert level["adjustment"]["kind"] == "none"


@pytest.fixture
def readings_with_temperatures(tmp_path: Path) -> Path:
    """Eighty days at 100 kWh an hour and 5 kWh for each kelvin, 30 kWh shed in the two hours from 13:00 UTC on."""
    path, day = tmp_path / "warm.csv", datetime(2026, 7, 14, tzinfo=UTC)
    lines = ["facility,timestamp,load_kwh,temp_c"]
    for hour in range(-80 * 24, 24):
        temp_c = 15 + hour * 37 % 17 + hour % 24 / 4
        load = 100 + 5 * temp_c - (30 if hour in (13, 14) else 0)
        lines.append(f"fac-001,{(day + timedelta(hours=hour)).isoformat()},{load},{temp_c}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_regression_follows_the_temperature_and_states_its_uncertainty(
    readings_with_temperatures: Path,
) -> None:
    ran = run(readings_with_temperatures, "--json", method="regression")
    assert ran.exit_code == 0, ran.stderr
    document = json.loads(ran.stdout)
    assert document["delivered_kw"] == pytest.approx(30, abs=0.01)
    assert document["regression"]["training_hours"] == 70 * 24
    assert document["uncertainty"]["kw_80"] < document["uncertainty"]["kw_90"]
    assert document["expected_error"] is None
    told = run(readings_with_temperatures, "--lookback-days", "28", method="regression").stdout
    assert "fitted to 672 hours, 2026-06-16 to 2026-07-14" in told
    assert "uncertainty of the delivered power" in told


def test_another_method_states_its_error_on_the_days_without_a_dr_event(readings: Path) -> None:
    document = json.loads(run(readings, "--json").stdout)
    assert document["expected_error"] == {"bias": 0.0, "cvrmse": 0.0, "days": 10}
    assert document["uncertainty"] is None
    assert "bias +0.0%, CVRMSE 0.0% (10 days" in run(readings).stdout


def test_a_regression_without_temperatures_or_with_too_few_days_says_what_is_missing(
    readings: Path, readings_with_temperatures: Path
) -> None:
    early = ("--start", "2026-05-10T13:00:00Z", "--end", "2026-05-10T15:00:00Z")
    cases = {
        "the readings have none (column temp_c": run(readings, method="regression"),
        "only 15 of 21 baseline days in the 70 days before": run(
            readings_with_temperatures, *early, method="regression"
        ),
    }
    for said, ran in cases.items():
        assert ran.exit_code == 1
        assert said in ran.stderr
    refused = run(readings, "--lookback-days", "7", method="regression")
    assert refused.exit_code == 2
    assert "28 to 400 days" in refused.stderr


def test_help_shows_an_example() -> None:
    assert (
        "gridproof baseline compute --readings"
        in CliRunner().invoke(baseline_group, ["compute", "--help"]).stdout
    )


@pytest.mark.parametrize(("name", "facility"), [("hourly", "cam_b0"), ("quarter_hour", "steel_kr")])
def test_on_real_load_the_command_and_the_function_agree(name: str, facility: str) -> None:
    path = REAL_LOAD / f"{name}.parquet"
    if not path.is_file():
        pytest.skip(f"the real load data is not there: {path}")
    window = TimeWindow(datetime(2018, 7, 17, 5, tzinfo=UTC), datetime(2018, 7, 17, 7, tzinfo=UTC))
    times = ("--start", window.starts_at.isoformat(), "--end", window.ends_at.isoformat())
    ran = run(path, *times, "--json", facility=facility)
    assert ran.exit_code == 0, ran.stderr
    document = json.loads(ran.stdout)
    readings = open_readings_file(path).read([facility])[facility]
    tz = ZoneInfo(document["tz"])
    assert tz.key in ("Europe/London", "Asia/Seoul")
    expected = compute_baseline(rule_named("caiso-10-in-10"), readings.load_kw(), window, tz=tz)
    assert [i["adjusted_kw"] for i in document["intervals"]] == [i.adjusted_kw for i in expected.intervals]
    assert len(document["intervals"]) == 7200 // readings.step_s
    assert len(document["days"]) == 10
