"""Removes metering errors from histories: values of a stuck meter, and spikes."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from adapters.forecasting.data.hourly import spans, stuck_steps
from adapters.forecasting.data.spikes import plausible_range, spikes_of_history
from application.ports.forecast.load_forecaster import FacilityHistory
from domain.time_series.windows import IntervalSeries


class CleanedHistory(NamedTuple):
    history: FacilityHistory
    notes: tuple[str, ...]
    """What was left out and why, for people."""
    plausible_kw: tuple[float, float]
    """As of spikes.plausible_range. Spikes count for it; otherwise a load that runs rarely would never be accepted."""


def clean_history(history: FacilityHistory) -> CleanedHistory:
    series = history.mean_kw
    stuck_mask = stuck_steps(series)
    moving = history.with_load(np.where(stuck_mask, np.nan, series.values)) if stuck_mask.any() else history
    spike = spikes_of_history(moving.mean_kw)
    bounds_kw = plausible_range(moving.mean_kw.values, series.step_s)
    notes = [
        f"the meter stood still from {first.isoformat()} to {last.isoformat()}: left out"
        for first, last in spans(stuck_mask, series.starts_at, series.step_s)
    ]
    if spike.any():
        moving = moving.with_load(np.where(spike, np.nan, moving.mean_kw.values))
    return CleanedHistory(moving, (*notes, *_note_of_spikes(history, spike)), bounds_kw)


def from_first_value(history: FacilityHistory) -> FacilityHistory:
    """The history from the first known load on; where there is none, only the last step.

    A facility that was connected yesterday also returns a year where a year is requested. Fitting unknown days
    would take as long as known ones.
    """
    series = history.mean_kw
    known = np.isfinite(series.values)
    first = int(known.argmax()) if known.any() else len(known) - 1
    if first <= 0:
        return history
    starts_at = series.starts_at + timedelta(seconds=series.step_s * first)
    return msgspec.structs.replace(
        history, mean_kw=IntervalSeries(starts_at, series.step_s, series.values[first:])
    )


def _note_of_spikes(history: FacilityHistory, spike: NDArray[np.bool_]) -> tuple[str, ...]:
    if not spike.any():
        return ()
    series, last = history.mean_kw, int(np.flatnonzero(spike)[-1])
    at: datetime = (series.starts_at + timedelta(seconds=series.step_s * last)).astimezone(UTC)
    value = f"{float(series.values[last]):g} kW at {at.isoformat()}"
    return (f"{int(spike.sum())} readings leapt out of all it draws, the last one to {value}: left out",)
