"""The width of intervals follows the available weather: never narrower with less of it."""

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest

from adapters.forecasting import BatchedLoadForecaster, BatchedRollingForecasts
from application.ports.forecast.load_forecaster import FacilityHistory, RecentBlock, TemperaturesAhead
from application.ports.forecast.rolling_forecasts import BacktestConditions, WeatherAhead
from domain.time_series.windows import FloatArray, IntervalSeries

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
DAY = 24


def building(days: int, seed: int = 1) -> FloatArray:
    """100 kW by night and at weekends, 300 kW by day from Monday to Friday."""
    hour = np.arange(days * DAY)
    busy = (hour % DAY >= 8) & (hour % DAY < 18) & (hour // DAY % 7 < 5)
    return 100 + 200.0 * busy + np.random.default_rng(seed).normal(0, 5, len(hour))


def forecasts_by_weather(load: FloatArray, temp_c: FloatArray) -> FacilityHistory:
    return FacilityHistory(
        facility_id="fac-001",
        tz="UTC",
        mean_kw=IntervalSeries(START, 3600, load),
        temp_c=IntervalSeries(START, 3600, temp_c),
    )


def irregular(days: int, seed: int) -> FloatArray:
    """A temperature that changes daily, so that yesterday's is a poor predictor."""
    daily = np.random.default_rng(seed).normal(0, 5, days + 1)
    hour = np.arange(days * DAY)
    found: FloatArray = (
        22 + np.interp(hour / DAY, np.arange(days + 1), daily) + 4 * np.sin((hour - 9) * np.pi / 12)
    )
    return found


def widths(load: FloatArray, temp_c: FloatArray) -> dict[str, FloatArray]:
    """The next day's intervals with the actual weather, with yesterday's, and without; p10 to p90, hourly."""
    past = len(load) - DAY
    known = forecasts_by_weather(load[:past], temp_c[:past])
    forecaster = BatchedLoadForecaster()
    ends_at = known.mean_kw.ends_at
    model = forecaster.train(known, at=ends_at)
    assert model.uses_weather
    recent = RecentBlock(
        facility_ids=("fac-001",) * 3,
        tz=("UTC",) * 3,
        regions=(None,) * 3,
        starts_at=ends_at - timedelta(days=2),
        step_s=3600,
        mean_kw=np.tile(load[past - 2 * DAY : past], (3, 1)),
        temp_c=np.tile(temp_c[past - 2 * DAY : past], (3, 1)),
    )
    ahead = np.stack([temp_c[past:], temp_c[past - DAY : past], np.full(DAY, np.nan)])
    told = TemperaturesAhead(starts_at=ends_at, temp_c=ahead, stale=(False, True, False))
    found = forecaster.forecast_many([model] * 3, recent, starts_at=ends_at, steps=DAY, temperatures=told)
    assert found.used_weather == (True, True, False)
    return dict(zip(("full", "yesterday", "none"), found.kw[2] - found.kw[0], strict=True))


def test_intervals_of_weather_dependent_loads_widen_with_less_weather() -> None:
    temp_c = irregular(112, seed=11)
    load = building(112) + 12 * np.clip(temp_c - 18, 0, None)
    found = {name: float(width.mean()) for name, width in widths(load, temp_c).items()}
    assert found["yesterday"] > 1.3 * found["full"]
    assert found["none"] > 1.3 * found["full"]


@pytest.mark.parametrize("seed", range(3))
def test_with_less_weather_no_interval_is_narrower(seed: int) -> None:
    drawn = np.random.default_rng(seed)
    temp_c = irregular(84, seed)
    load = building(84, seed) * drawn.uniform(0.5, 3.0) + drawn.uniform(-1.0, 1.0) * (temp_c - 18)
    found = widths(load, temp_c)
    assert (found["yesterday"] >= found["full"] - 1e-3).all()
    assert (found["none"] >= found["full"] - 1e-3).all()


@pytest.mark.parametrize("weather", ["forecast", "yesterday", "none"])
def test_the_80_percent_interval_covers_four_of_five_in_every_weather_mode(
    weather: WeatherAhead,
) -> None:
    """For six weather-dependent buildings, on each of the last 40 days."""
    pasts = []
    for seed in range(6):
        temp_c = irregular(160, seed)
        load = building(160, seed) + 2 * (1 + seed) * np.clip(temp_c - 18, 0, None)
        pasts.append(
            msgspec.structs.replace(forecasts_by_weather(load, temp_c), facility_id=f"fac-{seed:03}")
        )
    held: list[bool] = []
    for run in BatchedRollingForecasts().runs(pasts, BacktestConditions(weather=weather, days=40)):
        load = pasts[int(run.facility_id[4:])].mean_kw.values
        for origin, low, high in zip(run.origins_s, run.kw[0], run.kw[2], strict=True):
            first = (int(origin) - int(START.timestamp())) // 3600
            metered = load[first : first + DAY]
            held += ((metered >= low[: len(metered)]) & (metered <= high[: len(metered)])).tolist()
    assert len(held) > 6 * 35 * DAY
    assert 0.76 < np.mean(held) < 0.84
