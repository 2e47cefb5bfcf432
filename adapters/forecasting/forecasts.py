"""The forecasts of a block of facilities at one origin, from their parameters and what came since: array by array."""

from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.forecasting.conformal import known_of_last_day, widened_by_gaps
from adapters.forecasting.hourly import on_grid, stuck, stuck_to_the_end
from adapters.forecasting.learned import (
    FULL,
    NO_WEATHER,
    YESTERDAYS_WEATHER,
    Learned,
    Window,
    by_local_clock,
    shifted,
)
from adapters.forecasting.local_week import HOUR_S, HOURS_A_DAY, IntArray, clocks_ahead_h, hours_of_week
from adapters.forecasting.naive_methods import without_gaps
from adapters.forecasting.parameters import Block
from adapters.forecasting.public_holidays import region_of
from adapters.forecasting.residual_correction import HORIZON_H, WINDOW_H
from adapters.forecasting.spikes import without_leaps
from adapters.forecasting.temperature_columns import carried_on, columns, smoothed
from adapters.forecasting.within_hour import StepShape, in_steps
from application.ports.load_forecaster import RECENT_DAYS, BlockQuantiles, RecentBlock, TemperaturesAhead
from domain.time_windows import FloatArray

LEAST_TEMPERATURES = 0.7
"""The share of the horizon's hours whose temperature must be known for weather to be used."""
MOST_RECENT_H = RECENT_DAYS * HOURS_A_DAY
OLDEST_H = 2 * 168
"""A facility that was silent for longer is forecast as if it had been so for that long."""


class Origin(NamedTuple):
    """Where the forecasts begin: in clock hour `hour`, `phase` of an hour after its start."""

    at_s: int

    @property
    def hour(self) -> int:
        return self.at_s // HOUR_S

    @property
    def phase(self) -> float:
        return self.at_s % HOUR_S / HOUR_S


class Surroundings(NamedTuple):
    """Calendar and weather from `back` clock hours before the origin's to two days after it."""

    back: int
    week: IntArray
    """Shape (facilities, back + 49)."""
    columns: FloatArray
    """NaN where the temperature is not known."""
    has_weather: NDArray[np.bool_]
    """Shape (facilities,): whether the horizon's temperatures are known well enough."""


def block_quantiles(
    block: Block,
    recent: RecentBlock,
    starts_at: datetime,
    steps: int,
    temperatures: TemperaturesAhead | None,
) -> BlockQuantiles:
    """Of `steps` steps from `starts_at` on, of every facility of `block` and `recent`."""
    origin = Origin(int(starts_at.timestamp()))
    recent, left_out, unheard = without_leaps(recent, block.values["believed_kw"], origin.at_s)
    around = _surroundings(block, recent, origin, steps, temperatures)
    load_kw, residual_kw = _windows(block, recent, origin, around)
    ages = _ages(load_kw)
    filled_kw = without_gaps(load_kw, _mean(block.values["load_kw"]))
    used = around.has_weather & (block.values["climate_known"][:, 0] > 0)
    stale = np.zeros(len(ages), dtype=np.bool_)
    if temperatures is not None and temperatures.stale:
        stale = np.array(temperatures.stale)
    found = np.empty((3, len(ages), HORIZON_H))
    ahead = slice(around.back, None)
    for age_h in np.unique(ages).tolist():
        rows = np.flatnonzero(ages == age_h)
        own: slice | IntArray = slice(None) if len(rows) == len(ages) else rows
        window = Window(
            load_kw=filled_kw[own],
            residual_kw=residual_kw[:, own],
            week=around.week[own, ahead],
            columns=around.columns[own, ahead],
            age_h=age_h,
            phase=origin.phase,
        )
        found[:, own] = _quantiles(block.learned(own), window, used[own], stale[own])
    known = known_of_last_day(load_kw)
    if recent.coverage:
        known = np.array(recent.coverage) - left_out * recent.step_s / (HOURS_A_DAY * HOUR_S)
    found = widened_by_gaps(found, known, ages)
    shape_kw = _shape(block, around, used)
    shape = StepShape(block.values["within_hour_kw"], block.values["within_hour_sd_kw"])
    kw = in_steps(shape, found, shape_kw, around.week[:, ahead], phase=origin.phase, step_s=recent.step_s)
    return BlockQuantiles(
        kw=_within_reach(block, kw[:, :, :steps]),
        used_weather=tuple((used & np.array(block.is_model)).tolist()),
        ages_h=tuple(ages.tolist()),
        left_out=tuple(left_out.tolist()),
        unheard=tuple(unheard.tolist()),
    )


