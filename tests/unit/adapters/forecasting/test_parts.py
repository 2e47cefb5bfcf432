"""Parts of the forecasting engine: corrections, weights, intervals, stuck meters, stored parameters."""

from datetime import UTC, datetime

import numpy as np
import pytest

from adapters.forecasting.data.hourly import on_grid, stuck, stuck_steps
from adapters.forecasting.data.spikes import plausible_range, spikes_of_history
from adapters.forecasting.ensemble.conformal import fit_spread
from adapters.forecasting.ensemble.parameters import (
    LAYOUT,
    PAST,
    SIZE,
    Block,
    UnsupportedLayout,
    is_of_this_layout,
    packed,
    unpacked,
)
from adapters.forecasting.ensemble.weighting import combine, mean_squares, mixing_weights
from adapters.forecasting.models.naive_methods import naive, without_gaps
from adapters.forecasting.models.residual_correction import WINDOW_H, CorrectionFit, corrections, features
from adapters.forecasting.models.weather_ahead import forecast_error_k
from domain.time_series.windows import FloatArray, IntervalSeries


def test_features_use_no_value_from_the_origin_on() -> None:
    residual = np.random.default_rng(1).normal(size=(2, WINDOW_H + 60))
    poisoned = residual.copy()
    poisoned[:, WINDOW_H:] = 1e9
    horizons = np.arange(1, 49)
    origins = np.full(48, WINDOW_H)
    assert (features(residual, origins, horizons) == features(poisoned, origins, horizons)).all()


def test_a_persistent_residual_is_fitted_and_predicted() -> None:
    """Each hour's residual is most of the previous one's."""
    drawn = np.random.default_rng(2)
    hours = WINDOW_H + 168 + 48
    fit = CorrectionFit()
    for _ in range(8):
        residual = np.zeros((1, hours))
        for hour in range(1, hours):
            residual[:, hour] = 0.95 * residual[:, hour - 1] + drawn.normal()
        fit.add_week(residual)
    weights = fit.weights(1)
    high = np.zeros((1, WINDOW_H))
    high[:, -24:] = 10.0
    found = corrections(weights, high, 0)[0]
    assert found[0] == pytest.approx(9.5, abs=1.0)
    assert np.abs(found[23:]).max() < 3.0


def test_the_correction_for_old_data_is_that_of_a_longer_lead_time() -> None:
    drawn = np.random.default_rng(3)
    weights = drawn.normal(size=(1, 8, 8))
    residual = drawn.normal(size=(1, WINDOW_H))
    old = residual.copy()
    old[:, -3:] = np.nan
    longer = np.concatenate([np.full((1, 3), np.nan), residual[:, :-3]], axis=1)
    assert corrections(weights, old, 3)[0, :45] == pytest.approx(corrections(weights, longer, 0)[0, 3:])


def test_the_weights_prefer_the_candidate_with_the_smallest_error() -> None:
    errors = np.ones((3, 1, 48)) * np.array([1.0, 2.0, 8.0])[:, None, None]
    weights = mixing_weights(mean_squares(errors), np.ones((3, 1), dtype=np.bool_), np.zeros(3))
    assert weights.sum(axis=0) == pytest.approx(1.0)
    assert weights[0, 0] == pytest.approx(64 / 65, abs=1e-2)
    assert combine(weights, np.full((3, 1, 48), 7.0)) == pytest.approx(7.0)


def test_an_excluded_candidate_has_no_weight() -> None:
    allowed = np.array([[False], [True], [True]])
    tried = mixing_weights(mean_squares(np.ones((3, 1, 48))), allowed, np.ones(3))
    untried = mixing_weights(mean_squares(np.full((3, 1, 48), np.nan)), allowed, np.array([1.0, 1.0, 0.0]))
    assert tried[:, 0, 0].tolist() == pytest.approx([0.0, 0.5, 0.5])
    assert untried[:, 0, 0].tolist() == [0.0, 1.0, 0.0]


def test_the_interval_covers_new_errors_at_its_nominal_rate() -> None:
    """Errors twice as large by day as by night, and asymmetric."""
    drawn = np.random.default_rng(4)
    hour = np.arange(48) % 24

    def errors(origins: int) -> FloatArray:
        size = np.where((hour >= 8) & (hour < 20), 2.0, 1.0)
        made: FloatArray = size * (drawn.exponential(size=(origins, 20, 48)) - 1.0)
        return made

    place = np.broadcast_to(hour, (60, 20, 48))
    spread = fit_spread(errors(60), place, np.ones(20))
    low, high = spread.error_interval(np.broadcast_to(hour, (20, 48)))
    new = errors(400)
    assert ((new >= low) & (new <= high)).mean() == pytest.approx(0.8, abs=0.02)
    older = spread.error_interval(np.broadcast_to(hour, (20, 48)), age_h=96)
    assert (older[1] >= 0).all()
    assert older[1].mean() > high[:, 36:].mean()


