"""The uncurtailed load of a simulated building: a pure function of facility and time."""

import math
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from interfaces.simulators.weather.climate import Climate, Floats, seed_of, smooth_noise

HOURS = np.arange(0.0, 25.0)
# fmt: off
WEEKDAY_SHAPE = np.array([
    .45, .44, .43, .43, .44, .48, .60, .75, .88, .95, .98, 1.0, 1.0, 1.0, 1.0, 1.0, .98, .94, .85, .74, .65, .57,
    .51, .47, .45,
])
# fmt: on
"""Share of the plateau at each full hour, local time."""
WEEKEND_SHARE = 0.45
"""Of a weekday's load above the night's."""
NIGHT_SHAPE = 0.43
COOLING_FROM_C = 18.0
COOLING_PER_K = 0.012
SLOW_NOISE = 0.015
FAST_NOISE = 0.008
MEAN_SAMPLES = 6


class LoadSource(Protocol):
    """A source of a building's uncurtailed load."""

    def load_kw(self, at: datetime) -> float | None:
        """kW at that time; None without data (a gap in a recording)."""
        ...

    def loads_kw(self, epoch_s: Floats) -> Floats:
        """kW at each time, given as seconds since 1970; NaN without data."""
        ...

    def temperature_c(self, at: datetime) -> float:
        """Outdoor temperature."""
        ...

    def mean_load_kw(self, starts_at: datetime, step_s: int, steps: int) -> Floats:
        """Mean kW of each of `steps` intervals from `starts_at`; NaN without data."""
        ...

    def temperatures_c(self, starts_at: datetime, step_s: int, steps: int) -> Floats:
        """Outdoor temperature at the start of each interval."""
        ...


class HistoryInterval(msgspec.Struct, frozen=True, kw_only=True):
    """An interval of a facility's history, as in a readings file."""

    starts_at: datetime
    load_kwh: float | None
    temp_c: float


class LoadModel:
    """A commercial building: hours of the day and week, cooling, and a little noise, seeded by the facility's id."""

    def __init__(self, facility_id: str, *, tz: str = "UTC", weather_cell: str = "default") -> None:
        self._seed = seed_of("load", facility_id)
        self._zone = tz
        self._climate = Climate(weather_cell)
        self.plateau_kw = 250.0 + self._seed % 650
        """A mild working day's plateau."""

    def load_kw(self, at: datetime) -> float:
        return float(self.loads_kw(np.array([at.timestamp()]))[0])

    def temperature_c(self, at: datetime) -> float:
        return self._climate.temperature_c(at)

    def mean_load_kw(self, starts_at: datetime, step_s: int, steps: int) -> Floats:
        return interval_means(self.loads_kw, interval_starts(starts_at, step_s, steps), step_s)

    def temperatures_c(self, starts_at: datetime, step_s: int, steps: int) -> Floats:
        return self._climate.temperatures_c(interval_starts(starts_at, step_s, steps))

    def loads_kw(self, epoch_s: Floats) -> Floats:
        hour, weekday = _local(self._zone, epoch_s)
        shape = np.interp(hour, HOURS, WEEKDAY_SHAPE)
        shape = np.where(weekday < 5, shape, NIGHT_SHAPE + (shape - NIGHT_SHAPE) * WEEKEND_SHARE)
        warm_k = np.maximum(0.0, self._climate.temperatures_c(epoch_s) - COOLING_FROM_C)
        noise = SLOW_NOISE * smooth_noise(self._seed, epoch_s, 86_400.0) + FAST_NOISE * smooth_noise(
            self._seed + 1, epoch_s, 900.0
        )
        return np.asarray(self.plateau_kw * shape * (1.0 + COOLING_PER_K * warm_k) * (1.0 + noise))


def interval_starts(starts_at: datetime, step_s: int, steps: int) -> Floats:
    """The starts of consecutive intervals, seconds since 1970."""
    return np.arange(steps, dtype=np.float64) * step_s + starts_at.timestamp()


def interval_means(sampled: Callable[[Floats], Floats], starts_s: Floats, step_s: int) -> Floats:
    """The mean of `sampled` over each interval, from evenly spread samples."""
    offsets_s = (np.arange(MEAN_SAMPLES, dtype=np.float64) + 0.5) / MEAN_SAMPLES * step_s
    samples = sampled((starts_s[:, None] + offsets_s[None, :]).ravel())
    return np.asarray(samples.reshape(len(starts_s), MEAN_SAMPLES).mean(axis=1))


def history(
    source: LoadSource, starts_at: datetime, ends_at: datetime, step_s: int
) -> Iterator[HistoryInterval]:
    """The intervals of `[starts_at, ends_at)`: the load that the meters publish without curtailment."""
    steps = int((ends_at - starts_at).total_seconds() // step_s)
    loads_kw = source.mean_load_kw(starts_at, step_s, steps).tolist()
    temperatures_c = source.temperatures_c(starts_at, step_s, steps).tolist()
    for index, (mean_kw, temp_c) in enumerate(zip(loads_kw, temperatures_c, strict=True)):
        yield HistoryInterval(
            starts_at=starts_at + timedelta(seconds=index * step_s),
            load_kwh=None if math.isnan(mean_kw) else mean_kw * step_s / 3600.0,
            temp_c=temp_c,
        )


def _local(zone: str, epoch_s: Floats) -> tuple[Floats, Floats]:
    """Local hour (with its fraction) and weekday (Monday 0) of each moment."""
    quarters = np.floor(epoch_s / 900.0).astype(np.int64)
    unique, inverse = np.unique(quarters, return_inverse=True)
    offsets = np.array([_offset_s(zone, int(quarter)) for quarter in unique])[inverse]
    local_s = epoch_s + offsets
    # 1970-01-01 was a Thursday.
    return np.asarray((local_s % 86_400.0) / 3600.0), np.asarray((local_s // 86_400.0 + 3) % 7)


@lru_cache(maxsize=20_000)
def _offset_s(zone: str, quarter: int) -> float:
    at = datetime.fromtimestamp(quarter * 900, ZoneInfo(zone))
    offset = at.utcoffset()
    return 0.0 if offset is None else offset.total_seconds()
