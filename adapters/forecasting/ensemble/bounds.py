"""Limits forecasts to the range of load that was observed."""

import numpy as np

from adapters.forecasting.calendar.local_week import HOUR_S, HOURS_A_DAY
from application.ports.forecast.load_forecaster import FacilityHistory
from domain.time_series.windows import FloatArray

RANGE_DAYS = 400
MARGIN = 0.2
"""As a share of the observed range."""


def observed_range(history: FacilityHistory) -> tuple[float, float]:
    """The lowest and the highest step of the last days; zeros where nothing is known."""
    steps = RANGE_DAYS * HOURS_A_DAY * HOUR_S // history.mean_kw.step_s
    recent = history.mean_kw.values[-steps:]
    known = recent[np.isfinite(recent)]
    return (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)


def clip_to_range(kw: FloatArray, lowest_kw: FloatArray, highest_kw: FloatArray) -> FloatArray:
    """`kw` clipped to the observed range plus a margin, not below zero where the load never was. The bounds
    broadcast."""
    room = MARGIN * (highest_kw - lowest_kw)
    floor = np.where(lowest_kw >= 0, np.maximum(lowest_kw - room, 0.0), lowest_kw - room)
    result: FloatArray = np.clip(kw, floor, highest_kw + room)
    return result
