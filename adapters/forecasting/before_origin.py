"""What is known of a block of facilities before an origin: what its models remember, and what came since."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.forecasting.hourly import on_grid, stuck, stuck_to_the_end
from adapters.forecasting.learned import by_local_clock, shifted
from adapters.forecasting.local_week import HOUR_S, HOURS_A_DAY, IntArray, clocks_ahead_h
from adapters.forecasting.parameters import Block
from adapters.forecasting.residual_correction import HORIZON_H, WINDOW_H
from adapters.forecasting.temperature_columns import carried_on
from application.ports.load_forecaster import RECENT_DAYS, RecentBlock
from domain.time_windows import FloatArray

MOST_RECENT_H = RECENT_DAYS * HOURS_A_DAY


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
    """Calendar and weather from `back` clock hours before the origin's to the end of what is foreseen."""

    back: int
    week: IntArray
    """Shape (facilities, back + hours + 1)."""
    columns: FloatArray
    """NaN where the temperature is not known."""
    has_weather: NDArray[np.bool_]
    """Shape (facilities,): whether the horizon's temperatures are known well enough."""


def windows(
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
