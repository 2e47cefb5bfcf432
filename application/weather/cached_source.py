"""Caching weather source: reports are reused for an hour and shared between processes; old ones are used when
the source fails.

Past hours are stored, and not requested again once they are a day old, since calls for past hours count against the
quota too. Hours that the source did not give are requested again once a day, and by each new process: the contract may
cover more by then. That request is one of its own, for these hours only: those beside them are known, and would cost
calls, and a report of the hours ahead must not depend on it. Hours that could not be read for another reason are
requested with the next report, and are not final until then.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import msgspec
import numpy as np
import structlog

from application.bounded_cache import BoundedCache
from application.ports.clock import Clock
from application.ports.operations.unavailable import OperationsUnavailable
from application.ports.shared_cache import CacheUnavailable, SharedCache
from application.ports.weather.source import WeatherReport, WeatherSource, WeatherUnavailable
from application.ports.weather.temperatures import CellTemperatures, StoredTemperatures
from domain.event_sourcing.decoders import json_decoder
from domain.time_series.windows import FloatArray, IntervalSeries, TimeWindow

_log = structlog.get_logger(__name__)
HOUR = timedelta(hours=1)
FRESH = timedelta(hours=1)
MAX_PAST = timedelta(days=400)
FINAL_AFTER = timedelta(days=1)
"""The age from which an hour's temperature is final."""
AHEAD_OF_NEED = timedelta(hours=2)
"""Requested beyond the needed range, so that a report serves for its whole hour."""
TTL_S = 5 * 86_400.0
MIN_TTL_WALL_S = 60.0
MAX_CELLS = 20_000


class CachedWeather(msgspec.Struct, frozen=True, array_like=True):
    """The cached weather of a cell, in its stored form."""

    issued_at: datetime
    requested_at: datetime
    starts_at: datetime
    final_until: datetime
    """Hours before this moment are not requested again."""
    temp_c: tuple[float | None, ...]

    def values(self, starts_at: datetime, ends_at: datetime) -> FloatArray:
        """NaN where there is no value."""
        return hours_of(IntervalSeries.of(self.starts_at, 3600, self.temp_c), starts_at, ends_at)