def _quantiles(
    learned: Learned, window: Window, used_weather: NDArray[np.bool_], stale: NDArray[np.bool_]
) -> FloatArray:
    """Shape (3, facilities, 48), by the hour."""
    said = learned.candidates(window)
    modes = np.where(used_weather, np.where(stale, YESTERDAYS_WEATHER, FULL), NO_WEATHER)
    found = np.empty((3, *said.shape[1:]))
    for mode in np.unique(modes).tolist():
        middle = learned.mixed(said, mode, window.age_h)
        low, high = learned.around(window, mode)
        quantiles = np.stack([middle + low, middle, middle + high])
        found = np.where((modes == mode)[:, None], quantiles, found)
    return found


def _surroundings(
    block: Block,
    recent: RecentBlock,
    origin: Origin,
    steps: int,
    temperatures: TemperaturesAhead | None,
) -> Surroundings:
    since = origin.hour - min(block.ends_hour)
    back = min(max(since, 1), MOST_RECENT_H)
    first, count = origin.hour - back, back + HORIZON_H + 1
    week = np.stack(
        [
            hours_of_week(first, count, tz, region_of(tz, region))
            for tz, region in zip(recent.tz, recent.regions, strict=True)
        ]
    )
    past_s = int(recent.starts_at.timestamp())
    temp_c = on_grid(recent.temp_c, past_s, recent.step_s, first * HOUR_S, HOUR_S, count)
    temp_c[:, back:] = np.nan
    if temperatures is not None:
        told_s = int(temperatures.starts_at.timestamp())
        told = on_grid(temperatures.temp_c, told_s, HOUR_S, first * HOUR_S, HOUR_S, count)
        temp_c = np.where(np.isfinite(temp_c), temp_c, told)
    horizon = -(-steps * recent.step_s // HOUR_S)
    has_weather = np.isfinite(temp_c[:, back : back + horizon]).mean(axis=1) >= LEAST_TEMPERATURES
    # Of each facility only what came since its own history ended: it is to be forecast as it would be alone.
    ends = np.minimum(np.array(block.ends_hour), origin.hour)[:, None] - first
    hours = np.arange(count)
    temp_c = carried_on(np.where(hours < np.minimum(ends, back - 1), np.nan, temp_c))
    learned = block.learned()
    smooth = smoothed(np.where(hours < ends, np.nan, temp_c), block.values["smooth_c"][:, 0])
    return Surroundings(back, week, columns(learned.climate, week, temp_c, smooth), has_weather)


def _windows(
    block: Block, recent: RecentBlock, origin: Origin, around: Surroundings
) -> tuple[FloatArray, FloatArray]:
    """Load (facilities, 672) and residuals (members, facilities, 672) before the origin, NaN where unknown."""
    back, hour = around.back, origin.hour
    moved = np.array(block.ends_hour) - hour
    load_kw = _moved(block.values["load_kw"], moved)
    residual_kw = _moved(block.values["residual_kw"].swapaxes(0, 1), moved)
    starts_s = int(recent.starts_at.timestamp())

    def metered(first_s: int, hours: int) -> FloatArray:
        return on_grid(recent.mean_kw, starts_s, recent.step_s, first_s, HOUR_S, hours)

    hours = min(max(hour - starts_s // HOUR_S, 1), MOST_RECENT_H)
    said = metered((hour - hours) * HOUR_S, hours)
    stood_still = _hear(load_kw, said)
    mean_kw = block.learned().means.fitted(around.week[:, : back + 1], around.columns[:, : back + 1])
    new = np.arange(-back, 0) >= moved[:, None]
    since = load_kw[:, -back:] - mean_kw[:, :, :back]
    residual_kw[:, :, -back:] = np.where(new, since, residual_kw[:, :, -back:])
    clocks = [clocks_ahead_h(hour - WINDOW_H, WINDOW_H + HORIZON_H, tz) for tz in recent.tz]
    clocks_h = np.stack(clocks)
    then_h = clocks_h[:, WINDOW_H + HOURS_A_DAY]
    load_kw = by_local_clock(load_kw, clocks_h[:, :WINDOW_H], then_h)
    residual_kw = by_local_clock(residual_kw, clocks_h[:, :WINDOW_H], then_h)
    if origin.phase:
        # Of hours that begin at the origin's minute; the last one is known by its own steps.
        last = metered(origin.at_s - HOUR_S, 1)
        last[stood_still] = np.nan
        last_mean = shifted(mean_kw[:, :, back - 1 :], origin.phase)
        newest = (last - last_mean).astype(residual_kw.dtype)
        load_kw = np.concatenate([shifted(load_kw, origin.phase), last.astype(load_kw.dtype)], axis=1)
        residual_kw = np.concatenate([shifted(residual_kw, origin.phase), newest], axis=2)
    return load_kw, residual_kw


def _hear(load_kw: FloatArray, said_kw: FloatArray) -> list[int]:
    """Put what was metered since, (facilities, hours), at the end of the windows `load_kw`, but for what a meter that
    stands still repeats, as training leaves it out; the rows of those that stand still now.
    """
    since = slice(-said_kw.shape[1], None)
    # What training left out is taken for the value before it: to go on with that is to stand still for longer.
    heard = carried_on(load_kw)
    load_kw[:, since] = np.where(np.isfinite(said_kw), said_kw, load_kw[:, since])
    heard[:, since] = np.where(np.isfinite(said_kw), said_kw, heard[:, since])
    repeats = np.flatnonzero((heard[:, 1:] == heard[:, :-1])[:, since].any(axis=1))
    marked = stuck(heard[repeats], HOUR_S)[:, since]
    load_kw[repeats, since] = np.where(marked, np.nan, load_kw[repeats, since])
    stood_still: list[int] = []
    for row in np.flatnonzero(said_kw[:, -1] == heard[:, -2]).tolist():
        if still_h := stuck_to_the_end(heard[row]):
            load_kw[row, WINDOW_H - still_h :] = np.nan
            stood_still.append(row)
    return stood_still


def _moved(values: FloatArray, by: IntArray) -> FloatArray:
    """Windows (..., facilities, 672) that end `by` hours (facilities,) after another end, as they are before that."""
    found = np.full(values.shape, np.nan, dtype=values.dtype)
    for hours in np.unique(by).tolist():
        rows = np.flatnonzero(by == hours)
        if -WINDOW_H < hours <= 0:
            found[..., rows, : WINDOW_H + hours] = values[..., rows, -hours:]
        elif 0 < hours < WINDOW_H:
            found[..., rows, hours:] = values[..., rows, : WINDOW_H - hours]
    return found


def _mean(load_kw: FloatArray) -> FloatArray:
    """Of what is known of each facility, 0 where nothing is: shape (facilities,)."""
    known = np.isfinite(load_kw)
    found: FloatArray = np.where(known, load_kw, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return found


def _ages(load_kw: FloatArray) -> IntArray:
    """How many of the last hours are not known: shape (facilities,)."""
    known = np.isfinite(load_kw[:, ::-1])
    found: IntArray = np.where(known.any(axis=1), np.argmax(known, axis=1), OLDEST_H)
    return np.minimum(found, OLDEST_H)


def _shape(block: Block, around: Surroundings, used_weather: NDArray[np.bool_]) -> FloatArray:
    """The mean of the clock hours ahead, which says how load moves within an hour: (facilities, 49)."""
    ahead = slice(around.back, None)
    means = block.learned().means.fitted(around.week[:, ahead], around.columns[:, ahead])
    found: FloatArray = np.where(used_weather[:, None] & np.isfinite(means[0]), means[0], means[-1])
    return found


def _within_reach(block: Block, kw: FloatArray) -> FloatArray:
    """Bounded to what the facility was seen to draw, with room for a fifth of that range beyond."""
    lowest, highest = block.values["reach_kw"].T[:, :, None]
    room = 0.2 * (highest - lowest)
    floor = np.where(lowest >= 0, np.maximum(lowest - room, 0.0), lowest - room)
    found: FloatArray = np.clip(kw, floor, highest + room)
    return found
