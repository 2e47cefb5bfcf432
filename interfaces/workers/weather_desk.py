"""The weather of a forecast cycle: one call per cell, and the last good report while the source is away."""

import asyncio
from collections.abc import Collection
from datetime import datetime, timedelta

import msgspec
import structlog

from application.ports.clock import Clock
from application.ports.weather import WeatherReport, WeatherSource, WeatherUnavailable
from domain.forecast import STALE_WEATHER_S

_log = structlog.get_logger(__name__)
AT_ONCE = 8


class CellWeather(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What is known of a cell: a report and its age in clock seconds, or none; and what went wrong just now."""

    report: WeatherReport | None
    age_s: float | None
    problem: str | None

    @property
    def is_usable(self) -> bool:
        """Whether it is there and not stale."""
        return self.age_s is not None and self.age_s <= STALE_WEATHER_S


class WeatherDesk:
    """Asks `source`; None: there is none, and no cell has weather."""

    def __init__(self, source: WeatherSource | None, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._last: dict[str, WeatherReport] = {}

    async def ask(
        self, cells: Collection[str], starts_at: datetime, ends_at: datetime
    ) -> dict[str, CellWeather]:
        """Every cell's weather over the hours around `[starts_at, ends_at)`."""
        if self._source is None:
            return {}
        first = starts_at.replace(minute=0, second=0, microsecond=0)
        last = (ends_at + timedelta(minutes=59, seconds=59)).replace(minute=0, second=0, microsecond=0)
        places = asyncio.Semaphore(AT_ONCE)
        wanted = sorted(cells)
        problems = await asyncio.gather(
            *(self._refresh(self._source, cell, first, last, places) for cell in wanted)
        )
        return {cell: self._known(cell, problem) for cell, problem in zip(wanted, problems, strict=True)}

    async def _refresh(
        self,
        source: WeatherSource,
        cell: str,
        starts_at: datetime,
        ends_at: datetime,
        places: asyncio.Semaphore,
    ) -> str | None:
        """Get a new report of `cell`; what went wrong, if something did."""
        async with places:
            try:
                self._last[cell] = await source.hourly(cell, starts_at, ends_at)
            except WeatherUnavailable as error:
                _log.warning("no weather", cell=cell, error=str(error))
                return str(error)
        return None

    def _known(self, cell: str, problem: str | None) -> CellWeather:
        if (report := self._last.get(cell)) is None:
            return CellWeather(report=None, age_s=None, problem=problem)
        age_s = (self._clock.now() - report.issued_at).total_seconds()
        return CellWeather(report=report, age_s=max(age_s, 0.0), problem=problem)
