"""Power and energy of facilities by minute, quarter-hour and hour out of their meters' readings: pure, in columns for
many facilities at once, and independent of the order in which readings came. All in UTC, where no day has 23 hours.

For one meter and step:
* mean kW: the mean of its `kw` readings inside. Without any: that of the readings before, where they speak for at least
  half of the step; else what its register counted.
* energy: what its register counted, each pair of readings shared out evenly over the time between them; the mean power
  for what no pair spans. A meter whose register was reset around the quarter-hour counts by its power there.
* coverage: each reading speaks for the time after it, up to the next one, but for at most four times the meter's own
  cadence: the median spacing of its readings in this quarter-hour and the one before, 15 s while it has only one.

A facility's step is the sum over its meters. One that is expected and missing makes mean, energy, minimum and maximum
missing: a sum over fewer meters would look like a curtailment. `min_kw` and `max_kw` are the sums of the meters' own
extremes: the facility drew no less and no more. An hour is made of its four quarter-hours.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from domain.meter_intervals import INTERVAL_S
from domain.meter_reading import REPLACED_VALUES, UNUSABLE, MeterReading
from domain.minute_spans import MINUTE_S, MINUTES, FloatArray, IntArray, MinuteSpans, by_minute, summed_by
from domain.register_energy import counted_kwh, lower_median_by, plausible_kwh

HOUR_S = 3600
QUARTERS = HOUR_S // INTERVAL_S
LOOK_BACK_S = INTERVAL_S
LOOK_AHEAD_S = 300
"""So far past its end the readings of a quarter-hour tell what a register counted in its last moments."""
DEFAULT_CADENCE_S = 15.0
MAX_GAP_CADENCES = 4.0

BoolArray = NDArray[np.bool_]


class QuarterPoints(msgspec.Struct, frozen=True, eq=False):
    """The usable readings around one quarter-hour (of each facility its own), by meter and time; NaN where missing."""

    meter: IntArray
    """0 .. meters-1."""
    offset_s: FloatArray
    """After the start: -LOOK_BACK_S .. INTERVAL_S + LOOK_AHEAD_S."""
    kw: FloatArray
    kwh_total: FloatArray
    replaced: BoolArray
    """Whether the value is an estimate in place of a measurement."""


def points_of(
    readings: Iterable[MeterReading], starts_at: datetime
) -> tuple[QuarterPoints, list[tuple[str, str]]]:
    """The usable ones of `readings` (one per meter and moment) around the quarter-hour, and whose they are."""
    chosen: dict[tuple[str, str], list[tuple[float, MeterReading]]] = {}
    for r in readings:
        offset_s = (r.ts - starts_at).total_seconds()
        if r.quality not in UNUSABLE and -LOOK_BACK_S <= offset_s < INTERVAL_S + LOOK_AHEAD_S:
            chosen.setdefault((r.facility_id, r.meter_id), []).append((offset_s, r))
    meters = sorted(chosen)
    rows = [
        (n, offset_s, r)
        for n, meter in enumerate(meters)
        for offset_s, r in sorted(chosen[meter], key=lambda one: one[0])
    ]
    points = QuarterPoints(
        np.array([n for n, _, _ in rows], dtype=np.int64),
        np.array([offset_s for _, offset_s, _ in rows], dtype=np.float64),
        np.array([r.kw for _, _, r in rows], dtype=np.float64),
        np.array([r.kwh_total for _, _, r in rows], dtype=np.float64),
        np.array([r.quality in REPLACED_VALUES for _, _, r in rows], dtype=np.bool_),
    )
    return points, meters


class RollupColumns(msgspec.Struct, frozen=True, eq=False):
    """Arrays of one shape; NaN where missing."""

    mean_kw: FloatArray
    kwh: FloatArray
    min_kw: FloatArray
    max_kw: FloatArray
    coverage_pct: FloatArray
    readings: IntArray
    """Usable ones."""
    replaced: IntArray
    """How many of them are estimates."""


class RollupSeries(msgspec.Struct, frozen=True, eq=False):
    """Rollups of one facility and step in order of time; `columns` are of their length."""

    facility_id: str
    step_s: int
    starts_at: tuple[datetime, ...]
    columns: RollupColumns


class _MeterSteps(msgspec.Struct, frozen=True, eq=False):
    """Per meter and step, shape (meters, steps)."""

    mean_kw: FloatArray
    kwh: FloatArray
    min_kw: FloatArray
    max_kw: FloatArray
    covered_s: FloatArray
    readings: IntArray
    replaced: IntArray


def quarter_rollups(
    points: QuarterPoints, facility_of: IntArray, expected: IntArray
) -> tuple[RollupColumns, RollupColumns]:
    """The facilities' minutes, shape (facilities, 15), and quarter-hours, shape (facilities, 1).

    `facility_of` says whose each meter is, `expected` how many meters each facility is made of.
    """
    by_minute = _MinuteSums.of(points, len(facility_of))
    minutes = by_minute.steps(MINUTE_S)
    quarter = by_minute.summed().steps(INTERVAL_S)
    return (
        _over_facilities(minutes, facility_of, expected, MINUTE_S),
        _over_facilities(quarter, facility_of, expected, INTERVAL_S),
    )


class _MinuteSums(msgspec.Struct, frozen=True, eq=False):
    """What adds up over the minutes of a meter, shape (meters, steps)."""

    powers: IntArray
    """Readings with a kW."""
    kw_sum: FloatArray
    min_kw: FloatArray
    max_kw: FloatArray
    covered_s: FloatArray
    held_s: FloatArray
    """Covered by readings with a kW, and their kW over it."""
    held_kws: FloatArray
    counted_s: FloatArray
    """Spanned by pairs of registers, and what they counted."""
    counted_kwh: FloatArray
    readings: IntArray
    replaced: IntArray
    jumped: BoolArray
    """Whether the meter's register was reset; shape (meters, 1)."""

    @classmethod
    def of(cls, points: QuarterPoints, meters: int) -> "_MinuteSums":
        inside = (points.offset_s >= 0) & (points.offset_s < INTERVAL_S)
        known = inside & np.isfinite(points.kw)
        kw = points.kw[known]
        where = _cell(points, known)
        low, high = np.full(meters * MINUTES, np.inf), np.full(meters * MINUTES, -np.inf)
        np.minimum.at(low, where, kw)
        np.maximum.at(high, where, kw)
        spoken_for = MinuteSpans(points.meter, points.offset_s, _spoken_until(points, meters))
        finite = np.isfinite(points.kw)
        held = spoken_for.chosen(finite)
        counted_s, counted_kwh_, jumped = _counted(points, meters)
        return cls(
            _count(where, meters),
            by_minute(where, kw, meters),
            low.reshape(meters, MINUTES),
            high.reshape(meters, MINUTES),
            spoken_for.spread(np.ones(len(points.meter)), meters),
            held.spread(np.ones(int(finite.sum())), meters),
            held.spread(points.kw[finite], meters),
            counted_s,
            counted_kwh_,
            _count(_cell(points, inside), meters),
            _count(_cell(points, inside & points.replaced), meters),
            jumped,
        )

    def summed(self) -> "_MinuteSums":
        """The quarter-hour as one step."""

        def total(values: NDArray[Any]) -> NDArray[Any]:
            return np.asarray(values.sum(axis=1, keepdims=True))

        return _MinuteSums(
            **{
                name: total(getattr(self, name))
                for name in self.__struct_fields__
                if name not in {"min_kw", "max_kw", "jumped"}
            },
            min_kw=self.min_kw.min(axis=1, keepdims=True),
            max_kw=self.max_kw.max(axis=1, keepdims=True),
            jumped=self.jumped,
        )

    def steps(self, step_s: int) -> _MeterSteps:
        with np.errstate(invalid="ignore", divide="ignore"):
            held = np.where(self.held_s >= step_s / 2, self.held_kws / self.held_s, np.nan)
            by_register = np.where(self.counted_s > 0, self.counted_kwh * 3600.0 / self.counted_s, np.nan)
            mean = np.where(
                self.powers > 0, self.kw_sum / self.powers, np.where(np.isnan(held), by_register, held)
            )
        by_power = mean * step_s / 3600.0
        rest = np.where(self.counted_s < step_s, mean * (step_s - self.counted_s) / 3600.0, 0.0)
        has_power = np.isfinite(held) | (self.powers > 0)
        kwh = np.where(self.jumped & has_power, by_power, self.counted_kwh + rest)
        return _MeterSteps(
            mean,
            np.where(np.isnan(mean), np.nan, kwh),
            np.where(self.powers > 0, self.min_kw, mean),
            np.where(self.powers > 0, self.max_kw, mean),
            self.covered_s,
            self.readings,
            self.replaced,
        )


