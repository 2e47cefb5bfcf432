"""`gridproof forecast backtest` on the command line: no look-ahead, degraded inputs, and each output format."""

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from lxml import etree

from adapters.forecasting import BatchedRollingForecasts
from adapters.readings_file import open_readings_file
from application.ports.forecast.load_forecaster import FacilityHistory
from application.ports.forecast.rolling_forecasts import BacktestConditions, FacilityRun
from domain.time_series.windows import FloatArray, IntervalSeries
from interfaces.cli.forecast.commands import forecast_group

START = datetime(2026, 1, 5, tzinfo=UTC)
DAYS = 140


@pytest.fixture(autouse=True)
def _real_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    """The adapters of the composition root, without the rest of it."""
    monkeypatch.setattr("interfaces.cli.forecast.backtest.rolling_forecasts", BatchedRollingForecasts)
    monkeypatch.setattr("interfaces.cli.forecast.backtest.open_readings", open_readings_file)


def temp_c(hour: FloatArray) -> FloatArray:
    found: FloatArray = 15 + 8 * np.sin((hour - 9) * np.pi / 12) + 6 * np.sin(hour / 110)
    return found


def load_kw(hour: FloatArray) -> FloatArray:
    """A load that is higher by day, much higher when it is warm, and similar to the previous day."""
    drawn = np.random.default_rng(1)
    levels = np.convolve(drawn.normal(0, 8, 400), 0.8 ** np.arange(40))
    daily = levels[(hour // 24).astype(np.int64)]
    warm = 6 * np.clip(temp_c(hour) - 15, 0, None)
    return 100 + 100 * ((hour % 24 >= 8) & (hour % 24 < 18)) + warm + daily + drawn.normal(0, 4, len(hour))


def written(folder: Path, days: int = DAYS, *, name: str = "load.csv") -> Path:
    hour = np.arange(days * 24.0)
    rows = zip(hour.tolist(), load_kw(hour).tolist(), temp_c(hour).tolist(), strict=True)
    path = folder / name
    path.write_text(
        "facility,timestamp,load_kwh,temp_c\n"
        + "".join(
            f"fac-001,{(START + timedelta(hours=at)).isoformat()},{kw:.3f},{warm:.2f}\n"
            for at, kw, warm in rows
        )
    )
    return path


def run(path: Path, *arguments: object) -> Result:
    return CliRunner().invoke(forecast_group, ["backtest", "--readings", str(path), *map(str, arguments)])


def tried(path: Path, *arguments: object) -> dict[str, Any]:
    result = run(path, "--json", *arguments)
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def rmse_kw(document: dict[str, Any]) -> float:
    (facility,) = document["facilities"]
    found: float = facility["spans"]["day_ahead"]["methods"]["forecast"]["rmse_kw"]
    return found


def test_forecasts_are_scored_beside_the_naive_methods(tmp_path: Path) -> None:
    document = tried(written(tmp_path))
    (facility,) = document["facilities"]
    assert (facility["facility_id"], facility["origins"]) == ("fac-001", DAYS - 120)
    assert set(facility["spans"]) == {"day_ahead", "second_day"}
    day = document["summary"]["day_ahead"]
    assert day["rmse_to_best_naive"] < 0.95
    assert day["rmse_to"]["last_week"] < 0.9
    assert 0.6 < day["coverage_80"] < 0.95


def test_simulated_poor_inputs_reduce_accuracy(tmp_path: Path) -> None:
    path = written(tmp_path)
    full, dry = rmse_kw(tried(path)), rmse_kw(tried(path, "--weather", "none"))
    old, yesterday = (
        rmse_kw(tried(path, *arguments)) for arguments in (("--stale-hours", 24), ("--weather", "yesterday"))
    )
    assert dry > full
    assert old > full
    assert math.isfinite(yesterday)


def test_a_backtest_prints_a_table_and_writes_a_picture(tmp_path: Path) -> None:
    picture = tmp_path / "backtest.html"
    result = run(written(tmp_path), "--plot", picture)
    assert result.exit_code == 0, result.output
    assert "RMSE / last week" in result.stdout
    assert "above 1.03 of their best naive method: none" in result.stdout
    text = picture.read_text()
    assert "<script" not in text
    assert "http" not in text
    for part in text.split("<svg")[1:]:
        etree.fromstring("<svg" + part.split("</svg>")[0] + "</svg>")
    assert text.count("<svg") == 2


def test_a_backtest_with_too_little_history_is_refused_with_the_reason(tmp_path: Path) -> None:
    result = run(written(tmp_path, 100))
    assert result.exit_code == 1
    assert "less than 120 days" in result.stderr


LEARN_DAYS = 60
"""More than models, their corrections and the weights of either need to be in use."""


def rolled(load: FloatArray, warm: FloatArray, step_s: int = 3600, stale_h: int = 0) -> FacilityRun:
    history = FacilityHistory(
        facility_id="fac-001",
        tz="Europe/London",
        mean_kw=IntervalSeries(START, step_s, load),
        temp_c=IntervalSeries(START, step_s, warm),
    )
    (found,) = BatchedRollingForecasts().runs(
        [history], BacktestConditions(learn_days=LEARN_DAYS, stale_h=stale_h)
    )
    return found


@pytest.mark.parametrize(("step_s", "stale_h"), [(3600, 0), (900, 0), (3600, 30)])
def test_data_after_an_origin_do_not_change_its_forecast_except_the_weather_forecast(
    step_s: int, stale_h: int
) -> None:
    """Loads after the end of the readings and temperatures after the two forecast days have extreme values."""
    hour = np.arange((LEARN_DAYS + 10) * 24.0 * 3600 / step_s) * step_s / 3600
    load, warm = load_kw(hour), temp_c(hour)
    honest = rolled(load, warm, step_s, stale_h)
    for number in (2, 7):
        after = (int(honest.origins_s[number]) - int(START.timestamp())) // step_s
        poisoned_load, poisoned_warm = load.copy(), warm.copy()
        unknown = after - stale_h * 3600 // step_s
        poisoned_load[unknown:] = 1e6 * np.random.default_rng(2).random(len(load) - unknown)
        poisoned_warm[after + 48 * 3600 // step_s :] = 60.0
        poisoned = rolled(poisoned_load, poisoned_warm, step_s, stale_h)
        upto = number + 1
        assert (honest.origins_s[:upto] == poisoned.origins_s[:upto]).all()
        assert (honest.kw[:, :upto] == poisoned.kw[:, :upto]).all()
        assert not np.allclose(honest.kw[:, upto + 1], poisoned.kw[:, upto + 1])
