"""`gridproof forecast predict` on the command line: only data before the given time is used."""

import csv
import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from adapters.forecasting import BatchedLoadForecaster
from adapters.readings_file import open_readings_file
from interfaces.cli.forecast.commands import forecast_group

START = datetime(2026, 6, 1, tzinfo=UTC)
AT = START + timedelta(days=40)
REAL_LOAD = Path(__file__).parents[4] / "shared" / "data" / "load"
"""Real load data beside the repository, if present."""


@pytest.fixture(autouse=True)
def _real_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    """The adapters of the composition root, without the rest of it."""
    monkeypatch.setattr("interfaces.cli.forecast.commands.load_forecaster", BatchedLoadForecaster)
    monkeypatch.setattr("interfaces.cli.forecast.commands.open_readings", open_readings_file)


def temp_c(hour: float) -> float:
    return 22 + 7 * math.sin((hour - 9) * math.pi / 12) + 4 * math.sin(hour / 60)


def usual_kwh(hour: int) -> float:
    """Twice the night load by day, and 5 kWh more for each kelvin above 20."""
    return 100 + 100 * (8 <= hour % 24 < 18) + 5 * max(temp_c(hour) - 20, 0)


def written(
    folder: Path,
    *,
    load: Callable[[int], float] = usual_kwh,
    warmth: Callable[[int], float] = temp_c,
    hours: int = 50 * 24,
) -> Path:
    path = folder / "load.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["facility", "timestamp", "load_kwh", "temp_c"])
        for hour in range(hours):
            at = (START + timedelta(hours=hour)).isoformat()
            rows.writerow(["fac-001", at, f"{load(hour):.3f}", f"{warmth(hour):.2f}"])
            rows.writerow(["fac-002", at, f"{2 * load(hour):.3f}", ""])
    return path


def run(path: Path, *arguments: object, at: datetime = AT) -> Result:
    command = ["predict", "--readings", str(path), "--at", at.isoformat(), *map(str, arguments)]
    return CliRunner().invoke(forecast_group, command)


def predicted(path: Path, *arguments: object, at: datetime = AT) -> dict[str, Any]:
    result = run(path, *arguments, "--json", at=at)
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    assert datetime.fromisoformat(document["issued_at"]) == at
    found: dict[str, Any] = document["facilities"]
    return found


def medians(found: dict[str, Any]) -> list[float]:
    return [step["kw"]["p50"] for step in found["steps"]]


def test_two_days_are_predicted_in_the_steps_of_the_file(tmp_path: Path) -> None:
    found = predicted(written(tmp_path))
    assert set(found) == {"fac-001", "fac-002"}
    one = found["fac-001"]
    starts = [datetime.fromisoformat(step["starts_at"]) for step in one["steps"]]
    assert starts == [AT + timedelta(hours=hour) for hour in range(48)]
    assert [datetime.fromisoformat(step["ends_at"]) for step in one["steps"][:-1]] == starts[1:]
    assert (one["data_quality"], found["fac-002"]["data_quality"]) == ("full", "degraded_no_weather")
    truth = [usual_kwh(40 * 24 + hour) for hour in range(48)]
    assert medians(one) == pytest.approx(truth, rel=0.1)
    assert all(step["kw"]["p10"] <= step["kw"]["p50"] <= step["kw"]["p90"] for step in one["steps"])


def test_load_after_the_given_time_changes_nothing(tmp_path: Path) -> None:
    before = predicted(written(tmp_path))
    after = predicted(written(tmp_path, load=lambda hour: usual_kwh(hour) if hour < 960 else 9_999.0))
    assert after == before
    assert predicted(written(tmp_path, hours=960), "--no-weather") == predicted(
        written(tmp_path), "--no-weather"
    )


def test_temperatures_after_the_given_time_are_used_as_the_weather_forecast(tmp_path: Path) -> None:
    usual = predicted(written(tmp_path))["fac-001"]
    hot = predicted(written(tmp_path, warmth=lambda hour: temp_c(hour) + 6 * (hour >= 960)))["fac-001"]
    assert np.mean(medians(hot)) > np.mean(medians(usual)) + 3


