"""Power and energy of single meters by minute and quarter-hour from their readings; pure, in columns for many
meters.

For one meter and step:

* mean kW: the mean of its `kw` readings in the step. Without any, it is the mean of the readings before, if
  they cover at least half of the step; else it comes from the register.
* energy: what the register counted, each pair of readings divided evenly over the time between them; the mean
  power for time that no pair spans. If the register was reset around the quarter-hour, the power is used
  there.
* coverage: each reading covers the time until the next one, but at most four times the meter's own cadence.
  The cadence is the median spacing of its readings in this quarter-hour and the one before, or 15 s if there
  is only one reading.
"""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from domain.telemetry.intervals import INTERVAL_S
from domain.telemetry.minute_ranges import (
    MINUTE_S,
    MINUTES,
    FloatArray,
    IntArray,
    MinuteSpans,
    by_minute,
    highest_by,
    lowest_by,
)
from domain.telemetry.register_energy import counted_kwh, lower_median_by, plausible_kwh

DEFAULT_CADENCE_S = 15.0
MAX_GAP_CADENCES = 4.0

BoolArray = NDArray[np.bool_]


class QuarterPoints(msgspec.Struct, frozen=True, eq=False):
    """The usable readings around one quarter-hour, by meter and time; NaN if missing.

    Each facility may have its own quarter-hour.
    """

    meter: IntArray
    """0 .. meters-1."""
    offset_s: FloatArray
    """Seconds after the start: -LOOK_BACK_S .. INTERVAL_S + LOOK_AHEAD_S."""
    kw: FloatArray
    kwh_total: FloatArray
    replaced: BoolArray
    """Whether the value is an estimate in place of a measurement."""


class MeterSteps(msgspec.Struct, frozen=True, eq=False):
    """Values per meter and step, shape (meters, steps)."""

    mean_kw: FloatArray
    kwh: FloatArray
    min_kw: FloatArray
    max_kw: FloatArray
    covered_s: FloatArray
    readings: IntArray
    replaced: IntArray


class MinuteSums(msgspec.Struct, frozen=True, eq=False):
    """Sums over the minutes of a meter, shape (meters, steps)."""

    powers: IntArray
    """The number of readings with a kW."""
    kw_sum: FloatArray
    min_kw: FloatArray
    max_kw: FloatArray
    covered_s: FloatArray
    held_s: FloatArray
    """The time covered by readings with a kW; `held_kws` is their kW over that time."""
    held_kws: FloatArray
    counted_s: FloatArray
    """The time spanned by pairs of register readings; `counted_kwh` is what they counted."""
    counted_kwh: FloatArray
    readings: IntArray
    replaced: IntArray
    jumped: BoolArray
    """Whether the meter's register was reset; shape (meters, 1)."""

    @classmethod
    def of(cls, points: QuarterPoints, meters: int) -> "MinuteSums":
        """The sums by minute of the readings of one quarter-hour."""
        inside = (points.offset_s >= 0) & (points.offset_s < INTERVAL_S)
        with_kw = inside & np.isfinite(points.kw)
        kw = points.kw[with_kw]
        where = _cell(points, with_kw)
        low, high = (by(where, kw, meters * MINUTES) for by in (lowest_by, highest_by))
        coverage = MinuteSpans(points.meter, points.offset_s, _covered_until(points, meters))
        finite = np.isfinite(points.kw)
        held = coverage.chosen(finite)
        covered_s = coverage.spread(np.ones(len(points.meter)), meters)
        held_s = covered_s if finite.all() else held.spread(np.ones(int(finite.sum())), meters)
        counted_s, counted_kwh_, jumped = _counted(points, meters)
        return cls(
            _count(where, meters),
            by_minute(where, kw, meters),
            low.reshape(meters, MINUTES),
            high.reshape(meters, MINUTES),
            covered_s,
            held_s,
            held.spread(points.kw[finite], meters),
            counted_s,
            counted_kwh_,
            _count(_cell(points, inside), meters),
            _count(_cell(points, inside & points.replaced), meters),
            jumped,
        )

    def summed(self) -> "MinuteSums":
        """The quarter-hour as one step."""

        def total(values: NDArray[Any]) -> NDArray[Any]:
            return np.asarray(values.sum(axis=1, keepdims=True))

        return MinuteSums(
            **{
                name: total(getattr(self, name))
                for name in self.__struct_fields__
                if name not in {"min_kw", "max_kw", "jumped"}
            },
            min_kw=self.min_kw.min(axis=1, keepdims=True),
            max_kw=self.max_kw.max(axis=1, keepdims=True),
            jumped=self.jumped,
        )

    def steps(self, step_s: int) -> MeterSteps:
        """Mean, energy, extremes and coverage per step of `step_s` seconds."""
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
        return MeterSteps(
            mean,
            np.where(np.isnan(mean), np.nan, kwh),
            np.where(self.powers > 0, self.min_kw, mean),
            np.where(self.powers > 0, self.max_kw, mean),
            self.covered_s,
            self.readings,
            self.replaced,
        )


def _covered_until(points: QuarterPoints, meters: int) -> FloatArray:
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
    """Seconds and kWh between register readings per meter and minute, and which registers jumped."""
    present = np.isfinite(points.kwh_total)
    meter, at, register = points.meter[present], points.offset_s[present], points.kwh_total[present]
    pair = meter[1:] == meter[:-1]
    spans = MinuteSpans(meter[1:][pair], at[:-1][pair], at[1:][pair])
    before, after, kw = register[:-1][pair], register[1:][pair], points.kw[present][1:][pair]
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
    """The power that decides which register differences are plausible; NaN if there is none."""
    highest = highest_by(points.meter, np.abs(points.kw), meters)
    if np.isfinite(highest).all():
        return highest
    rising = rate_kw > 0
    power = lower_median_by(whose[rising], rate_kw[rising], meters)
    return np.where(np.isfinite(highest), highest, power)


def _cell(points: QuarterPoints, chosen: BoolArray) -> IntArray:
    return points.meter[chosen] * MINUTES + (points.offset_s[chosen] // MINUTE_S).astype(np.int64)


def _count(cells: IntArray, meters: int) -> IntArray:
    return np.asarray(np.bincount(cells, minlength=meters * MINUTES), np.int64).reshape(meters, MINUTES)