def _spoken_until(points: QuarterPoints, meters: int) -> FloatArray:
    same = points.meter[1:] == points.meter[:-1]
    spacing = np.diff(points.offset_s)
    counts = same & (points.offset_s[1:] < INTERVAL_S)
    cadence = _median_by(points.meter[:-1][counts], spacing[counts], meters)
    cadence[np.isnan(cadence)] = DEFAULT_CADENCE_S
    following = np.append(np.where(same, points.offset_s[1:], np.inf), np.inf)[: len(points.offset_s)]
    reach = MAX_GAP_CADENCES * cadence[points.meter]
    return np.asarray(np.minimum(following, points.offset_s + reach), np.float64)


def _median_by(group: IntArray, values: FloatArray, groups: int) -> FloatArray:
    lower = lower_median_by(group, values, groups)
    return np.asarray((lower - lower_median_by(group, -values, groups)) / 2)


def _counted(points: QuarterPoints, meters: int) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Seconds and kWh between registers per meter and minute, and whose register jumped."""
    known = np.isfinite(points.kwh_total)
    meter, at, register = points.meter[known], points.offset_s[known], points.kwh_total[known]
    pair = meter[1:] == meter[:-1]
    spans = MinuteSpans(meter[1:][pair], at[:-1][pair], at[1:][pair])
    before, after, kw = register[:-1][pair], register[1:][pair], points.kw[known][1:][pair]
    seconds = spans.ends - spans.starts
    hours = seconds / 3600.0
    power = _power_kw(points, spans.meter, (after - before) / hours, meters)
    kwh = counted_kwh(before, after, hours, plausible_kwh(power[spans.meter], hours), np.nan_to_num(kw) < 0)
    usable = np.isfinite(kwh)
    jumped = np.zeros((meters, 1), dtype=np.bool_)
    jumped[spans.meter[~usable & (spans.ends > 0) & (spans.starts < INTERVAL_S)]] = True
    counting = spans.chosen(usable)
    return (
        counting.spread(np.ones(len(counting.meter)), meters),
        counting.spread(kwh[usable] / seconds[usable], meters),
        jumped,
    )


def _power_kw(points: QuarterPoints, whose: IntArray, rate_kw: FloatArray, meters: int) -> FloatArray:
    """By what each meter's pairs of registers are judged; NaN where there is nothing to judge by."""
    rising = rate_kw > 0
    power = lower_median_by(whose[rising], rate_kw[rising], meters)
    known = np.isfinite(points.kw)
    highest = np.full(meters, -np.inf)
    np.maximum.at(highest, points.meter[known], np.abs(points.kw[known]))
    return np.where(np.isfinite(highest), highest, power)


