"""What a measurement records of its error, and how a baseline by regression is measured."""

from datetime import timedelta
from math import isnan

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from application.commands.dispatch import RecordMeasurement, RecordNotMeasurable
from application.measurement.baseline import RegressionInputs, explained_baseline
from application.measurement.basis import MeasuringBasis
from application.measurement.measure import (
    TEMPERATURES_UNTIL,
    Measurement,
    measurement_of,
    remeasurement_of,
)
from application.measurement.regression_source import RegressionSource, inputs_of
from domain.baseline import rule_named
from domain.baseline.regression.model import regression_baseline
from domain.baseline.used_readings import used_readings
from domain.dispatch import MeasurementFigures
from domain.facility import FacilityState
from domain.time_series.interval_block import IntervalBlock
from domain.time_series.windows import FloatArray, IntervalSeries, TimeWindow
from tests.fakes.weather.temperatures import FakeCellTemperatures
from tests.unit.application.measurement.test_measure import DISPATCH
from tests.unit.application.measurement.test_regression import (
    FIRST,
    FITTER,
    NEW_YORK,
    WINDOW,
    load,
    noise,
    series,
    shed,
    temperatures,
)

BASIS = MeasuringBasis(baseline_method="regression", tz=NEW_YORK, dr_event_days=frozenset())
RAN = replace(DISPATCH, starts_at=WINDOW.starts_at, ends_at=WINDOW.ends_at)
AT_START = round((WINDOW.starts_at - FIRST) / timedelta(minutes=15))


def measured(
    load_kw: FloatArray,
    temp_c: FloatArray,
    *,
    basis: MeasuringBasis = BASIS,
    late: timedelta = timedelta(minutes=30),
) -> Measurement | None:
    inputs = RegressionInputs(fitter=FITTER, temperatures=series(temp_c))
    return measurement_of(RAN, series(load_kw), basis, now=WINDOW.ends_at + late, inputs=inputs)


def figures_of(found: Measurement | None) -> MeasurementFigures:
    assert isinstance(found, RecordMeasurement)
    return msgspec.json.decode(msgspec.json.encode(found.figures), type=MeasurementFigures)


def test_a_regression_records_what_recomputes_its_baseline_and_its_uncertainty() -> None:
    temp_c = temperatures()
    recorded = figures_of(measured(shed(load(temp_c) + noise(1), 60), temp_c))
    assert recorded.regression is not None
    assert recorded.uncertainty is not None
    starts = [interval.starts_at for interval in recorded.intervals]
    again = regression_baseline(
        recorded.regression, starts, NEW_YORK, recorded.holidays, recorded.regression.temperatures_c
    )
    assert again.tolist() == [interval.baseline_kw for interval in recorded.intervals]
    assert recorded.delivered_kw == pytest.approx(60, abs=recorded.uncertainty.kw_90)
    assert recorded.expected_error is None
    assert len(msgspec.json.encode(recorded)) < 20_000


def test_another_method_records_its_error_on_the_days_without_a_dr_event() -> None:
    load_kw = load(temperatures()) + noise(1)
    recorded = figures_of(
        measured(load_kw, temperatures(), basis=replace(BASIS, baseline_method="caiso-10-in-10"))
    )
    assert recorded.expected_error is not None
    assert recorded.expected_error.days == 10
    assert 0 < recorded.expected_error.cvrmse < 0.1
    assert (recorded.regression, recorded.uncertainty) == (None, None)


def test_the_digest_is_of_the_readings_of_the_training_and_of_the_window() -> None:
    temp_c = temperatures()
    load_kw = load(temp_c)
    usual = figures_of(measured(load_kw, temp_c))
    early, trained = load_kw.copy(), load_kw.copy()
    early[0] += 1  # before the look-back
    trained[AT_START - 96 * 60] += 1
    assert figures_of(measured(early, temp_c)).data_hash == usual.data_hash
    assert figures_of(measured(trained, temp_c)).data_hash != usual.data_hash


def test_the_used_readings_give_the_same_baseline() -> None:
    temp_c = temperatures()
    load_kw = load(temp_c) + noise(1)
    load_kw[AT_START - 96 * 20 : AT_START - 96 * 20 + 4] = np.nan
    inputs = RegressionInputs(fitter=FITTER, temperatures=series(temp_c))
    rule = rule_named("regression")
    first = explained_baseline(rule, series(load_kw), WINDOW, tz=NEW_YORK, inputs=inputs)
    used = used_readings(rule, series(load_kw), first.baseline, NEW_YORK)
    again = explained_baseline(rule, used, WINDOW, tz=NEW_YORK, inputs=inputs)
    assert again == first


