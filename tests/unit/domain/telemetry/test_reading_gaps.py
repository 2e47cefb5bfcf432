from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.telemetry import reading_gaps
from domain.telemetry.meter_reading import MeterReading, Quality
from domain.telemetry.reading_block import columns_of_meter
from domain.telemetry.reading_gaps import (
    MAX_LISTED,
    CounterRestart,
    GapColumns,
    MeterGaps,
    SeqHole,
    TimeGap,
    gaps_of,
    summed,
)
from domain.time_series.windows import NotAligned, TimeWindow

T0 = datetime(2026, 7, 14, 10, 0, tzinfo=UTC)
TWO_HOURS = TimeWindow(T0, T0 + timedelta(hours=2))
Point = tuple[float, int | None] | tuple[float, int | None, Quality]


def at(after_s: float) -> datetime:
    return T0 + timedelta(seconds=after_s)


def gaps(points: Iterable[Point], window: TimeWindow = TWO_HOURS) -> MeterGaps:
    """Points are (seconds after T0, number[, quality])."""
    rows = [(*point, "measured")[:3] for point in points]
    readings = [MeterReading("fac", "m1", at(s), 1.0, 1.0, seq, quality) for s, seq, quality in rows]
    return gaps_of("m1", GapColumns.of(columns_of_meter(readings)) if readings else None, window)


def missing(found: MeterGaps) -> list[int]:
    return [hour.missing for hour in found.hours]


