"""Interval series as bytes, for hashes that identify the input of a computation."""

import numpy as np

from domain.time_series.windows import IntervalSeries


def canonical(series: IntervalSeries) -> bytes:
    """The bytes of a series, equal on every machine: start, step, little-endian doubles, and one form of NaN."""
    values = np.where(np.isnan(series.values), np.nan, series.values).astype("<f8")
    return f"|{series.starts_at.isoformat()}|{series.step_s}|".encode() + values.tobytes()
