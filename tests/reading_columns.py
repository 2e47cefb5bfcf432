"""Readings as columns, the input of rollups."""

from collections.abc import Iterable
from datetime import datetime

import numpy as np

from domain.telemetry.facility_rollups import LOOK_AHEAD_S, LOOK_BACK_S
from domain.telemetry.intervals import INTERVAL_S
from domain.telemetry.meter_reading import REPLACED_VALUES, UNUSABLE, MeterReading
from domain.telemetry.meter_rollups import QuarterPoints


def to_quarter_points(
    readings: Iterable[MeterReading], starts_at: datetime
) -> tuple[QuarterPoints, list[tuple[str, str]]]:
    """The usable `readings` (one per meter and moment) around the quarter-hour, and the meter of each."""
    chosen: dict[tuple[str, str], list[tuple[float, MeterReading]]] = {}
    for r in readings:
        offset_s = (r.ts - starts_at).total_seconds()
        if r.quality not in UNUSABLE and -LOOK_BACK_S <= offset_s < INTERVAL_S + LOOK_AHEAD_S:
            chosen.setdefault((r.facility_id, r.meter_id), []).append((offset_s, r))
    meters = sorted(chosen)
    rows = [
        (n, offset_s, r)
        for n, meter in enumerate(meters)
        for offset_s, r in sorted(chosen[meter], key=lambda one: one[0])
    ]
    points = QuarterPoints(
        np.array([n for n, _, _ in rows], dtype=np.int64),
        np.array([offset_s for _, offset_s, _ in rows], dtype=np.float64),
        np.array([r.kw for _, _, r in rows], dtype=np.float64),
        np.array([r.kwh_total for _, _, r in rows], dtype=np.float64),
        np.array([r.quality in REPLACED_VALUES for _, _, r in rows], dtype=np.bool_),
    )
    return points, meters
