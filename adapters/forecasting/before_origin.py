"""What is known of a block of facilities before an origin: what its models remember, and what came since."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.forecasting.calendar.local_week import HOUR_S, HOURS_A_DAY, IntArray, clocks_ahead_h
from adapters.forecasting.data.hourly import on_grid, stuck, stuck_to_the_end
from adapters.forecasting.ensemble.fitted_batch import put_by_local_clock, shifted
from adapters.forecasting.ensemble.parameters import PAST, Block
from adapters.forecasting.models.residual_correction import HORIZON_H, WINDOW_H
from adapters.forecasting.models.temperature_columns import carried_on
from application.ports.forecast.load_forecaster import RECENT_DAYS, RecentBlock
from domain.time_series.windows import FloatArray

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
    block: Block, recent: RecentBlock, origin: Origin, back: int, mean_kw: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Load (facilities, 672) and residuals (members, facilities, 672) before the origin, NaN where unknown.

    `mean_kw` (members, facilities, hours) is what the mean models say from `back` clock hours before the origin's on.
    """
    hour = origin.hour
    moved = np.array(block.ends_hour) - hour
    past_kw = _moved(block, moved)
    load_kw, residual_kw = past_kw[0], past_kw[1:]
    starts_s = int(recent.starts_at.timestamp())

    def metered(first_s: int, hours: int) -> FloatArray:
        return on_grid(recent.mean_kw, starts_s, recent.step_s, first_s, HOUR_S, hours)

    hours = min(max(hour - starts_s // HOUR_S, 1), MOST_RECENT_H)
    said = metered((hour - hours) * HOUR_S, hours)
    stood_still = _hear(load_kw, said)
    new = np.arange(-back, 0) >= moved[:, None]
    since = load_kw[:, -back:] - mean_kw[:, :, :back]
    residual_kw[:, :, -back:] = np.where(new, since, residual_kw[:, :, -back:])
    _put_by_local_clock(past_kw, hour, recent.tz)
    if origin.phase:
        # Of hours that begin at the origin's minute; the last one is known by its own steps.
        last = metered(origin.at_s - HOUR_S, 1)
        last[stood_still] = np.nan
        last_mean = shifted(mean_kw[:, :, back - 1 : back + 1], origin.phase)
        for values in past_kw:  # as `shifted`, in their place
            of_next = origin.phase * values[:, 1:]
            values[:] *= 1.0 - origin.phase
            values[:, :-1] += of_next
        load_kw[:, -1:], residual_kw[:, :, -1:] = last, last - last_mean
    return load_kw, residual_kw


def _put_by_local_clock(past_kw: FloatArray, hour: int, zones: Sequence[str]) -> None:
    """As put_by_local_clock, of windows before `hour` of facilities in those zones."""
    later_h = {}
    for tz in set(zones):
        clocks_h = clocks_ahead_h(hour - WINDOW_H, WINDOW_H + HORIZON_H, tz)
        later_h[tz] = clocks_h[WINDOW_H + HOURS_A_DAY] - clocks_h[:WINDOW_H]
    if any(later.any() for later in later_h.values()):
        put_by_local_clock(past_kw, np.stack([later_h[tz] for tz in zones]))


def _hear(load_kw: FloatArray, said_kw: FloatArray) -> list[int]:
    """Put what was metered since, (facilities, hours), at the end of the windows `load_kw`, but for what a meter that
    stands still repeats, as training leaves it out; the rows of those that stand still now.
    """
    hours = said_kw.shape[1]
    since, near = slice(-hours, None), slice(-hours - 1, None)
    # What training left out is taken for the value before it: to go on with that is to stand still for longer.
    heard = carried_on(load_kw[:, near])
    unknown = np.flatnonzero(np.isnan(heard[:, 0]))
    heard[unknown] = carried_on(load_kw[unknown])[:, near]
    is_said = np.isfinite(said_kw)
    heard[:, 1:] = np.where(is_said, said_kw, heard[:, 1:])
    repeats = np.flatnonzero((heard[:, 1:] == heard[:, :-1]).any(axis=1))
    repeating = carried_on(load_kw[repeats])
    repeating[:, near] = heard[repeats]
    marked = stuck(repeating, HOUR_S)[:, since]
    load_kw[:, since] = np.where(is_said, said_kw, load_kw[:, since])
    load_kw[repeats, since] = np.where(marked, np.nan, load_kw[repeats, since])
    stood_still: list[int] = []
    for row, values in zip(repeats.tolist(), repeating, strict=True):
        if said_kw[row, -1] == values[-2] and (still_h := stuck_to_the_end(values)):
            load_kw[row, WINDOW_H - still_h :] = np.nan
            stood_still.append(row)
    return stood_still


def _moved(block: Block, by: IntArray) -> FloatArray:
    """The windows of load and residuals, which end `by` hours (facilities,) after another end, as they are before that.

    Shape (1 + members, facilities, 672).
    """
    series, hours = PAST
    by = by.clip(-hours, hours)
    found = np.empty((series, len(by), hours), dtype=block.past_kw[0].dtype)
    found[..., : max(int(by.max()), 0)] = np.nan
    found[..., hours + min(int(by.min()), 0) :] = np.nan
    for row, (past_kw, moved) in enumerate(zip(block.past_kw, by.tolist(), strict=True)):
        here = slice(max(-moved, 0), hours - max(moved, 0))
        found[:, row, max(moved, 0) : hours + min(moved, 0)] = past_kw[:, here]
    return found
