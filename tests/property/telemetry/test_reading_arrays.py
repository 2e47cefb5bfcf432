"""Of several readings of a meter for one moment, the same one counts in columns and reading by reading."""

from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from domain.telemetry.meter_reading import TRUST, UNUSABLE, MeterReading
from domain.telemetry.reading_arrays import ReadingColumns, usable, winning_indices
from tests.reference_rollups import winners

T0 = datetime(2026, 7, 14, 10, tzinfo=UTC)
VALUES = st.none() | st.sampled_from([-5.0, 0.0, 10.0, 99.0])
READINGS = st.lists(
    st.builds(
        MeterReading,
        st.just("fac"),
        st.sampled_from(["a", "b"]),
        st.integers(0, 3).map(lambda n: T0 + timedelta(seconds=15 * n)),
        VALUES,
        VALUES,
        st.none() | st.integers(0, 3),
        st.sampled_from(TRUST),
        st.booleans(),
        st.none() | st.sampled_from(['{"v":1}', '{"v":2}']),
        st.integers(0, 2),
    ),
    max_size=25,
)


def columns_of(readings: list[MeterReading]) -> ReadingColumns:
    def numbers(values: list[float | None]) -> np.ndarray:
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)

    return ReadingColumns(
        np.array([ord(r.meter_id) for r in readings], dtype=np.int64),
        np.array([round(r.ts.timestamp() * 1e6) for r in readings], dtype=np.int64),
        numbers([r.kw for r in readings]),
        numbers([r.kwh_total for r in readings]),
        np.array([-1 if r.seq is None else r.seq for r in readings], dtype=np.int64),
        np.array([TRUST.index(r.quality) for r in readings], dtype=np.int64),
        np.array([r.revision for r in readings], dtype=np.int64),
        np.array([r.incomplete for r in readings], dtype=np.bool_),
        np.array([r.extra for r in readings], dtype=np.object_),
    )


@given(READINGS)
def test_the_winning_reading_is_the_one_of_the_reference_code(readings: list[MeterReading]) -> None:
    kept = [readings[n] for n in winning_indices(columns_of(readings)).tolist()]
    assert kept == winners(readings)


@given(READINGS)
def test_only_measurements_and_their_replacements_are_usable(readings: list[MeterReading]) -> None:
    found = usable(columns_of(readings)).tolist()
    assert found == [r.quality not in UNUSABLE for r in readings]
