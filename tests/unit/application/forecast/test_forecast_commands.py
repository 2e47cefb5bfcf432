"""Forecast commands: equal inputs always give the same forecast under the same hash."""

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest

from adapters.forecasting import BatchedLoadForecaster
from application.commands.forecast import IssueForecast
from application.forecast.forecast_commands import SiteInputs, forecast_commands
from application.ports.forecast.load_forecaster import NAIVE, FacilityHistory, TrainedModel
from application.ports.weather.source import WeatherReport
from domain.forecast import quality_of
from domain.time_series.quantiles import CompactSteps
from domain.time_series.windows import FloatArray, IntervalSeries

AT = datetime(2026, 7, 14, 20, 15, tzinfo=UTC)
DAYS = 49


def load_kw(days: int = DAYS) -> FloatArray:
    hour = np.arange(days * 96) / 4
    found: FloatArray = (
        100 + 50 * ((hour % 24 >= 8) & (hour % 24 < 18)) + np.random.default_rng(1).normal(0, 3, len(hour))
    )
    return found


def inputs(load: FloatArray, *, last_days: int = DAYS) -> SiteInputs:
    load = load[-last_days * 96 :]
    starts_at = AT - timedelta(minutes=15) * len(load)
    step = np.arange(float(len(load)))
    warm: FloatArray = 20 + 5 * np.sin(step * np.pi / 48) + step % 7
    return SiteInputs(
        history=FacilityHistory(
            facility_id="fac-001",
            tz="UTC",
            mean_kw=IntervalSeries(starts_at, 900, load),
            temp_c=IntervalSeries(starts_at, 900, warm),
        ),
        sensor_coverage_pct=100.0,
        newest_reading_at=AT,
        weather=WeatherReport(
            cell="cell-1",
            issued_at=AT,
            temp_c=IntervalSeries(AT.replace(minute=0), 3600, np.full(30, 24.0)),
        ),
        weather_age_s=0.0,
    )


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    return BatchedLoadForecaster().train(inputs(load_kw()).history, at=AT)


def command(known: SiteInputs, model: TrainedModel) -> IssueForecast:
    (found,) = forecast_commands([known], [model], AT, BatchedLoadForecaster())
    return found


def test_equal_inputs_give_a_byte_identical_forecast(model: TrainedModel) -> None:
    first, again = (command(inputs(load_kw(), last_days=2), model) for _ in range(2))
    assert first == again
    assert (first.inputs.weather_available, first.steps.starts_at) == (True, AT)


def test_a_different_reading_or_model_gives_another_hash(model: TrainedModel) -> None:
    changed = load_kw()
    changed[-8] += 1.0
    other_model = BatchedLoadForecaster().train(inputs(changed).history, at=AT)
    hashes = {
        command(inputs(load, last_days=2), one).inputs.input_hash
        for load, one in ((load_kw(), model), (changed, model), (load_kw(), other_model))
    }
    assert len(hashes) == 3


def test_a_different_region_staleness_or_coverage_gives_another_hash(model: TrainedModel) -> None:
    known = inputs(load_kw(), last_days=2)
    replace = msgspec.structs.replace
    others = [
        replace(known, history=replace(known.history, region="US-CA")),
        replace(known, weather_age_s=4 * 3600.0),
        replace(known, sensor_coverage_pct=80.0),
    ]
    hashes = {command(one, model).inputs.input_hash for one in (known, *others)}
    assert len(hashes) == 4


def test_the_interval_is_wider_by_the_missing_share_of_the_last_day(model: TrainedModel) -> None:
    whole = inputs(load_kw(), last_days=2)
    half = msgspec.structs.replace(whole, sensor_coverage_pct=50.0)
    widths = []
    for known in (whole, half):
        found = command(known, model).steps
        assert isinstance(found, CompactSteps)
        low, middle, high = found.kw()
        widths.append(np.array([middle - low, high - middle]))
    assert (widths[1] >= widths[0]).all()
    assert 1.3 < widths[1].mean() / widths[0].mean() < 1.6


def test_a_stuck_meter_counts_as_silent_since_its_last_change(model: TrainedModel) -> None:
    stuck = load_kw()
    stuck[-30 * 4 :] = 77.0
    found = command(inputs(stuck, last_days=2), model)
    assert found.inputs.newest_reading_at < AT - timedelta(hours=24)
    assert command(inputs(load_kw(), last_days=2), model).inputs.newest_reading_at == AT


def test_old_weather_widens_the_interval_of_a_weather_dependent_load(model: TrainedModel) -> None:
    fresh = inputs(load_kw(), last_days=2)
    old = msgspec.structs.replace(fresh, weather_age_s=4 * 3600.0)
    spreads = []
    for known in (fresh, old):
        found = command(known, model).steps
        assert isinstance(found, CompactSteps)
        low, _, high = found.kw()
        spreads.append(high - low)
    assert (spreads[1] >= spreads[0]).all()
    assert spreads[1].mean() > spreads[0].mean()


def test_a_short_history_does_not_change_the_input_quality() -> None:
    short = inputs(load_kw(20), last_days=20)
    model = BatchedLoadForecaster().train(short.history, at=AT)
    found = command(short, model)
    assert model.name == NAIVE
    assert found.inputs.weather_available
    assert not command(msgspec.structs.replace(short, weather=None), model).inputs.weather_available


def test_a_long_history_without_temperatures_is_no_worse_off_than_a_short_one() -> None:
    known = inputs(load_kw())
    unknown = IntervalSeries(known.history.temp_c.starts_at, 900, np.full(DAYS * 96, np.nan))
    history = msgspec.structs.replace(known.history, temp_c=unknown)
    model = BatchedLoadForecaster().train(history, at=AT)
    found = command(msgspec.structs.replace(inputs(load_kw(), last_days=2)), model)
    assert not model.uses_weather
    assert (found.inputs.weather_available, quality_of(found.inputs, AT)) == (True, "full")
    none = msgspec.structs.replace(inputs(load_kw(), last_days=2), weather=None, weather_age_s=None)
    assert quality_of(command(none, model).inputs, AT) == "degraded_no_weather"


def test_implausible_readings_are_counted_and_not_covered(model: TrainedModel) -> None:
    leapt = load_kw()
    leapt[[-200, -50, -10]] = 60_000.0
    found = command(inputs(leapt, last_days=3), model)
    assert found.inputs.readings_left_out == 2
    assert found.inputs.sensor_coverage_pct == round(100 - 100 * 2 / 96, 2)
    assert quality_of(found.inputs, AT) == "full"
    leapt[-96:-1:8] = 60_000.0
    worse = command(inputs(leapt, last_days=3), model)
    assert (worse.inputs.readings_left_out, quality_of(worse.inputs, AT)) == (14, "degraded_stale_data")


def test_the_age_of_data_is_that_of_the_newest_reading_not_excluded(
    model: TrainedModel,
) -> None:
    leapt = load_kw()
    leapt[-3:] = 60_000.0
    leapt[-4] = np.nan
    found = command(inputs(leapt, last_days=2), model)
    assert found.inputs.newest_reading_at == AT - timedelta(hours=1)
    assert quality_of(found.inputs, AT) == "degraded_stale_data"
    leapt[-2:] = load_kw()[-2:]
    again = command(inputs(leapt, last_days=2), model)
    assert (again.inputs.newest_reading_at, quality_of(again.inputs, AT)) == (AT, "full")
