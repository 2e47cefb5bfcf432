"""The weather of a forecast cycle: one call per cell, and the last good report while the source is away."""

import asyncio
from collections.abc import Collection
from datetime import datetime, timedelta

import msgspec
import structlog

from application.ports.alerts import AlertRegistry
from application.ports.clock import Clock
from application.ports.weather import WeatherReport, WeatherSource, WeatherUnavailable
from domain.forecast import STALE_WEATHER_S
from interfaces.workers.alert_switch import AlertSwitch

_log = structlog.get_logger(__name__)
AT_ONCE = 8
MOST_CELLS = 10_000


class CellWeather(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A report and its age in clock seconds."""

    report: WeatherReport
    age_s: float


class WeatherDesk:
    """Asks `source`; None: there is none, and nothing is alerted for it."""

    def __init__(self, source: WeatherSource | None, alerts: AlertRegistry, clock: Clock) -> None:
        self._source = source
        self._alerts = alerts
        self._clock = clock
        self._last: dict[str, WeatherReport] = {}
        self._switches: dict[str, AlertSwitch] = {}

    async def reports(
        self, cells: Collection[str], starts_at: datetime, ends_at: datetime
    ) -> dict[str, CellWeather]:
        """Reports over the hours around `[starts_at, ends_at)`, by cell; cells without a usable one are left out."""
        if self._source is None:
            return {}
        first = starts_at.replace(minute=0, second=0, microsecond=0)
        last = (ends_at + timedelta(minutes=59, seconds=59)).replace(minute=0, second=0, microsecond=0)
        places = asyncio.Semaphore(AT_ONCE)

        async def one(cell: str) -> CellWeather | None:
            async with places:
                return await self._report(self._source, cell, first, last) if self._source else None

        wanted = sorted(cells)[:MOST_CELLS]
        found = await asyncio.gather(*(one(cell) for cell in wanted))
        return {cell: weather for cell, weather in zip(wanted, found, strict=True) if weather is not None}

    async def _report(
        self, source: WeatherSource, cell: str, starts_at: datetime, ends_at: datetime
    ) -> CellWeather | None:
        problem = ""
        try:
            self._last[cell] = await source.hourly(cell, starts_at, ends_at)
        except WeatherUnavailable as error:
            problem = str(error)
            _log.warning("no weather", cell=cell, error=problem)
        known = self._known(cell)
        usable = known is not None and known.age_s <= STALE_WEATHER_S
        await self._switch(cell).turn(on=bool(problem) and not usable, detail=problem[:500])
        return known

    def _known(self, cell: str) -> CellWeather | None:
        if (report := self._last.get(cell)) is None:
            return None
        age_s = (self._clock.now() - report.issued_at).total_seconds()
        return CellWeather(report=report, age_s=max(age_s, 0.0))

    def _switch(self, cell: str) -> AlertSwitch:
        if cell not in self._switches:
            self._switches[cell] = AlertSwitch(self._alerts, self._clock, "weather_unavailable", cell)
        return self._switches[cell]