class CachedWeatherSource:
    """Implements WeatherSource over `source`. `cache` None: each process caches for itself; `temperatures` None: the
    past is in the cache only.

    A report that cannot be renewed is returned as it is; its age shows that it is old.
    """

    def __init__(
        self,
        source: WeatherSource,
        clock: Clock,
        cache: SharedCache | None = None,
        temperatures: CellTemperatures | None = None,
    ) -> None:
        self._source = source
        self._clock = clock
        self._cache = cache
        self._temperatures = temperatures
        self._entries = BoundedCache[str, CachedWeather]("weather", max_size=MAX_CELLS)
        self._gaps_requested: dict[str, datetime] = {}
        """When this process last requested the missing hours of a cell's past."""

    async def hourly(self, cell: str, starts_at: datetime, ends_at: datetime) -> WeatherReport:
        now = self._clock.now()
        entry = await self._newest_entry(cell)
        enough = entry is not None and entry.starts_at <= starts_at
        is_fresh = entry is not None and timedelta(0) <= now - entry.requested_at < FRESH
        try:
            if not entry or not enough or not is_fresh:
                entry = await self._renewed(cell, entry if enough else None, starts_at, ends_at)
            if (gap := self._due_gap(cell, entry, starts_at)) is not None:
                entry = await self._filled(cell, entry, gap)
        except WeatherUnavailable as error:
            if entry is None:
                raise
            _log.warning("weather not read, using what is known", cell=cell, why=str(error))
        values = entry.values(starts_at, ends_at)
        if not np.isfinite(values).any():
            raise WeatherUnavailable(f"no weather of {cell} in the requested hours")
        return WeatherReport(
            cell=cell, issued_at=entry.issued_at, temp_c=IntervalSeries(starts_at, 3600, values)
        )

    async def _renewed(
        self, cell: str, entry: CachedWeather | None, starts_at: datetime, ends_at: datetime
    ) -> CachedWeather:
        now = self._clock.now()
        this_hour = now.replace(minute=0, second=0, microsecond=0)
        final_until = this_hour - FINAL_AFTER
        stored = None if entry is not None else await self._stored(cell, starts_at, this_hour)
        is_daily = entry is None or final_until - entry.final_until >= FINAL_AFTER
        if entry is None:
            first = starts_at if stored is None else stored.first_due()
        elif is_daily:
            first = max(starts_at, entry.final_until)
        else:
            first, final_until = max(starts_at, this_hour), entry.final_until
        if entry is None:
            self._gaps_requested[cell] = now
        report = await self._source.hourly(cell, first, max(ends_at, first) + AHEAD_OF_NEED)
        if report.is_past_due:
            final_until = min(final_until, first)  # requested again with the next report
        since = starts_at if entry is None else max(entry.starts_at, now - MAX_PAST)
        until = max(report.temp_c.ends_at, ends_at)
        values = hours_of(report.temp_c, since, until)
        if entry is not None:
            values = np.where(np.isnan(values), entry.values(since, until), values)
        elif stored is not None:
            values = np.where(np.isnan(values), hours_of(stored.temp_c, since, until), values)
        renewed = CachedWeather(
            issued_at=report.issued_at,
            requested_at=now,
            starts_at=since,
            final_until=final_until,
            temp_c=_stored_form(values),
        )
        await self._store(cell, renewed)
        new_from = since if is_daily else max(since, this_hour - FINAL_AFTER)
        if new_from < this_hour:
            past = IntervalSeries(new_from, 3600, renewed.values(new_from, this_hour))
            await self._record(cell, past, final_until)
        return renewed

    async def _filled(self, cell: str, entry: CachedWeather, gap: TimeWindow) -> CachedWeather:
        """The entry with what the source has of the gap. Raises WeatherUnavailable; it is requested again in a day."""
        self._gaps_requested[cell] = self._clock.now()
        report = await self._source.hourly(cell, gap.starts_at, gap.ends_at)
        known = IntervalSeries.of(entry.starts_at, 3600, entry.temp_c)
        found = hours_of(report.temp_c, known.starts_at, known.ends_at)
        values = np.where(np.isnan(known.values), found, known.values)
        filled = msgspec.structs.replace(entry, temp_c=_stored_form(values))
        await self._store(cell, filled)
        past = IntervalSeries(gap.starts_at, 3600, filled.values(gap.starts_at, gap.ends_at))
        await self._record(cell, past, filled.final_until)
        return filled

    def _due_gap(self, cell: str, entry: CachedWeather, starts_at: datetime) -> TimeWindow | None:
        """From the first to the last hour of the past that is missing, where it was not requested within a day by this
        process."""
        now = self._clock.now()
        requested_at = self._gaps_requested.get(cell)
        if requested_at is not None and timedelta(0) <= now - requested_at < FINAL_AFTER:
            return None
        missing = np.flatnonzero(
            np.isnan(entry.values(starts_at, now.replace(minute=0, second=0, microsecond=0)))
        )
        if not missing.size:
            return None
        return TimeWindow(starts_at + HOUR * int(missing[0]), starts_at + HOUR * (int(missing[-1]) + 1))

    async def _stored(self, cell: str, starts_at: datetime, ends_at: datetime) -> StoredTemperatures | None:
        if self._temperatures is None or starts_at >= ends_at:
            return None
        try:
            return await asyncio.to_thread(self._temperatures.stored, cell, TimeWindow(starts_at, ends_at))
        except OperationsUnavailable as error:
            _log.warning("stored temperatures not read", cell=cell, why=str(error))
            return None

    async def _record(self, cell: str, temp_c: IntervalSeries, final_until: datetime) -> None:
        if self._temperatures is None:
            return
        try:
            await asyncio.to_thread(self._temperatures.record, cell, temp_c, final_until=final_until)
        except OperationsUnavailable as error:
            _log.warning("temperatures not stored; the next report holds them too", cell=cell, why=str(error))

    async def _newest_entry(self, cell: str) -> CachedWeather | None:
        """The newer of the entry of this process and that of the shared cache."""
        mine = self._entries.get(cell)
        if self._cache is None or (mine and timedelta(0) <= self._clock.now() - mine.requested_at < FRESH):
            return mine
        try:
            (found,) = await self._cache.get_many([_key(cell)])
            theirs = None if found is None else json_decoder(CachedWeather).decode(found)
        except (CacheUnavailable, msgspec.DecodeError) as error:  # or written by another release
            _log.debug("weather not read from the cache", cell=cell, why=str(error))
            return mine
        return theirs if mine is None or (theirs and theirs.requested_at > mine.requested_at) else mine

    async def _store(self, cell: str, entry: CachedWeather) -> None:
        self._entries.put(cell, entry)
        if self._cache is None:
            return
        wall_s = max(MIN_TTL_WALL_S, self._clock.wall_seconds(TTL_S))
        try:
            await self._cache.put_many({_key(cell): msgspec.json.encode(entry)}, ttl_wall_s=wall_s)
        except CacheUnavailable as error:
            _log.debug("weather not cached", cell=cell, why=str(error))


def hours_of(series: IntervalSeries, starts_at: datetime, ends_at: datetime) -> FloatArray:
    """The hours of an hourly series in that range; NaN where it has no value."""
    found = np.full(max(0, (ends_at - starts_at) // HOUR), np.nan)
    first = (starts_at - series.starts_at) // HOUR
    low, high = max(first, 0), min(first + len(found), len(series.values))
    if low < high:
        found[low - first : high - first] = series.values[low:high]
    return found


def _stored_form(values: FloatArray) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(value) else value for value in values.tolist())


def _key(cell: str) -> str:
    return f"weather:{cell}"
