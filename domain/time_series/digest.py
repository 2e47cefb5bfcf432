"""Interval series as bytes, for hashes that say what a number was computed from."""

import numpy as np

from domain.time_series.windows import IntervalSeries


def canonical(series: IntervalSeries) -> bytes:
    """The same bytes for the same series on every machine: start, step, little-endian doubles, one kind of NaN."""
    values = np.where(np.isnan(series.values), np.nan, series.values).astype("<f8")
    return f"|{series.starts_at.isoformat()}|{series.step_s}|".encode() + values.tobytes()