def test_the_interval_is_never_narrower_with_older_data() -> None:
    errors = np.random.default_rng(5).normal(size=(60, 3, 48)) * np.where(np.arange(48) < 8, 3.0, 1.0)
    hour = np.arange(48) % 24
    spread = fit_spread(errors, np.broadcast_to(hour, errors.shape), np.ones(3))
    place = np.broadcast_to(hour, (3, 48))
    low, high = spread.error_interval(place)
    for age_h in (1, 5, 24, 100):
        older_low, older_high = spread.error_interval(place, age_h)
        assert (older_low <= low).all()
        assert (older_high >= high).all()


def test_without_any_errors_the_interval_is_that_of_a_normal_distribution() -> None:
    nothing = np.full((1, 2, 48), np.nan)
    spread = fit_spread(nothing, np.zeros((1, 2, 48), dtype=np.int64), np.array([1.0, 10.0]))
    low, high = spread.error_interval(np.zeros((2, 48), dtype=np.int64))
    assert (high == -low).all()
    assert high[:, 0].tolist() == pytest.approx([1.2816, 12.816])


def test_a_meter_that_repeats_a_value_for_a_day_is_stuck_until_the_value_changes() -> None:
    values = np.random.default_rng(5).normal(size=240)
    values[100:160] = 7.0
    assert np.flatnonzero(stuck(values, 3600)).tolist() == list(range(124, 160))
    assert not stuck(np.full(240, 7.0), 3600).any()
    shut = values.copy()
    shut[100:160] = np.nan
    assert not stuck(shut, 3600).any()


def with_spikes(days: int = 42) -> tuple[FloatArray, list[int]]:
    """Quarter-hours of 100 to 300 kW in which the meter twice reports another value for one or two of them."""
    step = np.arange(days * 96)
    values = 200 + 100 * np.sin(step * np.pi / 48) + np.random.default_rng(8).normal(0, 5, len(step))
    places = [20 * 96 + 10, 30 * 96, 30 * 96 + 1]
    values[places] = [9_999.0, -5_000.0, -5_000.0]
    return values, places


def in_quarters(values: FloatArray) -> IntervalSeries:
    return IntervalSeries(datetime(2026, 3, 2, tzinfo=UTC), 900, values)


def test_a_reading_far_outside_the_usual_range_is_a_spike() -> None:
    values, places = with_spikes()
    assert np.flatnonzero(spikes_of_history(in_quarters(values))).tolist() == places


def test_a_new_level_is_accepted_after_an_hour_and_a_peak_at_once() -> None:
    values, places = with_spikes()
    values[places] = 200.0
    values[25 * 96] = 850.0
    values[35 * 96 :] = 3_000.0
    found = np.flatnonzero(spikes_of_history(in_quarters(values)))
    assert found.tolist() == [35 * 96 + n for n in range(4)]


def test_later_readings_do_not_change_the_classification() -> None:
    values, _ = with_spikes()
    whole = spikes_of_history(in_quarters(values))
    for end in (5 * 96, 20 * 96 + 10, 20 * 96 + 11, 30 * 96 + 1):
        assert (spikes_of_history(in_quarters(values[:end])) == whole[:end]).all()


def test_no_spike_is_excluded_from_a_history_shorter_than_a_week() -> None:
    values, _ = with_spikes()
    values[5 * 96] = 9_999.0
    assert not spikes_of_history(in_quarters(values[: 7 * 96])).any()


def test_a_facility_with_constant_load_has_a_minimum_range() -> None:
    values = np.full(20 * 96, 50.0)
    values[15 * 96 : 15 * 96 + 2] = 110.0
    values[16 * 96] = 500.0
    assert np.flatnonzero(spikes_of_history(in_quarters(values))).tolist() == [16 * 96]


def test_a_load_of_minutes_a_week_is_not_a_spike_from_the_third_time_on() -> None:
    """A charger of 11 kW in a house of 0.3 kW: three quarter-hours a week, below the trimmed share."""
    values = 0.3 + np.random.default_rng(3).uniform(0, 0.2, 56 * 96)
    for week in range(8):
        values[(7 * week + 2) * 96 + 70 : (7 * week + 2) * 96 + 73] = 11.0
    found = np.flatnonzero(spikes_of_history(in_quarters(values))) // (7 * 96)
    assert sorted(set(found.tolist())) == [1, 2]


