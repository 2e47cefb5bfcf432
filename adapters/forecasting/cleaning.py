"""Histories without what meters said that was not the load: values that stand still, and leaps."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.forecasting.hourly import spans, stuck_steps
from adapters.forecasting.spikes import spikes
from application.ports.load_forecaster import FacilityHistory


class Cleaned(NamedTuple):
    history: FacilityHistory
    notes: tuple[str, ...]
    """What was left out, and why, for people."""


def cleaned(history: FacilityHistory) -> Cleaned:
    series = history.mean_kw
    stood_still, leapt = stuck_steps(series), spikes(series)
    marked = stood_still | leapt
    if not marked.any():
        return Cleaned(history, ())
    notes = [
        f"the meter stood still from {first.isoformat()} to {last.isoformat()}: left out"
        for first, last in spans(stood_still, series.starts_at, series.step_s)
    ]
    return Cleaned(
        history.with_load(np.where(marked, np.nan, series.values)), (*notes, *_note_of_leaps(history, leapt))
    )


def _note_of_leaps(history: FacilityHistory, leapt: NDArray[np.bool_]) -> tuple[str, ...]:
    if not leapt.any():
        return ()
    series, last = history.mean_kw, int(np.flatnonzero(leapt)[-1])
    at: datetime = (series.starts_at + timedelta(seconds=series.step_s * last)).astimezone(UTC)
    value = f"{float(series.values[last]):g} kW at {at.isoformat()}"
    return (f"{int(leapt.sum())} readings leapt out of all it draws, the last one to {value}: left out",)
