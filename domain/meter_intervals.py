"""Fifteen-minute means of a facility out of its meters' readings: pure, and independent of arrival order.

* mean kW: the mean of the `kw` readings of each meter inside the interval, summed over the facility's meters.
  A meter without any `kw` there counts by its register (kWh between its first and last reading of the
  interval). A meter that should have reported and did not makes the whole interval missing: a sum over
  fewer meters would look like a curtailment.
* coverage: each reading speaks for the time after it, up to the next one, but for at most four times the
  meter's own cadence: the median spacing of its readings in this interval and the one before, 15 s while it
  has only one. Coverage is the share of the interval spoken for, averaged over the meters.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
from numpy.typing import NDArray

from domain.meter_reading import MAX_ABS_KW

INTERVAL_S = 900
INTERVAL = timedelta(seconds=INTERVAL_S)
RETIRED_AFTER = timedelta(days=1)
"""A meter silent for longer no longer belongs to the facility's sum."""
DEFAULT_CADENCE_S = 15.0
MAX_GAP_CADENCES = 4.0

FloatArray = NDArray[np.float64]


class MeterPoints(msgspec.Struct, frozen=True, eq=False):
    """One meter's readings around an interval, in order of time; arrays of one length, NaN where missing."""

    offset_s: FloatArray
    """Seconds after the interval's start; those of the interval before are negative."""
    kw: FloatArray
    kwh_total: FloatArray


class MeteredInterval(msgspec.Struct, frozen=True):
    """A facility's interval as its meters saw it; `mean_kw` None where a meter is missing."""

    facility_id: str
    starts_at: datetime
    mean_kw: float | None
    coverage_pct: float

    @property
    def kwh(self) -> float | None:
        return None if self.mean_kw is None else self.mean_kw * INTERVAL_S / 3600


def interval_start(moment: datetime) -> datetime:
    """The start of the quarter-hour that `moment` falls in, UTC."""
    utc = moment.astimezone(UTC)
    return utc.replace(minute=utc.minute - utc.minute % 15, second=0, microsecond=0)


def touched_starts(moment: datetime) -> tuple[datetime, datetime]:
    """The intervals that a reading at `moment` has a say in: its own, and the coverage of the next."""
    start = interval_start(moment)
    return start, start + INTERVAL


def expects_meter(starts_at: datetime, *, first_reading_at: datetime, newest_reading_at: datetime) -> bool:
    """Whether a meter with these first and newest readings belongs to the interval's sum."""
    return first_reading_at < starts_at + INTERVAL and newest_reading_at >= starts_at - RETIRED_AFTER


def metered_interval(
    facility_id: str, starts_at: datetime, meters: Sequence[str], points: Mapping[str, MeterPoints]
) -> MeteredInterval:
    """The interval of `facility_id` that starts at `starts_at`, over the `meters` expected in it.

    `points` holds each meter's readings from one interval before the start to the end.
    """
    means = [_meter_mean_kw(points[m]) if m in points else None for m in meters]
    covered = [_covered_share(points[m].offset_s) if m in points else 0.0 for m in meters]
    present = [mean for mean in means if mean is not None]
    complete = bool(meters) and len(present) == len(meters)
    return MeteredInterval(
        facility_id,
        starts_at,
        float(sum(present)) if complete else None,
        round(100.0 * sum(covered) / len(covered), 3) if covered else 0.0,
    )


def _meter_mean_kw(points: MeterPoints) -> float | None:
    inside = points.offset_s >= 0
    kw = points.kw[inside]
    kw = kw[np.isfinite(kw)]
    if kw.size:
        return float(kw.mean())
    return _register_mean_kw(points.offset_s[inside], points.kwh_total[inside])


def _register_mean_kw(offset_s: FloatArray, kwh_total: FloatArray) -> float | None:
    known = np.isfinite(kwh_total)
    at, register = offset_s[known], kwh_total[known]
    if register.size < 2 or at[-1] <= at[0]:
        return None
    mean_kw = float((register[-1] - register[0]) * 3600.0 / (at[-1] - at[0]))
    # A register that fell was reset or replaced; what it ran to before is unknown.
    return mean_kw if 0 <= mean_kw <= MAX_ABS_KW else None


def _covered_share(offset_s: FloatArray) -> float:
    if not offset_s.size:
        return 0.0
    spacing = np.diff(offset_s)
    cadence_s = float(np.median(spacing)) if spacing.size else DEFAULT_CADENCE_S
    until = np.minimum(np.append(offset_s[1:], np.inf), offset_s + MAX_GAP_CADENCES * cadence_s)
    spoken_for = np.clip(until, 0, INTERVAL_S) - np.clip(offset_s, 0, INTERVAL_S)
    return float(spoken_for.sum()) / INTERVAL_S
