"""Load history: a facility's load in steps, from single readings, rollups, or imported intervals."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
import numpy as np
from numpy.typing import NDArray

from domain.telemetry.active_meters import QUARTERS_A_DAY, quarter_number
from domain.telemetry.facility_rollups import RollupSeries
from domain.telemetry.intervals import INTERVAL_S
from domain.telemetry.meter_rollups import DEFAULT_CADENCE_S, MAX_GAP_CADENCES
from domain.time_series.interval_block import MIN_COVERAGE_PCT, IntervalBlock, steps_in
from domain.time_series.windows import NotAligned, TimeWindow

FloatArray = NDArray[np.float64]


class LoadHistory(msgspec.Struct, frozen=True, eq=False):
    """Consecutive steps of `step_s` seconds from `starts_at` on; arrays of one length, NaN if missing."""

    starts_at: datetime
    step_s: int
    mean_kw: FloatArray
    kwh: FloatArray
    min_kw: FloatArray
    max_kw: FloatArray
    """The sums of the meters' own extremes. NaN for imported values, which have only a mean."""
    coverage_pct: FloatArray
    """0 .. 100; 0 if nothing is available."""


class MeterPowers(msgspec.Struct, frozen=True, eq=False):
    """The power readings of one meter around a window, in order of time."""

    meter_id: str
    first_at: datetime
    newest_at: datetime
    """The first and the newest reading of any quality, from a day before the window to its end."""
    offset_s: FloatArray
    """Of the usable readings with a kW: seconds after the window's start, from -LOOK_BACK_S on."""
    kw: FloatArray


def history_from_rollups(window: TimeWindow, rollups: RollupSeries) -> LoadHistory:
    """Each rollup in its step. Raises NotAligned if the window does not start on a step in UTC."""
    if window.starts_at.timestamp() % rollups.step_s:
        raise NotAligned(f"{window.starts_at.isoformat()} is on no boundary of {rollups.step_s} s in UTC")
    return _placed(window, rollups)


def merged_with_imports(block: IntervalBlock, facility_id: str, rollups: RollupSeries) -> LoadHistory:
    """Metered values where they cover at least half of the step, else the values of `block` (imported files).

    Steps that do not align with UTC, such as the hours of a zone at +05:30, come only from `block`.
    """
    row = block.facility_ids.index(facility_id)
    mean = block.mean_kw[row]
    ends_at = block.starts_at + timedelta(seconds=block.step_s * len(mean))
    metered = _placed(TimeWindow(block.starts_at, ends_at), rollups)
    counts = np.isfinite(metered.mean_kw) & (metered.coverage_pct >= MIN_COVERAGE_PCT)

    def chosen(of_meters: FloatArray, other: FloatArray | float) -> FloatArray:
        return np.where(counts, of_meters, other)

    return LoadHistory(
        block.starts_at,
        block.step_s,
        chosen(metered.mean_kw, mean),
        chosen(metered.kwh, mean * block.step_s / 3600.0),
        chosen(metered.min_kw, np.nan),
        chosen(metered.max_kw, np.nan),
        chosen(metered.coverage_pct, block.coverage_pct[row]),
    )


def history_from_readings(window: TimeWindow, step_s: int, meters: list[MeterPowers]) -> LoadHistory:
    """Steps shorter than a rollup, by the rules of domain.telemetry.facility_rollups.

    The value of a step is the mean of the meter's readings in it. Without any, it is the reading before, if
    that covers at least half of the step. Energy is the mean over the step; registers are not used. A step
    without one of the facility's meters is missing. Raises NotAligned.
    """
    count = steps_in(window, step_s)
    starts = np.arange(count, dtype=np.float64) * step_s
    quarter = quarter_number(window.starts_at) + _quarters_on(window, starts)
    sums, covered = np.zeros((3, count)), np.zeros(count)
    expected, present = np.zeros(count), np.zeros(count)
    for meter in meters:
        values, covered_s = _of_meter(meter, starts, step_s)
        finite = np.isfinite(values[0])
        sums += np.where(finite, values, 0.0)
        present += finite
        covered += covered_s
        since, until = quarter_number(meter.first_at), quarter_number(meter.newest_at) + QUARTERS_A_DAY
        expected += (quarter >= since) & (quarter < until)
    whole = (present > 0) & (present >= expected)
    mean, low, high = np.where(whole, sums, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        coverage = np.minimum(100.0, np.nan_to_num(100.0 * covered / (step_s * expected), posinf=0.0))
    coverage_pct: FloatArray = np.asarray(np.round(coverage, 3), np.float64)
    return LoadHistory(window.starts_at, step_s, mean, mean * step_s / 3600.0, low, high, coverage_pct)


def _of_meter(meter: MeterPowers, starts: FloatArray, step_s: int) -> tuple[FloatArray, FloatArray]:
    """Mean, minimum and maximum per step, shape (3, steps), and the seconds covered."""
    at, kw = meter.offset_s, meter.kw
    if not len(at):
        return np.full((3, len(starts)), np.nan), np.zeros(len(starts))
    cadence_s = float(np.median(np.diff(at))) if len(at) > 1 else DEFAULT_CADENCE_S
    until = np.minimum(np.append(at[1:], np.inf), at + MAX_GAP_CADENCES * cadence_s)
    before = np.searchsorted(at, starts) - 1
    covers = (before >= 0) & (until[before] >= starts + step_s / 2)
    carried = np.where(covers, kw[before], np.nan)
    inside = (at >= 0) & (at < len(starts) * step_s)
    step = (at[inside] // step_s).astype(np.int64)
    number = np.bincount(step, minlength=len(starts))
    total = np.bincount(step, weights=kw[inside], minlength=len(starts))
    low, high = np.full(len(starts), np.inf), np.full(len(starts), -np.inf)
    np.minimum.at(low, step, kw[inside])
    np.maximum.at(high, step, kw[inside])
    values = np.stack([total / np.maximum(number, 1), low, high])
    # Covered seconds up to a moment: a line that rises while a reading covers the time, and is level otherwise.
    bends, risen = np.stack([at, until], axis=1).reshape(-1), np.zeros(2 * len(at))
    risen[1:] = np.cumsum(np.diff(bends) * (np.arange(1, 2 * len(at)) % 2))
    covered_s = np.diff(np.interp(np.append(starts, starts[-1] + step_s), bends, risen))
    return np.where(number > 0, values, carried), covered_s


def _quarters_on(window: TimeWindow, starts: FloatArray) -> NDArray[np.int64]:
    """The number of quarter-hours between the window's start and each step."""
    into_quarter_s = window.starts_at.timestamp() % INTERVAL_S
    return ((starts + into_quarter_s) // INTERVAL_S).astype(np.int64)


def _placed(window: TimeWindow, rollups: RollupSeries) -> LoadHistory:
    count = steps_in(window, rollups.step_s)
    offset_s = np.array([(start - window.starts_at).total_seconds() for start in rollups.starts_at])
    where = (offset_s // rollups.step_s).astype(np.int64)
    fits = (offset_s % rollups.step_s == 0) & (where >= 0) & (where < count)

    def column(values: FloatArray, missing: float = np.nan) -> FloatArray:
        placed = np.full(count, missing)
        placed[where[fits]] = values[fits]
        return placed

    c = rollups.columns
    return LoadHistory(
        window.starts_at,
        rollups.step_s,
        column(c.mean_kw),
        column(c.kwh),
        column(c.min_kw),
        column(c.max_kw),
        column(c.coverage_pct, 0.0),
    )
