"""The readings in a proof: the quarter-hour values of each measured facility, and the seals of their days."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from msgspec.structs import replace

from application.ports.telemetry.store import TelemetryStore
from domain.telemetry.day_digest import COVERAGE_DECIMALS, FacilityValues
from domain.telemetry.intervals import INTERVAL_S
from domain.telemetry.sealed_readings import day_seals_id, history_seals_id
from domain.time_series.interval_block import IntervalBlock, steps_in
from domain.time_series.windows import FloatArray, IntervalSeries, TimeWindow, local_date, local_day

FACILITIES_AT_ONCE = 50
NOTHING_STORED = "no readings of these days are stored any more"
TOO_MANY = "left out: `gridproof audit prove` writes them"

Number = float | None
Temperatures = Callable[[str, IntervalBlock], IntervalSeries]
"""(facility, its readings) -> outdoor temperatures on their steps, degrees Celsius."""


class WantedReadings(NamedTuple):
    """The readings that a proof needs of one facility."""

    window: TimeWindow
    """Whole local days."""
    tz: str
    facility_id: str
    with_temperatures: bool


class ProvenReadings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The quarter-hour values of a facility over whole local days, as they were stored when the proof was made.

    They are not sealed by themselves: a measurement records the digest of those that it used, and a seal that of a day.
    """

    facility_id: str
    tz: str
    starts_at: datetime
    step_s: int
    kw: tuple[Number, ...]
    """Mean kW of each step, null where missing."""
    coverage_pct: tuple[tuple[float, int], ...]
    """Runs of equal values: 0 .. 100, and for how many steps."""
    temp_c: tuple[Number, ...] | None
    """Outdoor temperatures, where a measurement used them."""
    left_out: str = ""
    """Why there are no values."""

    @classmethod
    def of(cls, wanted: WantedReadings, values: FacilityValues) -> ProvenReadings:
        if not values.has_readings:
            return cls.without_values(wanted, NOTHING_STORED)
        return cls(
            facility_id=wanted.facility_id,
            tz=wanted.tz,
            starts_at=values.kw.starts_at,
            step_s=values.kw.step_s,
            kw=_numbers(values.kw.values),
            coverage_pct=_runs(values.coverage_pct),
            temp_c=_numbers(values.temp_c) if wanted.with_temperatures else None,
        )

    @classmethod
    def without_values(cls, wanted: WantedReadings, why: str) -> ProvenReadings:
        return cls(
            facility_id=wanted.facility_id,
            tz=wanted.tz,
            starts_at=wanted.window.starts_at,
            step_s=INTERVAL_S,
            kw=(),
            coverage_pct=(),
            temp_c=None,
            left_out=why,
        )

    def is_of(self, wanted: WantedReadings) -> bool:
        """True if these are the steps of the wanted days, or none."""
        steps = len(self.kw) if self.kw else steps_in(wanted.window, INTERVAL_S)
        return (self.starts_at, self.tz, self.step_s, steps) == (
            wanted.window.starts_at,
            wanted.tz,
            INTERVAL_S,
            steps_in(wanted.window, INTERVAL_S),
        )

    def values(self) -> FacilityValues:
        """Raises ValueError unless every column has a value for each step."""
        kw = IntervalSeries.of(self.starts_at, self.step_s, self.kw)
        steps = [steps for _, steps in self.coverage_pct]
        temperatures = (None,) * len(self.kw) if self.temp_c is None else self.temp_c
        if min(steps, default=1) < 1 or sum(steps) != len(self.kw):
            raise ValueError("coverage and load have different steps")
        if len(temperatures) != len(self.kw):
            raise ValueError("temperatures and load have different steps")
        coverage = np.repeat(np.array([pct for pct, _ in self.coverage_pct], dtype=np.float64), steps)
        return FacilityValues(
            kw, coverage, IntervalSeries.of(self.starts_at, self.step_s, temperatures).values
        )

    def days(self) -> Iterator[date]:
        """The local days that they cover."""
        if not self.kw:
            return
        tz = ZoneInfo(self.tz)
        first = local_date(self.starts_at, tz)
        last = local_date(self.starts_at + timedelta(seconds=self.step_s * len(self.kw) - 1), tz)
        yield from (first + timedelta(days=n) for n in range((last - first).days + 1))


def whole_days(window: TimeWindow, tz: str) -> TimeWindow:
    """The local days that `window` touches."""
    zone = ZoneInfo(tz)
    last = local_date(window.ends_at - timedelta(microseconds=1), zone)
    return TimeWindow(
        local_day(local_date(window.starts_at, zone), zone).starts_at, local_day(last, zone).ends_at
    )


def read_values(
    telemetry: TelemetryStore, wanted: Iterable[WantedReadings], temperatures: Temperatures | None = None
) -> list[ProvenReadings]:
    """The stored values, in the order of the facilities; `temperatures` returns those that a measurement uses.

    Raises TelemetryStoreUnavailable, and what `temperatures` raises.
    """
    found = []
    for (window, _), same in groupby(
        sorted(wanted, key=lambda one: (one.window.starts_at, one.window.ends_at, one.tz, one.facility_id)),
        key=lambda one: (one.window, one.tz),
    ):
        facilities = list(same)
        for start in range(0, len(facilities), FACILITIES_AT_ONCE):
            part = facilities[start : start + FACILITIES_AT_ONCE]
            block = telemetry.interval_series_of([one.facility_id for one in part], window)
            found += [ProvenReadings.of(one, _values(one, block, temperatures)) for one in part]
    return sorted(found, key=lambda one: one.facility_id)


def _values(
    wanted: WantedReadings, block: IntervalBlock, temperatures: Temperatures | None
) -> FacilityValues:
    values = FacilityValues.of(block, wanted.facility_id)
    if temperatures is None or not wanted.with_temperatures:
        return values
    return replace(values, temp_c=temperatures(wanted.facility_id, block).values)


def seal_streams(readings: Sequence[ProvenReadings]) -> list[UUID]:
    """The streams that hold the seals of those days."""
    streams: dict[UUID, None] = {}
    for one in readings:
        streams |= {day_seals_id(one.facility_id, day): None for day in one.days()}
        streams[history_seals_id(one.facility_id)] = None
    return list(streams)


def _numbers(values: FloatArray) -> tuple[Number, ...]:
    return tuple(None if np.isnan(value) else value for value in values.tolist())


def _runs(values: FloatArray) -> tuple[tuple[float, int], ...]:
    rounded = np.round(values, COVERAGE_DECIMALS)
    starts = np.flatnonzero(np.diff(rounded, prepend=np.nan) != 0)
    lengths = np.diff(starts, append=len(rounded))
    return tuple(zip(rounded[starts].tolist(), lengths.tolist(), strict=True))
