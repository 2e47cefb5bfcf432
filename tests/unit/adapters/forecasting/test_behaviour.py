"""Forecasts of typical facilities: new, closed, relocated, stuck, exporting, silent."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest

from adapters.forecasting import BatchedLoadForecaster
from application.ports.forecast.load_forecaster import (
    FacilityHistory,
    LoadQuantiles,
    RecentBlock,
    TemperaturesAhead,
    TooLittleHistory,
    TrainedModel,
)
from domain.time_series.windows import FloatArray, IntervalSeries

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
DAY = 24


def usual(days: int, seed: int = 1) -> FloatArray:
    """100 kW by night and at weekends, 300 kW by day from Monday to Friday."""
    hour = np.arange(days * DAY)
    busy = (hour % DAY >= 8) & (hour % DAY < 18) & (hour // DAY % 7 < 5)
    return 100 + 200.0 * busy + np.random.default_rng(seed).normal(0, 5, len(hour))


def history(load: FloatArray, *, step_s: int = 3600, tz: str = "UTC") -> FacilityHistory:
    unknown = IntervalSeries(START, step_s, np.full(len(load), np.nan))
    return FacilityHistory(
        facility_id="fac-001", tz=tz, mean_kw=IntervalSeries(START, step_s, load), temp_c=unknown
    )


def day_ahead(known: FacilityHistory, at: datetime | None = None, steps: int = DAY) -> LoadQuantiles:
    """Trained on the whole history, and forecast from its end (or `at`)."""
    forecaster = BatchedLoadForecaster()
    ends_at = known.mean_kw.ends_at
    model = forecaster.train(known, at=ends_at)
    return forecaster.forecast(model, known, starts_at=at or ends_at, steps=steps, temperatures=None)


def test_less_than_five_weeks_of_history_gives_the_naive_model() -> None:
    forecaster = BatchedLoadForecaster()
    names = [forecaster.train(history(usual(days)), at=START).name for days in (34, 35)]
    assert names == ["naive", "time-of-week-and-temperature"]
    new = day_ahead(history(usual(21)))
    assert new.p50_kw[10:17] == pytest.approx(300, abs=15)


def test_empty_steps_before_a_history_change_nothing_and_give_no_model() -> None:
    """A request for a year returns a year, also for a facility that was connected last month."""
    forecaster, known = BatchedLoadForecaster(), history(usual(36))
    nothing = np.full(365 * DAY, np.nan)
    padded = IntervalSeries(
        START - timedelta(days=365), 3600, np.concatenate([nothing, known.mean_kw.values])
    )
    assert forecaster.train(msgspec.structs.replace(known, mean_kw=padded), at=START) == forecaster.train(
        known, at=START
    )
    with pytest.raises(TooLittleHistory, match="0 hours of load are known of fac-001"):
        forecaster.train(history(nothing), at=START)


def test_a_new_level_is_followed_within_weeks() -> None:
    load = usual(112)
    load[84 * DAY :] *= 2.0
    found = day_ahead(history(load))
    assert found.p50_kw[10:17] == pytest.approx(600, rel=0.12)


def test_a_temporary_closure_is_not_forecast_permanently() -> None:
    load = usual(112)
    load[77 * DAY : 91 * DAY] = 20.0 + np.random.default_rng(2).normal(0, 1, 14 * DAY)
    assert day_ahead(history(load)).p50_kw[10:17] == pytest.approx(300, rel=0.15)


def test_a_stuck_meter_is_reported_and_excluded() -> None:
    load = usual(112)
    load[100 * DAY : 105 * DAY] = 777.0
    forecaster, known = BatchedLoadForecaster(), history(load)
    model = forecaster.train(known, at=START)
    (note,) = model.notes
    assert "stood still from 2026-06-11T00:00:00+00:00 to 2026-06-15T00:00:00+00:00" in note
    found = forecaster.forecast(model, known, starts_at=known.mean_kw.ends_at, steps=DAY, temperatures=None)
    assert found.p50_kw.max() < 350


def test_a_spike_is_reported_and_excluded_from_the_history_and_recent_readings() -> None:
    quarters = np.repeat(usual(70), 4) + np.random.default_rng(9).normal(0, 2, 70 * 96)
    quarters[50 * 96] = 60_000.0
    forecaster = BatchedLoadForecaster()
    model = forecaster.train(history(quarters[: 69 * 96], step_s=900), at=START)
    assert model.notes == (
        "1 readings leapt out of all it draws, the last one to 60000 kW at 2026-04-21T00:00:00+00:00: left out",
    )
    at = START + timedelta(days=70)
    spike, gap = quarters.copy(), quarters.copy()
    spike[-2:], gap[-2:] = [60_000.0, -60_000.0], np.nan
    found, without = (
        forecaster.forecast(model, history(one, step_s=900), starts_at=at, steps=96, temperatures=None)
        for one in (spike, gap)
    )
    assert (found.left_out, without.left_out) == (2, 0)
    assert (found.p50_kw == without.p50_kw).all()
    assert found.p90_kw.max() < 400


def test_a_spike_is_accepted_once_it_has_occurred_on_several_days() -> None:
    """A charger that runs for three quarter-hours a week: values that training left out count for the plausible
    range."""
    quarters = np.repeat(usual(70), 4) / 500 + np.random.default_rng(9).uniform(0, 0.1, 70 * 96)
    for day in (48, 55, 62):
        quarters[day * 96 + 70 : day * 96 + 73] = 11.0
    forecaster = BatchedLoadForecaster()
    model = forecaster.train(history(quarters[: 69 * 96], step_s=900), at=START)
    assert "9 readings leapt" in model.notes[0]
    quarters[-3:] = 11.0
    at = START + timedelta(days=70)
    found = forecaster.forecast(
        model, history(quarters, step_s=900), starts_at=at, steps=96, temperatures=None
    )
    assert (found.left_out, found.unheard) == (0, 0)


def test_a_currently_stuck_meter_counts_as_silent() -> None:
    load = usual(112)
    load[110 * DAY :] = 250.0
    found = day_ahead(history(load))
    assert found.p50_kw[10:17] == pytest.approx(300, rel=0.1)
    assert found.p50_kw[:6] == pytest.approx(100, rel=0.3)


def test_a_facility_that_exports_is_forecast_below_zero() -> None:
    hour = np.arange(84 * DAY) % DAY
    sun = 80 * np.clip(np.sin((hour - 6) * np.pi / 12), 0, None)
    found = day_ahead(history(30 - sun + np.random.default_rng(3).normal(0, 2, len(sun))))
    assert found.p50_kw[12] == pytest.approx(-50, abs=8)
    assert found.p50_kw[0] == pytest.approx(30, abs=8)
    assert (found.p10_kw <= found.p50_kw).all()


def test_gaps_do_not_count_as_zero() -> None:
    load = usual(84)
    load[np.random.default_rng(4).random(len(load)) < 0.3] = np.nan
    assert day_ahead(history(load)).p50_kw[10:17] == pytest.approx(300, rel=0.1)


def test_the_interval_widens_with_the_age_of_the_data() -> None:
    load = usual(112, seed=6) + np.cumsum(np.random.default_rng(7).normal(0, 3, 112 * DAY)) * 0.5
    fresh = day_ahead(history(load))
    silent = load.copy()
    silent[-3 * DAY :] = np.nan
    old = day_ahead(history(silent))
    assert (old.p90_kw - old.p10_kw).mean() > 1.2 * (fresh.p90_kw - fresh.p10_kw).mean()


def test_the_forecast_follows_local_time_over_a_clock_change() -> None:
    """Work begins at 8 by the wall clock, an hour earlier in UTC from 29 March on."""
    start = START - timedelta(days=56)
    london = ZoneInfo("Europe/London")
    local = [(start + timedelta(hours=i)).astimezone(london) for i in range(83 * DAY)]
    load = np.array([300.0 if 8 <= at.hour < 18 and at.weekday() < 5 else 100.0 for at in local])
    load += np.random.default_rng(8).normal(0, 3, len(load))
    known = FacilityHistory(
        facility_id="fac-001",
        tz="Europe/London",
        mean_kw=IntervalSeries(start, 3600, load),
        temp_c=IntervalSeries(start, 3600, np.full(len(load), np.nan)),
    )
    found = day_ahead(known, steps=48)  # from Sunday 29 March, when clocks change, to the end of Monday
    assert known.mean_kw.ends_at == datetime(2026, 3, 29, tzinfo=UTC)
    assert found.p50_kw[DAY + 7] == pytest.approx(300, rel=0.15)
    assert found.p50_kw[DAY + 17] == pytest.approx(100, rel=0.3)


def test_quarter_hours_keep_their_shape_if_the_origin_is_within_an_hour() -> None:
    hourly = usual(63)
    quarters = np.repeat(hourly, 4) + np.tile([-15.0, -5.0, 5.0, 15.0], len(hourly))
    known = history(quarters, step_s=900)
    at = known.mean_kw.ends_at - timedelta(minutes=30)
    found = day_ahead(known, at=at, steps=96)
    shape = found.p50_kw[2:].reshape(-1, 2)[:44].reshape(-1, 4)
    assert (shape[:, 3] - shape[:, 0]).mean() == pytest.approx(30, abs=8)


def test_an_origin_within_an_hour_uses_no_later_readings() -> None:
    quarters = np.repeat(usual(63), 4)
    known = history(quarters, step_s=900)
    at = known.mean_kw.ends_at - timedelta(hours=10, minutes=15)
    forecaster = BatchedLoadForecaster()
    model = forecaster.train(history(quarters[:-48], step_s=900), at=at)
    poisoned = quarters.copy()
    poisoned[-41:] = 9_999.0
    both = [
        forecaster.forecast(model, history(one, step_s=900), starts_at=at, steps=96, temperatures=None)
        for one in (quarters, poisoned)
    ]
    assert (both[0].p50_kw == both[1].p50_kw).all()
    assert (both[0].p90_kw == both[1].p90_kw).all()


def warm(days: int) -> FloatArray:
    """A temperature (hourly, degrees Celsius) that differs by day and week."""
    hour = np.arange(days * DAY)
    found: FloatArray = 18 + 6 * np.sin((hour - 9) * np.pi / 12) + 3 * np.sin(hour / 90)
    return found


def with_weather(load: FloatArray, temp_c: FloatArray, step_s: int = 3600) -> FacilityHistory:
    return msgspec.structs.replace(history(load, step_s=step_s), temp_c=IntervalSeries(START, step_s, temp_c))


def test_weather_is_used_within_a_week_of_five_weeks_of_it_without_effect_on_other_models() -> None:
    load, temp_c = usual(150), warm(150)
    load += 5 * np.clip(temp_c - 18, 0, None)
    late = np.where(np.arange(150 * DAY) < 108 * DAY, np.nan, temp_c)
    forecaster = BatchedLoadForecaster()
    mate = with_weather(load, temp_c)
    models = forecaster.train_many([with_weather(load, late), mate], at=START)
    assert isinstance(models[0], TrainedModel)
    assert models[0].uses_weather
    assert models[1] == forecaster.train(mate, at=START)


def test_every_quarter_hour_has_a_forecast_if_the_temperature_at_the_origin_is_unknown() -> None:
    load = usual(63)
    known = with_weather(np.repeat(load, 4), np.repeat(warm(63), 4), step_s=900)
    forecaster = BatchedLoadForecaster()
    model = forecaster.train(known, at=START)
    ends_at = known.mean_kw.ends_at
    told = IntervalSeries(ends_at, 3600, np.where(np.arange(26) < 3, np.nan, 20.0))
    silent = with_weather(known.mean_kw.values, np.full(len(load) * 4, np.nan), step_s=900)
    found = forecaster.forecast(model, silent, starts_at=ends_at, steps=96, temperatures=told)
    assert found.used_weather
    assert np.isfinite(found.p50_kw).all()


def test_repeated_values_of_a_stuck_meter_are_not_used_by_a_forecast() -> None:
    """The meter was stuck for five days until yesterday. The forecast reads a longer history than one day."""
    stood = usual(112)
    stood[106 * DAY : 111 * DAY] = 777.0
    forecaster = BatchedLoadForecaster()
    ends_at = history(stood).mean_kw.ends_at
    model = forecaster.train(history(stood), at=ends_at)
    left_out = stood.copy()
    left_out[107 * DAY : 111 * DAY] = np.nan
    raw, clean = (
        forecaster.forecast(model, history(one), starts_at=ends_at, steps=DAY, temperatures=None)
        for one in (stood, left_out)
    )
    assert (raw.p50_kw == clean.p50_kw).all()
    assert (raw.age_h, clean.age_h) == (0, 0)


def test_a_forecast_does_not_depend_on_an_older_model_in_the_same_batch() -> None:
    load, temp_c = usual(70), warm(70)
    load += 5 * np.clip(temp_c - 18, 0, None)
    quarters = with_weather(np.repeat(load, 4), np.repeat(temp_c, 4), step_s=900)
    forecaster = BatchedLoadForecaster()
    ends_at = quarters.mean_kw.ends_at
    older = with_weather(np.repeat(load[:-30], 4), np.repeat(temp_c[:-30], 4), step_s=900)
    model = forecaster.train(quarters, at=ends_at)
    late = ends_at + timedelta(minutes=30)

    def block(facilities: int) -> RecentBlock:
        return RecentBlock(
            facility_ids=("fac-001",) * facilities,
            tz=("UTC",) * facilities,
            regions=(None,) * facilities,
            starts_at=late - timedelta(days=2),
            step_s=900,
            mean_kw=np.tile(quarters.mean_kw.values[-192:], (facilities, 1)),
            # Unknown for the last hours, and warm before: nothing can be extrapolated from there.
            temp_c=np.tile(np.where(np.arange(192) < 186, 35.0, np.nan), (facilities, 1)),
        )

    def forecast(models: list[TrainedModel]) -> FloatArray:
        told = TemperaturesAhead(
            starts_at=ends_at + timedelta(hours=2), temp_c=np.full((len(models), 24), 21.0)
        )
        found = forecaster.forecast_many(
            models, block(len(models)), starts_at=late, steps=96, temperatures=told
        )
        kw: FloatArray = found.kw[:, 0]
        return kw

    beside = forecast([model, forecaster.train(older, at=ends_at)])
    assert beside == pytest.approx(forecast([model]), rel=1e-9)
