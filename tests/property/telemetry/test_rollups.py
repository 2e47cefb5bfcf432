"""Rollups of any readings equal those of the reference implementation, and have further properties."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.telemetry.facility_rollups import RollupColumns, hour_of_quarters, quarter_rollups
from domain.telemetry.meter_reading import MeterReading, Quality, conflict_rank
from tests.reading_columns import to_quarter_points
from tests.reference_rollups import ReferenceRollup, reference_rollup, winners

T0 = datetime(2026, 7, 14, 10, tzinfo=UTC)
NAMES = RollupColumns.__struct_fields__

offsets = (
    st.integers(-900, 1_199)
    | st.integers(-3_600, 4_799).map(lambda n: n / 4)
    | st.integers(-60, 80).map(lambda n: 15 * n)
)
powers = st.none() | st.floats(-500, 500)
registers = st.none() | st.floats(0, 2_000) | st.sampled_from([0.0, 99_999.5, 100_000.0, 4_294_967.0, 1e11])
qualities: st.SearchStrategy[Quality] = st.sampled_from(
    ["measured", "measured", "estimated", "substituted", "unknown", "bad", "missing"]
)


@st.composite
def readings_around(draw: st.DrawFn) -> list[MeterReading]:
    """Readings of two meters around the quarter-hour from T0 on."""
    return [
        MeterReading("fac", meter, T0 + timedelta(seconds=at), kw, kwh, None, quality)
        for meter in ("m1", "m2")
        for at, kw, kwh, quality in draw(
            st.lists(
                st.tuples(offsets, powers, registers, qualities), max_size=25, unique_by=lambda one: one[0]
            )
        )
        if kw is not None or kwh is not None
    ]


def rolled_up(readings: list[MeterReading]) -> tuple[RollupColumns, RollupColumns, int]:
    """Of one facility: its minutes and quarter-hour, and the number of expected meters."""
    points, meters = to_quarter_points(readings, T0)
    present = {r.meter_id for r in readings if r.ts < T0 + timedelta(minutes=15)}
    minutes, quarter = quarter_rollups(
        points, np.zeros(len(meters), dtype=np.int64), np.array([len(present)], dtype=np.int64)
    )
    return minutes, quarter, len(present)


def same(found: RollupColumns, k: int, plain: ReferenceRollup | None) -> None:
    if plain is None:
        assert (found.readings[0, k], found.coverage_pct[0, k]) == (0, 0)
        return
    for name in NAMES:
        value, expected = getattr(found, name)[0, k], getattr(plain, name)
        if expected is None:
            assert np.isnan(value), name
        else:
            assert value == pytest.approx(expected, rel=1e-9, abs=1e-3 if name == "coverage_pct" else 1e-9), (
                name
            )


@given(readings_around())
def test_minute_and_quarter_hour_rollups_equal_the_reference_implementation(
    readings: list[MeterReading],
) -> None:
    chosen = winners(readings)
    if not any(T0 <= r.ts < T0 + timedelta(minutes=15) for r in chosen):
        return
    minutes, quarter, _ = rolled_up(chosen)
    same(quarter, 0, reference_rollup(chosen, "fac", T0, 900))
    for k in range(15):
        same(minutes, k, reference_rollup(chosen, "fac", T0 + timedelta(minutes=k), 60))


@given(st.randoms(use_true_random=False), st.integers(0, 14), st.floats(0, 100))
def test_the_energy_of_the_steps_sums_to_the_difference_of_the_register(
    random: "np.random.Generator", phase: int, start: float
) -> None:
    """With or without kW, no energy is lost or counted twice at a boundary."""
    at = range(-900 + phase, 1_200, 15)
    register, readings = start, []
    for s in at:
        register += random.random() / 10
        readings.append(MeterReading("fac", "m1", T0 + timedelta(seconds=s), 7.0, register))
    minutes, quarter, _ = rolled_up(readings)
    seconds = [r.ts.timestamp() - T0.timestamp() for r in readings]
    totals = np.interp([0, 900], seconds, [r.kwh_total or 0.0 for r in readings])
    assert quarter.kwh[0, 0] == pytest.approx(totals[1] - totals[0])
    assert minutes.kwh[0].sum() == pytest.approx(totals[1] - totals[0])


@given(
    st.lists(st.floats(0, 1e7), min_size=2, max_size=60),
    st.floats(0.1, 200),
    st.booleans(),
)
@example(values=[1_000.0, 0.0, 1.0], kw=100.0, knows_power=True)
@example(values=[1_000.0, 900_000.0, 900_001.0], kw=100.0, knows_power=True)
def test_energy_is_never_negative_or_implausible_for_any_register(
    values: list[float], kw: float, knows_power: bool
) -> None:
    step = 900 // len(values)
    readings = [
        MeterReading("fac", "m1", T0 + timedelta(seconds=n * step), kw if knows_power else None, value)
        for n, value in enumerate(values)
    ]
    _, quarter, _ = rolled_up(readings)
    kwh = quarter.kwh[0, 0]
    if knows_power:
        assert 0 <= kwh <= 20 * kw / 4 + 10 * len(values)
    else:
        assert np.isnan(kwh) or kwh >= 0


Word = tuple[float | None, float | None, int | None, Quality, bool, str | None, int]
CONTRADICTIONS: list[Word] = [
    (None, None, None, "missing", True, None, 0),
    (5.0, None, None, "bad", True, None, 0),
    (5.0, None, 9, "estimated", True, None, 0),
    (5.0, 1.0, None, "measured", False, None, 0),
    (4.0, 1.0, None, "measured", False, None, 0),
    (4.0, 1.0, None, "measured", False, '{"a":1}', 0),
    (9.0, 1.0, 3, "measured", False, None, 0),
    (9.0, 1.0, 4, "measured", False, None, 0),
    (9.0, None, None, "unknown", True, None, 1),
]
"""Readings of one meter and moment in ascending rank: kW, kWh, seq, quality, incomplete, extra, revision."""


@given(st.permutations(CONTRADICTIONS))
def test_the_winning_reading_does_not_depend_on_the_order(words: list[Word]) -> None:
    in_order = [MeterReading("fac", "m1", T0, *word) for word in CONTRADICTIONS]
    said = [MeterReading("fac", "m1", T0, *word) for word in words]
    assert sorted(said, key=conflict_rank) == in_order
    assert [winners(said[:n]) for n in range(1, 10)] == [
        [max(said[:n], key=conflict_rank)] for n in range(1, 10)
    ]


def test_energy_is_continuous_over_a_register_overflow() -> None:
    for end in (100_000.0, 2.0**32 / 1_000):
        readings = [
            MeterReading("fac", "m1", T0 + timedelta(seconds=s), None, (end - 1 + s * 40 / 3_600) % end)
            for s in range(-60, 1_000, 15)
        ]
        _, quarter, _ = rolled_up(readings)
        assert quarter.kwh[0, 0] == pytest.approx(10.0)
        assert quarter.mean_kw[0, 0] == pytest.approx(40.0)


def test_energy_around_a_register_reset_comes_from_the_power() -> None:
    readings = [
        MeterReading("fac", "m1", T0 + timedelta(seconds=s), 40.0, 777.0 + s * 40 / 3_600 if s < 300 else 3.0)
        for s in range(-60, 1_000, 15)
    ]
    _, quarter, _ = rolled_up(readings)
    assert quarter.kwh[0, 0] == pytest.approx(10.0)


def test_a_minute_between_two_readings_of_a_slow_meter_has_a_power() -> None:
    readings = [
        MeterReading("fac", "m1", T0 + timedelta(seconds=s), 12.0, None) for s in range(-900, 900, 300)
    ]
    minutes, quarter, _ = rolled_up(readings)
    assert minutes.mean_kw[0].tolist() == [12.0] * 15
    assert minutes.coverage_pct[0].tolist() == [100.0] * 15
    assert minutes.kwh[0].sum() == pytest.approx(quarter.kwh[0, 0]) == pytest.approx(3.0)


def test_an_hour_without_one_of_its_quarters_has_no_energy() -> None:
    four = np.array([[1.0, 2.0, 3.0, np.nan]])
    counts = np.array([[60, 60, 60, 0]])
    hour = hour_of_quarters(
        RollupColumns(four, four, four, four, np.array([[100.0, 100.0, 100.0, 0.0]]), counts, counts)
    )
    assert np.isnan([hour.mean_kw[0], hour.kwh[0], hour.min_kw[0], hour.max_kw[0]]).all()
    assert (hour.coverage_pct[0], hour.readings[0]) == (75.0, 180)


@given(st.lists(st.integers(-900, 899), min_size=1, max_size=60, unique=True), st.floats(-1e6, 1e6))
def test_the_mean_of_a_constant_load_is_the_load_and_coverage_is_a_percentage(
    at: list[int], kw: float
) -> None:
    minutes, quarter, _ = rolled_up(
        [MeterReading("fac", "m1", T0 + timedelta(seconds=s), kw, None) for s in at]
    )
    for found in (minutes, quarter):
        known = np.isfinite(found.mean_kw)
        assert found.mean_kw[known] == pytest.approx(kw)
        assert ((found.coverage_pct >= 0) & (found.coverage_pct <= 100)).all()
    if max(at) >= 0:
        assert quarter.kwh[0, 0] == pytest.approx(kw / 4)


@given(st.integers(-900, 899))
def test_an_extra_reading_never_reduces_the_coverage_of_a_regular_meter(extra: int) -> None:
    at = sorted({*range(-900, 900, 15), extra})
    _, quarter, _ = rolled_up([MeterReading("fac", "m1", T0 + timedelta(seconds=s), 1.0, None) for s in at])
    assert quarter.coverage_pct.tolist() == [[100.0]]


def test_a_reading_before_a_gap_covers_four_cadences() -> None:
    at = [s for s in range(-900, 900, 15) if not 300 <= s < 600]
    _, quarter, _ = rolled_up([MeterReading("fac", "m1", T0 + timedelta(seconds=s), 1.0, None) for s in at])
    # The reading at 285 s covers the time until 345 s, so that 255 of 900 seconds are not covered.
    assert quarter.coverage_pct[0, 0] == pytest.approx(100 * 645 / 900, abs=1e-3)


def test_a_reset_register_without_power_gives_no_energy() -> None:
    for values in ([500.0, 3.0], [500.0]):
        readings = [
            MeterReading("fac", "m1", T0 + timedelta(seconds=800 * n), None, kwh)
            for n, kwh in enumerate(values)
        ]
        _, quarter, _ = rolled_up(readings)
        assert np.isnan([quarter.mean_kw[0, 0], quarter.kwh[0, 0]]).all()