def test_a_recurring_load_is_accepted_within_days() -> None:
    """A pump: a quarter-hour, twice a day."""
    values = 2.0 + np.random.default_rng(4).uniform(0, 0.1, 35 * 96)
    values[20 * 96 + 5 :: 48] = 90.0
    found = np.flatnonzero(spikes_of_history(in_quarters(values))) // 96
    assert found.max() < 28  # bounds are recomputed every week
    low, high = plausible_range(values[: 24 * 96], 900)
    assert low < 2.0
    assert high > 90.0


def test_a_spike_on_two_days_is_still_a_spike_on_the_third() -> None:
    values, _ = with_spikes()
    values[33 * 96] = 9_999.0
    assert spikes_of_history(in_quarters(values))[33 * 96]


def test_every_reading_of_a_facility_without_load_is_accepted() -> None:
    values = np.zeros(35 * 96)
    values[30 * 96 : 30 * 96 + 2] = 40.0
    assert not spikes_of_history(in_quarters(values)).any()


def test_naive_methods_use_older_days_for_missing_hours() -> None:
    load = np.arange(672.0)[None]
    fresh, old = naive(load, 48), naive(load, 48, 30)
    assert fresh[:, 0, 0].tolist() == [504, np.mean([648 - 24 * i for i in range(7)]), 648, 252]
    assert fresh[2, 0, 24] == 648
    assert old[2].max() < 672 - 30
    assert old[0, 0, 0] == 504


def test_gaps_are_filled_from_the_previous_week() -> None:
    load = np.tile(np.arange(168.0), 4)[None].copy()
    load[0, 400:500] = np.nan
    load[0, :10] = np.nan
    assert without_gaps(load, np.zeros(1))[0, 10:] == pytest.approx(np.tile(np.arange(168.0), 4)[10:])
    assert without_gaps(np.full((1, 672), np.nan), np.array([5.0])).max() == 5.0


def test_finer_steps_are_averaged_and_longer_ones_copied() -> None:
    assert on_grid(np.array([1.0, 3.0, 5.0, np.nan]), 0, 900, 0, 1800, 2)[0] == 2.0
    assert np.isnan(on_grid(np.array([1.0, 3.0, 5.0, np.nan]), 0, 900, 0, 1800, 2)[1])
    assert on_grid(np.array([1.0, 3.0]), 0, 3600, 1800, 900, 6).tolist()[:4] == [1.0, 1.0, 3.0, 3.0]


def test_stored_parameters_are_read_back_unchanged() -> None:
    drawn = np.random.default_rng(6)
    values = {name: drawn.normal(size=(2, *shape)) for name, shape in LAYOUT.items()}
    past = drawn.normal(size=(2, *PAST))
    kept = packed(Block(values, list(past), (10, 11), (True, False)))
    assert len(kept[0]) < 4 * SIZE + 40
    found = unpacked(kept)
    assert (found.ends_hour, found.is_model) == ((10, 11), (True, False))
    for name, value in values.items():
        assert found.values[name] == pytest.approx(value, rel=1e-6)
    assert np.stack(found.past_kw) == pytest.approx(past, rel=1e-6)
    others = kept[0].replace(b"\x94\x03", b"\x94\x02", 1)
    with pytest.raises(UnsupportedLayout, match="train it anew"):
        unpacked([others])
    assert [is_of_this_layout(one) for one in (kept[0], others, b"", b"\xff")] == [True, False, False, False]


def test_the_simulated_weather_error_is_deterministic_and_of_the_given_size() -> None:
    paths = np.stack([forecast_error_k(hour) for hour in range(480_000, 480_400)])
    assert (forecast_error_k(480_000) == paths[0]).all()
    assert paths.std() == pytest.approx(1.7, rel=0.1)
    assert np.corrcoef(paths[:, 10], paths[:, 11])[0, 1] == pytest.approx(0.95, abs=0.03)


def test_a_stuck_meter_is_detected_in_an_hourly_history_repeated_per_quarter_hour() -> None:
    values = np.random.default_rng(5).normal(size=240)
    values[100:160] = 7.0
    series = IntervalSeries(datetime(2026, 3, 2, tzinfo=UTC), 900, np.repeat(values, 4))
    assert np.flatnonzero(stuck_steps(series)).tolist() == list(range(124 * 4, 160 * 4))
