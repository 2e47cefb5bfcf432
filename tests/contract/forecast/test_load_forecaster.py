"""The contract of LoadForecaster. The accuracy of the real one has separate tests."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from adapters.forecasting import BatchedLoadForecaster
from adapters.forecasting.training_process import ForecasterWithChild
from application.ports.forecast.load_forecaster import (
    FacilityHistory,
    LoadForecaster,
    RecentBlock,
    TemperaturesAhead,
    TooLittleHistory,
    TrainedModel,
)
from domain.time_series.windows import IntervalSeries
from tests.fakes.forecast.load_forecaster import FakeLoadForecaster

START = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def with_child() -> Iterator[ForecasterWithChild]:
    forecaster = ForecasterWithChild()
    yield forecaster
    forecaster.close()


@pytest.fixture(params=["fake", "batched", "with a child"])
def forecaster(request: pytest.FixtureRequest, with_child: ForecasterWithChild) -> LoadForecaster:
    made: dict[str, LoadForecaster] = {
        "fake": FakeLoadForecaster(),
        "batched": BatchedLoadForecaster(),
        "with a child": with_child,
    }
    return made[request.param]


def history(days: float, *, step_s: int = 900, seed: int = 1) -> FacilityHistory:
    """The history of a building with 100 kW at night, 300 kW from 8 to 18, and more when it is warm."""
    count = int(days * 86_400) // step_s
    hour = (np.arange(count) * step_s / 3600) % 24
    temp_c = 20 + 8 * np.sin((hour - 9) * np.pi / 12)
    noise = np.random.default_rng(seed).normal(0, 5, count)
    kw = 100 + 200 * ((hour >= 8) & (hour < 18)) + 4 * np.clip(temp_c - 20, 0, None) + noise
    return FacilityHistory(
        facility_id="fac-001",
        tz="UTC",
        mean_kw=IntervalSeries(START, step_s, kw),
        temp_c=IntervalSeries(START, step_s, temp_c),
    )


def test_the_day_ahead_follows_the_days_before(forecaster: LoadForecaster) -> None:
    past = history(42)
    ends_at = past.mean_kw.ends_at
    model = forecaster.train(past, at=ends_at)
    found = forecaster.forecast(model, past, starts_at=ends_at, steps=96, temperatures=None)
    assert found.p50_kw.shape == found.p10_kw.shape == found.p90_kw.shape == (96,)
    assert found.p50_kw[:24] == pytest.approx(100, abs=15)
    assert found.p50_kw[40:64] == pytest.approx(320, abs=25)
    assert (found.p10_kw <= found.p50_kw).all()
    assert (found.p50_kw <= found.p90_kw).all()


@pytest.mark.parametrize("minutes", [0, 15])
def test_a_shorter_forecast_is_the_beginning_of_a_longer_one(
    forecaster: LoadForecaster, minutes: int
) -> None:
    past = history(42 + minutes / 1440)
    ends_at = past.mean_kw.ends_at
    model = forecaster.train(past, at=ends_at)
    short, long = (
        forecaster.forecast(model, past, starts_at=ends_at, steps=steps, temperatures=None)
        for steps in (50, 192)
    )
    for some, all_of_them in zip(
        (short.p10_kw, short.p50_kw, short.p90_kw), (long.p10_kw, long.p50_kw, long.p90_kw), strict=True
    ):
        assert (some == all_of_them[:50]).all()


def test_the_same_history_gives_the_same_model_and_forecast(forecaster: LoadForecaster) -> None:
    models = [forecaster.train(history(42), at=START) for _ in range(2)]
    assert models[0] == models[1]
    past = history(42)
    found = [
        forecaster.forecast(model, past, starts_at=past.mean_kw.ends_at, steps=96, temperatures=None)
        for model in models
    ]
    assert (found[0].p50_kw == found[1].p50_kw).all()


def test_less_than_a_day_of_history_is_refused(forecaster: LoadForecaster) -> None:
    with pytest.raises(TooLittleHistory, match="fac-001"):
        forecaster.train(history(0.9), at=START)
    empty = IntervalSeries(START, 900, np.full(42 * 96, np.nan))
    nothing = FacilityHistory(facility_id="fac-001", tz="UTC", mean_kw=empty, temp_c=empty)
    with pytest.raises(TooLittleHistory):
        forecaster.train(nothing, at=START)


def test_a_day_is_enough_for_a_forecast_by_time_of_day(forecaster: LoadForecaster) -> None:
    past = history(1.25)
    ends_at = past.mean_kw.ends_at
    model = forecaster.train(past, at=ends_at)
    found = forecaster.forecast(model, past, starts_at=ends_at, steps=96, temperatures=None)
    assert np.isfinite(found.p50_kw).all()
    noon = found.p50_kw[(12 - ends_at.hour) * 4]
    assert noon > 200


def test_data_after_the_start_are_ignored(forecaster: LoadForecaster) -> None:
    past = history(42)
    starts_at = START + timedelta(days=40)
    model = forecaster.train(history(40), at=starts_at)
    changed = past.mean_kw.values.copy()
    changed[40 * 96 :] = 9_999.0
    future = FacilityHistory(
        facility_id="fac-001",
        tz="UTC",
        mean_kw=IntervalSeries(START, 900, changed),
        temp_c=past.temp_c,
    )
    found = [
        forecaster.forecast(model, known, starts_at=starts_at, steps=96, temperatures=None)
        for known in (past, future)
    ]
    assert (found[0].p50_kw == found[1].p50_kw).all()


def test_weather_is_used_only_where_it_is_given(forecaster: LoadForecaster) -> None:
    past = history(42)
    ends_at = past.mean_kw.ends_at
    model = forecaster.train(past, at=ends_at)
    warm = IntervalSeries(ends_at, 3600, np.full(24, 22.0))
    unknown = IntervalSeries(ends_at, 3600, np.full(24, np.nan))

    def used(temperatures: IntervalSeries | None) -> bool:
        return forecaster.forecast(
            model, past, starts_at=ends_at, steps=96, temperatures=temperatures
        ).used_weather

    assert (used(warm), used(unknown), used(None)) == (True, False, False)


def test_the_longest_forecast_is_two_days_ahead(forecaster: LoadForecaster) -> None:
    past = history(42, step_s=3600)
    ends_at = past.mean_kw.ends_at
    model = forecaster.train(past, at=ends_at)
    found = forecaster.forecast(model, past, starts_at=ends_at, steps=48, temperatures=None)
    assert found.p50_kw.shape == (48,)
    with pytest.raises(ValueError, match="48"):
        forecaster.forecast(model, past, starts_at=ends_at, steps=49, temperatures=None)


def test_a_week_without_readings_before_the_start_still_gives_a_forecast(forecaster: LoadForecaster) -> None:
    past = history(42)
    model = forecaster.train(past, at=past.mean_kw.ends_at)
    silent = FacilityHistory(
        facility_id="fac-001",
        tz="UTC",
        mean_kw=IntervalSeries(START, 900, np.full(42 * 96, np.nan)),
        temp_c=past.temp_c,
    )
    found = forecaster.forecast(model, silent, starts_at=past.mean_kw.ends_at, steps=96, temperatures=None)
    assert np.isfinite(found.p50_kw).all()


def test_forecasting_many_at_once_equals_forecasting_each(forecaster: LoadForecaster) -> None:
    pasts = [history(42, seed=1), history(42, seed=2), history(42, seed=3)]
    ends_at = pasts[0].mean_kw.ends_at
    together = forecaster.train_many([*pasts, history(0.5)], at=ends_at)
    assert isinstance(together.pop(), TooLittleHistory)
    models = [model for model in together if isinstance(model, TrainedModel)]
    assert [model.uses_weather for model in models] == [True] * 3
    block = RecentBlock(
        facility_ids=("a", "b", "c"),
        tz=("UTC",) * 3,
        regions=(None,) * 3,
        starts_at=ends_at - timedelta(days=2),
        step_s=900,
        mean_kw=np.stack([past.mean_kw.values[-192:] for past in pasts]),
        temp_c=np.stack([past.temp_c.values[-192:] for past in pasts]),
    )
    warm = TemperaturesAhead(starts_at=ends_at, temp_c=np.array([[24.0] * 24, [np.nan] * 24, [24.0] * 24]))
    found = forecaster.forecast_many(models, block, starts_at=ends_at, steps=96, temperatures=warm)
    assert found.used_weather == (True, False, True)
    for row, (model, past) in enumerate(zip(models, pasts, strict=True)):
        alone = forecaster.forecast(
            model,
            past,
            starts_at=ends_at,
            steps=96,
            temperatures=IntervalSeries(ends_at, 3600, warm.temp_c[row]),
        )
        assert found.of(row).p50_kw == pytest.approx(alone.p50_kw, rel=1e-6)
        assert found.of(row).p90_kw == pytest.approx(alone.p90_kw, rel=1e-6)