def test_temperatures_are_ignored_without_weather(tmp_path: Path) -> None:
    usual = predicted(written(tmp_path), "--no-weather")["fac-001"]
    hot = predicted(written(tmp_path, warmth=lambda hour: temp_c(hour) + 6 * (hour >= 960)), "--no-weather")[
        "fac-001"
    ]
    assert usual["data_quality"] == "degraded_no_weather"
    assert hot == usual


def test_a_constant_load_for_three_days_is_stale_data(tmp_path: Path) -> None:
    stood = written(tmp_path, load=lambda hour: 123.0 if hour >= 960 - 72 else usual_kwh(hour))
    assert predicted(stood)["fac-001"]["data_quality"] == "degraded_stale_data"


def test_an_excluded_newest_reading_does_not_make_data_fresh(tmp_path: Path) -> None:
    path = written(tmp_path, load=lambda hour: 60_000.0 if hour == 959 else usual_kwh(hour))
    for at in (AT, AT + timedelta(minutes=30)):
        assert predicted(path, at=at)["fac-001"]["data_quality"] == "degraded_stale_data"


def test_a_step_that_has_not_ended_is_ignored(tmp_path: Path) -> None:
    at = AT + timedelta(minutes=30)
    usual = predicted(written(tmp_path), at=at)["fac-001"]
    assert usual["steps"][0]["starts_at"] == (AT + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    spike = predicted(written(tmp_path, load=lambda hour: 9_999.0 if hour == 960 else usual_kwh(hour)), at=at)
    assert spike["fac-001"] == usual


def test_only_the_requested_facilities_are_predicted(tmp_path: Path) -> None:
    assert set(predicted(written(tmp_path), "--facility", "fac-002")) == {"fac-002"}


@pytest.mark.parametrize(
    ("arguments", "at", "status", "says"),
    [
        (["--facility", "nobody"], AT, 1, "nobody"),
        ([], START + timedelta(hours=12), 1, "12 hours of load are known"),
        ([], START - timedelta(days=1), 1, "0 hours of load are known"),
        (["--tz", "Mars/Olympus"], AT, 2, "no IANA time zone"),
        (["--region", "utils"], AT, 2, "no country or region"),
    ],
    ids=["unknown facility", "half a day", "nothing before", "unknown zone", "a module for a country"],
)
def test_an_impossible_prediction_is_refused_with_the_reason(
    tmp_path: Path, arguments: list[str], at: datetime, status: int, says: str
) -> None:
    result = run(written(tmp_path), *arguments, at=at)
    assert result.exit_code == status
    assert says in result.stderr


def test_the_default_output_is_a_table(tmp_path: Path) -> None:
    result = run(written(tmp_path), "--facility", "fac-001")
    assert result.exit_code == 0
    model = f"time-of-week-and-temperature@{BatchedLoadForecaster.VERSION}"
    assert f"fac-001: {model} with weather, full, UTC" in result.stdout
    assert "2026-07-11 00:00:00Z" in result.stdout


@pytest.mark.parametrize("facility_id", ["cam_b19", "cam_b112", "school_us"])
def test_a_day_ahead_forecast_of_real_load_is_better_than_last_week(facility_id: str) -> None:
    if not REAL_LOAD.exists():
        pytest.skip(f"{REAL_LOAD} is not there: it holds real load data and is not part of the repository")
    path = REAL_LOAD / "hourly.parquet"
    readings = open_readings_file(path).read([facility_id])[facility_id]
    load_kw = readings.load_kw()
    errors: list[float] = []
    naive: list[float] = []
    for days in range(120, 330, 30):
        at = load_kw.starts_at + timedelta(days=days)
        steps = predicted(path, "--facility", facility_id, at=at)[facility_id]["steps"][:24]
        actual = np.array([load_kw.at(at + timedelta(hours=hour)) for hour in range(24)])
        week = np.array([load_kw.at(at + timedelta(hours=hour - 168)) for hour in range(24)])
        known = np.isfinite(actual) & np.isfinite(week)
        p50 = np.array([step["kw"]["p50"] for step in steps])
        errors += ((p50 - actual)[known] ** 2).tolist()
        naive += ((week - actual)[known] ** 2).tolist()
    assert len(errors) > 100
    assert np.mean(errors) < np.mean(naive)