def _over_facilities(
    steps: _MeterSteps, facility_of: IntArray, expected: IntArray, step_s: int
) -> RollupColumns:
    count, width = len(expected), steps.mean_kw.shape[1]
    cells = (facility_of[:, None] * width + np.arange(width)).reshape(-1)

    def total(values: NDArray[Any]) -> FloatArray:
        return summed_by(cells, values.reshape(-1), count * width).reshape(count, width)

    whole = total(np.isfinite(steps.mean_kw)) == expected[:, None]

    def complete(values: FloatArray) -> FloatArray:
        return np.where(whole, total(np.nan_to_num(values)), np.nan)

    with np.errstate(invalid="ignore", divide="ignore"):
        coverage = 100.0 * total(steps.covered_s) / (step_s * expected[:, None])
    return RollupColumns(
        complete(steps.mean_kw),
        np.where(total(np.isfinite(steps.kwh)) == expected[:, None], complete(steps.kwh), np.nan),
        complete(steps.min_kw),
        complete(steps.max_kw),
        np.asarray(np.round(np.nan_to_num(coverage), 3), np.float64),
        total(steps.readings).astype(np.int64),
        total(steps.replaced).astype(np.int64),
    )


def hour_of_quarters(quarters: RollupColumns) -> RollupColumns:
    """Hours out of quarter-hours, shape (hours, 4) to (hours,); one without a row has coverage 0 and NaN."""
    return RollupColumns(
        quarters.mean_kw.mean(axis=1),
        quarters.kwh.sum(axis=1),
        quarters.min_kw.min(axis=1),
        quarters.max_kw.max(axis=1),
        np.asarray(np.round(quarters.coverage_pct.mean(axis=1), 3), np.float64),
        quarters.readings.sum(axis=1),
        quarters.replaced.sum(axis=1),
    )


def _cell(points: QuarterPoints, chosen: BoolArray) -> IntArray:
    return points.meter[chosen] * MINUTES + (points.offset_s[chosen] // MINUTE_S).astype(np.int64)


def columns_of(rows: Iterable[tuple[float, ...]]) -> RollupColumns:
    """Of rows in the order of the columns."""
    columns = [np.array(column, dtype=np.float64) for column in zip(*rows, strict=True)] or [np.empty(0)] * 7
    counts = (column.astype(np.int64) for column in columns[5:])
    return RollupColumns(columns[0], columns[1], columns[2], columns[3], columns[4], *counts)


def _count(cells: IntArray, meters: int) -> IntArray:
    return np.asarray(np.bincount(cells, minlength=meters * MINUTES), np.int64).reshape(meters, MINUTES)
