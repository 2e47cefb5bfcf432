"""The data of a block of facilities before an origin: the stored past of its models, and the readings since."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.forecasting.calendar.local_week import HOUR_S, HOURS_A_DAY, IntArray, clocks_ahead_h
from adapters.forecasting.data.hourly import on_grid, stuck, trailing_stuck_h
from adapters.forecasting.ensemble.fitted_batch import align_to_local_clock, shifted
from adapters.forecasting.ensemble.parameters import PAST, Block
from adapters.forecasting.models.residual_correction import HORIZON_H, WINDOW_H
from adapters.forecasting.models.temperature_columns import forward_filled
from application.ports.forecast.load_forecaster import RECENT_DAYS, RecentBlock
from domain.time_series.windows import FloatArray

MAX_RECENT_H = RECENT_DAYS * HOURS_A_DAY


class Origin(NamedTuple):
    """The beginning of the forecasts: in clock hour `hour`, `phase` of an hour after its start."""

    at_s: int

    @property
    def hour(self) -> int:
        return self.at_s // HOUR_S

    @property
    def phase(self) -> float:
        return self.at_s % HOUR_S / HOUR_S


class OriginInputs(NamedTuple):
    """Calendar and weather from `back` clock hours before the origin's hour to the end of the horizon."""

    back: int
    week: IntArray
    """Shape (facilities, back + hours + 1)."""
    columns: FloatArray
    """NaN where the temperature is unknown."""
    has_weather: NDArray[np.bool_]
    """Shape (facilities,): whether enough temperatures of the horizon are known."""


def windows(
    block: Block, recent: RecentBlock, origin: Origin, back: int, mean_kw: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Load (facilities, 672) and residuals (members, facilities, 672) before the origin, NaN where unknown.

    `mean_kw` (members, facilities, hours) is the output of the mean models from `back` clock hours before the
    origin's hour on.
    """
    hour = origin.hour
    moved = np.array(block.ends_hour) - hour
    past_kw = _shift_windows(block, moved)
    load_kw, residual_kw = past_kw[0], past_kw[1:]
    starts_s = int(recent.starts_at.timestamp())

    def metered(first_s: int, hours: int) -> FloatArray:
        return on_grid(recent.mean_kw, starts_s, recent.step_s, first_s, HOUR_S, hours)

    hours = min(max(hour - starts_s // HOUR_S, 1), MAX_RECENT_H)
    recent_kw = metered((hour - hours) * HOUR_S, hours)
    stuck_rows = _append_recent(load_kw, recent_kw)
    new = np.arange(-back, 0) >= moved[:, None]
    since = load_kw[:, -back:] - mean_kw[:, :, :back]
    residual_kw[:, :, -back:] = np.where(new, since, residual_kw[:, :, -back:])
    _put_by_local_clock(past_kw, hour, recent.tz)
    if origin.phase:
        # Hours now begin at the origin's minute; the last one is computed from its own steps.
        last = metered(origin.at_s - HOUR_S, 1)
        last[stuck_rows] = np.nan
        last_mean = shifted(mean_kw[:, :, back - 1 : back + 1], origin.phase)
        for values in past_kw:  # as `shifted`, in place
            of_next = origin.phase * values[:, 1:]
            values[:] *= 1.0 - origin.phase
            values[:, :-1] += of_next
        load_kw[:, -1:], residual_kw[:, :, -1:] = last, last - last_mean
    return load_kw, residual_kw


def _put_by_local_clock(past_kw: FloatArray, hour: int, zones: Sequence[str]) -> None:
    """Applies align_to_local_clock to windows before `hour` of facilities in those zones."""
    later_h = {}
    for tz in set(zones):
        clocks_h = clocks_ahead_h(hour - WINDOW_H, WINDOW_H + HORIZON_H, tz)
        later_h[tz] = clocks_h[WINDOW_H + HOURS_A_DAY] - clocks_h[:WINDOW_H]
    if any(later.any() for later in later_h.values()):
        align_to_local_clock(past_kw, np.stack([later_h[tz] for tz in zones]))


def _append_recent(load_kw: FloatArray, recent_kw: FloatArray) -> list[int]:
    """Write the readings since, (facilities, hours), at the end of the windows `load_kw`, except values that a
    stuck meter repeats, which training leaves out, too. Returns the rows that are stuck now."""
    hours = recent_kw.shape[1]
    since, near = slice(-hours, None), slice(-hours - 1, None)
    # A value that training left out counts as the value before it: a continuation of that is a longer standstill.
    combined_kw = forward_filled(load_kw[:, near])
    unknown = np.flatnonzero(np.isnan(combined_kw[:, 0]))
    combined_kw[unknown] = forward_filled(load_kw[unknown])[:, near]
    is_present = np.isfinite(recent_kw)
    combined_kw[:, 1:] = np.where(is_present, recent_kw, combined_kw[:, 1:])
    repeats = np.flatnonzero((combined_kw[:, 1:] == combined_kw[:, :-1]).any(axis=1))
    repeating = forward_filled(load_kw[repeats])
    repeating[:, near] = combined_kw[repeats]
    marked = stuck(repeating, HOUR_S)[:, since]
    load_kw[:, since] = np.where(is_present, recent_kw, load_kw[:, since])
    load_kw[repeats, since] = np.where(marked, np.nan, load_kw[repeats, since])
    stuck_rows: list[int] = []
    for row, values in zip(repeats.tolist(), repeating, strict=True):
        if recent_kw[row, -1] == values[-2] and (stuck_h := trailing_stuck_h(values)):
            load_kw[row, WINDOW_H - stuck_h :] = np.nan
            stuck_rows.append(row)
    return stuck_rows


def _shift_windows(block: Block, by: IntArray) -> FloatArray:
    """The windows of load and residuals before another end, which is `by` hours (facilities,) earlier.

    Shape (1 + members, facilities, 672).
    """
    series, hours = PAST
    by = by.clip(-hours, hours)
    result = np.empty((series, len(by), hours), dtype=block.past_kw[0].dtype)
    result[..., : max(int(by.max()), 0)] = np.nan
    result[..., hours + min(int(by.min()), 0) :] = np.nan
    for row, (past_kw, moved) in enumerate(zip(block.past_kw, by.tolist(), strict=True)):
        here = slice(max(-moved, 0), hours - max(moved, 0))
        result[:, row, max(moved, 0) : hours + min(moved, 0)] = past_kw[:, here]
    return result