def test_a_meter_that_sends_every_15_s_misses_nothing() -> None:
    found = gaps((s, s // 15) for s in range(-900, 7_200, 15))
    assert [(hour.readings, hour.missing, hour.missing_seqs) for hour in found.hours] == [(240, 0, 0)] * 2
    assert (found.is_short, found.gaps, found.cadence_s) == (False, (), 15.0)


def test_jitter_within_half_a_cadence_is_no_gap() -> None:
    found = gaps((s + (3.5 if s % 30 else -3.5), None) for s in range(4, 7_200, 15))
    assert missing(found) == [0, 0]


def test_a_reading_that_was_lost_is_missing_by_time_and_by_number() -> None:
    found = gaps((s, 1_000 + s // 15) for s in range(0, 7_200, 15) if s not in {600, 615, 3_600})
    assert missing(found) == [2, 1]
    assert [hour.missing_seqs for hour in found.hours] == [2, 1]
    assert found.gaps[0] == TimeGap(starts_at=at(585), ends_at=at(630), missing=2)
    assert found.holes[0] == SeqHole(first_seq=1_040, last_seq=1_041, after=at(585), before=at(630))


def test_a_pause_of_the_meter_itself_is_missing_by_time_only() -> None:
    found = gaps(
        [*((s, s // 15) for s in range(0, 900, 15)), *((s, s // 15 - 20) for s in range(1_200, 7_200, 15))]
    )
    assert (missing(found), [hour.missing_seqs for hour in found.hours]) == ([20, 0], [0, 0])
    assert found.restarts == ()


def test_a_counter_that_begins_again_is_a_restart_and_no_hole() -> None:
    low = gaps((s, s // 15 if s < 3_600 else s // 15 - 240) for s in range(0, 7_200, 15))
    high = gaps((s, s // 15 if s < 3_600 else s // 15 + 10**15) for s in range(0, 7_200, 15))
    for found in (low, high):
        assert [hour.restarts for hour in found.hours] == [0, 1]
        assert [hour.missing_seqs for hour in found.hours] == [0, 0]
        assert (found.restarts[0].at, found.restarts[0].previous_seq) == (at(3_600), 239)


def test_the_cadence_of_a_slower_meter_is_its_own() -> None:
    found = gaps((s, s // 60) for s in range(0, 7_200, 60) if s != 1_200)
    assert (found.cadence_s, missing(found)) == (60.0, [1, 0])


def test_numbers_tell_the_cadence_where_most_readings_are_missing() -> None:
    found = gaps((s, s // 15) for s in range(0, 7_200, 60))
    assert (found.cadence_s, missing(found)) == (15.0, [180, 180])


def test_a_meter_without_readings_misses_every_one() -> None:
    found = gaps([])
    assert (missing(found), found.newest_at) == ([240, 240], None)
    assert found.gaps == (TimeGap(starts_at=T0, ends_at=at(7_200), missing=480),)


def test_a_gap_across_the_start_counts_inside_only() -> None:
    found = gaps((s, None) for s in range(-600, 7_200, 15) if not -300 < s < 300)
    assert missing(found) == [20, 0]
    assert found.gaps == (TimeGap(starts_at=T0, ends_at=at(300), missing=20),)


def test_a_reading_that_is_no_measurement_arrived_and_is_unusable() -> None:
    found = gaps((s, s // 15, "bad" if s == 30 else "measured") for s in range(0, 7_200, 15))
    assert (found.hours[0].unusable, missing(found), found.is_short) == (1, [0, 0], True)


def test_the_sums_of_several_meters_are_by_hour() -> None:
    hours = summed([gaps([]).hours, gaps((s, None) for s in range(0, 7_200, 15)).hours])
    assert [(one.starts_at, one.readings, one.missing) for one in hours] == [
        (T0, 240, 240),
        (at(3_600), 240, 240),
    ]
    assert summed([]) == ()


def test_a_window_begins_on_a_whole_hour() -> None:
    with pytest.raises(NotAligned):
        gaps([], TimeWindow(at(60), at(3_600)))


@pytest.mark.parametrize(
    ("kind", "name", "points", "count"),
    [
        (SeqHole, "missing_seqs", [(15.0 * n, 2 * n) for n in range(480)], 479),
        (CounterRestart, "restarts", [(15.0 * n, 480 - n) for n in range(480)], 479),
        (TimeGap, "missing", [(15.0 * n, n) for n in range(480) if n % 3], 160),
    ],
)
def test_only_what_is_listed_becomes_an_object_and_the_hours_count_all(
    monkeypatch: pytest.MonkeyPatch, kind: Any, name: str, points: list[Point], count: int
) -> None:
    """A meter may have a hole, a restart or a gap at each of its readings."""
    built: list[Any] = []

    def noted(**fields: Any) -> Any:
        built.append(kind(**fields))
        return built[-1]

    monkeypatch.setattr(reading_gaps, kind.__name__, noted)
    found = gaps(points)
    listed = {SeqHole: found.holes, CounterRestart: found.restarts, TimeGap: found.gaps}[kind]
    assert (len(built), listed) == (MAX_LISTED, tuple(built))
    assert sum(getattr(hour, name) for hour in found.hours) == count


@given(lost=st.sets(st.integers(1, 478)), start=st.integers(0, 2**62))
def test_what_is_left_out_of_a_steady_meter_is_what_is_missing(lost: set[int], start: int) -> None:
    kept = [n for n in range(480) if n not in lost]
    found = gaps((15.0 * n, start + n) for n in kept)
    by_hour = [sum(n // 240 == hour for n in lost) for hour in range(2)]
    assert missing(found) == by_hour
    assert [hour.missing_seqs for hour in found.hours] == by_hour
    assert sum(hour.restarts for hour in found.hours) == 0


POINTS = st.lists(
    st.tuples(st.integers(-900_000, 7_300_000), st.none() | st.integers(0, 2**63 - 1)),
    max_size=60,
    unique_by=lambda one: one[0],
)


@given(POINTS)
def test_any_readings_have_counts_that_agree(points: list[tuple[int, int | None]]) -> None:
    found = gaps((ms / 1_000, seq) for ms, seq in sorted(points, key=lambda one: one[0]))
    assert sum(hour.readings for hour in found.hours) == sum(0 <= ms < 7_200_000 for ms, _ in points)
    assert sum(hour.missing for hour in found.hours) >= sum(one.missing for one in found.gaps)
    assert all(one.first_seq <= one.last_seq and one.after < one.before for one in found.holes)
    assert all(min(h.readings, h.missing, h.missing_seqs, h.restarts, h.unusable) >= 0 for h in found.hours)