def test_temperatures_that_may_still_arrive_are_waited_for() -> None:
    temp_c = temperatures()
    load_kw = load(temp_c)
    temp_c[AT_START:] = np.nan
    assert measured(load_kw, temp_c) is None
    found = measured(load_kw, temp_c, late=TEMPERATURES_UNTIL)
    assert isinstance(found, RecordNotMeasurable)
    assert "no outdoor temperature is known for the hour of 2026-07-14 14:00" in found.reason


def test_without_a_source_of_temperatures_a_regression_is_not_measurable() -> None:
    found = measurement_of(RAN, series(load(temperatures())), BASIS, now=WINDOW.ends_at)
    assert isinstance(found, RecordNotMeasurable)
    assert "needs outdoor temperatures" in found.reason


def test_a_remeasurement_fits_again() -> None:
    temp_c = temperatures()
    load_kw = load(temp_c)
    load_kw[AT_START - 96 * 7 : AT_START - 96 * 7 + 8] += 90
    inputs = RegressionInputs(fitter=FITTER, temperatures=series(temp_c))
    found = remeasurement_of(RAN, series(load_kw), BASIS, corrected_at=WINDOW.ends_at, inputs=inputs)
    before = figures_of(measured(load(temp_c), temp_c))
    assert found.figures.regression != before.regression  # type: ignore[union-attr]


OF_CELL = FacilityState(
    facility_id="fac-001", tz="America/New_York", latitude=None, longitude=None, weather_cell="cell-1"
)


def block_with(*temp_c: float) -> IntervalBlock:
    """From the start of the window."""
    values = np.array([temp_c])
    empty = np.zeros_like(values)
    return IntervalBlock(
        ("fac-001",), WINDOW.starts_at, 900, empty, values, empty, np.zeros(values.shape, dtype=np.bool_)
    )


def test_temperatures_of_a_weather_cell_that_a_later_report_may_replace_are_not_used() -> None:
    cells = FakeCellTemperatures()
    source, block = RegressionSource(FITTER, cells), block_with(np.nan, 30.0)
    hours = IntervalSeries(WINDOW.starts_at, 3600, np.array([10.0]))
    cells.record("cell-1", hours, final_until=WINDOW.ends_at)
    found = inputs_of(source, BASIS, block, OF_CELL)
    verifying = inputs_of(source, BASIS, block, OF_CELL, final_only=False)
    assert found is not None
    assert verifying is not None
    assert verifying.temperatures.values.tolist() == [10.0, 30.0]
    np.testing.assert_array_equal(found.temperatures.values, [np.nan, 30.0])
    cells.record("cell-1", hours.scaled(1.1), final_until=WINDOW.ends_at + timedelta(days=1))
    found = inputs_of(source, BASIS, block, OF_CELL)
    assert found is not None
    assert found.temperatures.values.tolist() == [11.0, 30.0]


def test_a_window_without_temperatures_is_waited_for_before_days_are_counted() -> None:
    """Of 22 days the last have no temperature yet."""
    temp_c = temperatures()
    load_kw = load(temp_c)
    load_kw[: AT_START - 96 * 23] = np.nan
    temp_c[AT_START - 96 * 3 :] = np.nan
    assert measured(load_kw, temp_c) is None


def test_the_temperatures_of_the_readings_go_before_those_of_the_weather_cell() -> None:
    cells = FakeCellTemperatures()
    hours = IntervalSeries(WINDOW.starts_at, 3600, np.array([10.0, 20.0]))
    cells.record("cell-1", hours, final_until=WINDOW.ends_at + timedelta(days=1))
    facility, block = OF_CELL, block_with(np.nan, 30.0, *[np.nan] * 7)
    source = RegressionSource(FITTER, cells)
    found = inputs_of(source, BASIS, block, facility)
    assert found is not None
    values = found.temperatures.values.tolist()
    assert values[:8] == [10, 30, 10, 10, 20, 20, 20, 20]
    assert isnan(values[8])
    assert inputs_of(source, replace(BASIS, baseline_method="x-of-y"), block, facility) is None
    assert TimeWindow(block.starts_at, found.temperatures.ends_at).duration_s == 9 * 900
