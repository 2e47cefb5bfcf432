"""The weather of a forecast cycle: one call per cell, and the last report while the source is unavailable.

The fallbacks are the last report as far as its forecast reaches, then the temperature of the day before, then
no weather. The age of the report decides the data quality: from three hours on forecasts are
`degraded_stale_weather`, without a report `degraded_no_weather`.
"""

import asyncio
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

import msgspec
import numpy as np
import structlog

from application.forecast.forecast_commands import MIN_WEATHER
from application.ports.clock import Clock
from application.ports.weather.source import WeatherReport, WeatherSource, WeatherUnavailable
from application.weather.cached_source import hours_of
from domain.forecast import STALE_WEATHER_S
from domain.time_series.windows import IntervalSeries

_log = structlog.get_logger(__name__)
AT_ONCE = 32
"""The concurrency of calls: a thousand cells, at a fifth of a second each, then take six seconds of a cycle."""
HOURS_A_DAY = 24
DAYS_BEFORE = 2
"""The number of times that a day's temperatures may be repeated to fill the horizon of a forecast."""


class CellWeather(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The weather of a cell: a report and its age in clock seconds, or none; and the last problem."""

    report: WeatherReport | None
    age_s: float | None
    problem: str | None
    reaches: bool = True
    """Whether it covers enough of the hours ahead."""

    @property
    def is_usable(self) -> bool:
        """True if there is a report that reaches far enough and is not stale."""
        return self.reaches and self.age_s is not None and self.age_s <= STALE_WEATHER_S


class CycleWeather:
    """Calls `source`; None: there is no source, and no cell has weather."""

    def __init__(self, source: WeatherSource | None, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._last: dict[str, WeatherReport] = {}

    @property
    def has_source(self) -> bool:
        return self._source is not None

    async def fetch(
        self, cells: Collection[str], starts_at: datetime, ends_at: datetime
    ) -> dict[str, CellWeather]:
        """The weather of every cell over the hours around `[starts_at, ends_at)`."""
        if self._source is None:
            return {}
        first = starts_at.replace(minute=0, second=0, microsecond=0)
        last = (ends_at + timedelta(minutes=59, seconds=59)).replace(minute=0, second=0, microsecond=0)
        places = asyncio.Semaphore(AT_ONCE)
        cell_ids = sorted(cells)
        problems = await asyncio.gather(
            *(self._refresh(self._source, cell, first, last, places) for cell in cell_ids)
        )
        return {
            cell: self._cell_weather(cell, problem, last)
            for cell, problem in zip(cell_ids, problems, strict=True)
        }

    async def _refresh(
        self,
        source: WeatherSource,
        cell: str,
        starts_at: datetime,
        ends_at: datetime,
        places: asyncio.Semaphore,
    ) -> str | None:
        """Get a new report of `cell`. Returns the problem, if there was one."""
        async with places:
            try:
                self._last[cell] = await source.hourly(cell, starts_at, ends_at)
            except WeatherUnavailable as error:
                _log.warning("no weather", cell=cell, error=str(error))
                return str(error)
            except (ValueError, OSError, OverflowError, RecursionError) as error:
                _log.warning("weather answer invalid", cell=cell, error=str(error), kind=type(error).__name__)
                return f"the answer of the weather source is invalid: {type(error).__name__}"
        return None

    def _cell_weather(self, cell: str, problem: str | None, until: datetime) -> CellWeather:
        if (report := self._last.get(cell)) is None:
            return CellWeather(report=None, age_s=None, problem=problem)
        age_s = max((self._clock.now() - report.issued_at).total_seconds(), 0.0)
        if age_s > STALE_WEATHER_S:
            problem = problem or f"the newest weather is {age_s / 3600:.0f} h old"
            report = with_days_before(report, until)
        reaches = _reaches(report, self._clock.now(), until)
        if not reaches:
            problem = (
                problem
                or "the weather source says too little of the hours to come; see what the contract covers"
            )
        return CellWeather(report=report, age_s=age_s, problem=problem, reaches=reaches)


def problems_of(weather: Mapping[str, CellWeather]) -> dict[str, str | None]:
    """Weather cell -> why it has no usable weather; None where it has."""
    return {cell: None if found.is_usable else found.problem for cell, found in weather.items()}


def _reaches(report: WeatherReport, now: datetime, until: datetime) -> bool:
    """True if as much of the hours from now to `until` is available as a forecast needs."""
    hours = hours_of(report.temp_c, now.replace(minute=0, second=0, microsecond=0), until)
    return not len(hours) or float(np.isfinite(hours).mean()) >= MIN_WEATHER


def with_days_before(report: WeatherReport, until: datetime) -> WeatherReport:
    """The report with missing hours up to `until` filled from the same hour one or two days before."""
    known = report.temp_c
    hours = max(len(known.values), -((known.starts_at - until) // timedelta(hours=1)))
    values = np.full(hours, np.nan)
    values[: len(known.values)] = known.values
    filled = values.copy()
    for days in range(1, DAYS_BEFORE + 1):
        before = np.full(hours, np.nan)
        before[days * HOURS_A_DAY :] = values[: max(0, hours - days * HOURS_A_DAY)]
        filled = np.where(np.isnan(filled), before, filled)
    return msgspec.structs.replace(report, temp_c=IntervalSeries(known.starts_at, known.step_s, filled))
