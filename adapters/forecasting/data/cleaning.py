"""Histories without what meters said that was not the load: values that stand still, and leaps."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from adapters.forecasting.data.hourly import spans, stuck_steps
from adapters.forecasting.data.spikes import believed, spikes
from application.ports.forecast.load_forecaster import FacilityHistory
from domain.time_series.windows import IntervalSeries


class Cleaned(NamedTuple):
    history: FacilityHistory
    notes: tuple[str, ...]
    """What was left out, and why, for people."""
    believed_kw: tuple[float, float]
    """As of spikes.believed. Leaps count for it: a load that runs seldom would else never be let in."""


def cleaned(history: FacilityHistory) -> Cleaned:
    series = history.mean_kw
    stood_still = stuck_steps(series)
    moving = history.with_load(np.where(stood_still, np.nan, series.values)) if stood_still.any() else history
    leapt = spikes(moving.mean_kw)
    bounds_kw = believed(moving.mean_kw.values, series.step_s)
    notes = [
        f"the meter stood still from {first.isoformat()} to {last.isoformat()}: left out"
        for first, last in spans(stood_still, series.starts_at, series.step_s)
    ]
    if leapt.any():
        moving = moving.with_load(np.where(leapt, np.nan, moving.mean_kw.values))
    return Cleaned(moving, (*notes, *_note_of_leaps(history, leapt)), bounds_kw)


def begun(history: FacilityHistory) -> FacilityHistory:
    """From the first step on of which a load is known; where none is, only the last step.

    Who asks for a year gets a year, also of a facility that was connected yesterday: rolling over what is not known
    would take as long as over what is.
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


def _note_of_leaps(history: FacilityHistory, leapt: NDArray[np.bool_]) -> tuple[str, ...]:
    if not leapt.any():
        return ()
    series, last = history.mean_kw, int(np.flatnonzero(leapt)[-1])
    at: datetime = (series.starts_at + timedelta(seconds=series.step_s * last)).astimezone(UTC)
    value = f"{float(series.values[last]):g} kW at {at.isoformat()}"
    return (f"{int(leapt.sum())} readings leapt out of all it draws, the last one to {value}: left out",)
