"""What a facility was seen to draw bounds what is foreseen of it."""

import numpy as np

from adapters.forecasting.calendar.local_week import HOUR_S, HOURS_A_DAY
from application.ports.forecast.load_forecaster import FacilityHistory
from domain.time_series.windows import FloatArray

REACH_DAYS = 400
BEYOND = 0.2
"""As a share of the range that was seen."""


def reach_of(history: FacilityHistory) -> tuple[float, float]:
    """The lowest and the highest step of its last days; zeros where nothing is known."""
    steps = REACH_DAYS * HOURS_A_DAY * HOUR_S // history.mean_kw.step_s
    recent = history.mean_kw.values[-steps:]
    known = recent[np.isfinite(recent)]
    return (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)


def within_reach(kw: FloatArray, lowest_kw: FloatArray, highest_kw: FloatArray) -> FloatArray:
    """`kw` bounded to what was seen, with room beyond, but not below zero where it never was; bounds that broadcast."""
    room = BEYOND * (highest_kw - lowest_kw)
    floor = np.where(lowest_kw >= 0, np.maximum(lowest_kw - room, 0.0), lowest_kw - room)
    found: FloatArray = np.clip(kw, floor, highest_kw + room)
    return found
