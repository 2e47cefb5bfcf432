"""WeatherAPI.com: `forecast.json` for today and the coming days, `history.json` for past days.

Days are local to the place. Past days cost calls of their own: up to a week one call each, as every contract allows,
beyond that one call for each 30 days (`end_dt`, which the larger contracts allow).
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import structlog

from adapters.weather.bounded_get import BoundedGet
from adapters.weather.hours import HOUR, hourly_series, on_the_hour
from adapters.weather.weatherapi_responses import (
    Answer,
    Hour,
    NotInPlan,
    decode_response,
    moment,
    transient_reason,
)
from application.ports.clock import Clock
from application.ports.weather.quota import WeatherQuota
from application.ports.weather.source import WeatherReport, WeatherUnavailable
from application.weather.cell_location import WeatherPlace
from application.weather.requirements import CONSEQUENCE
from domain.time_series.windows import local_date, local_day
from domain.units import InvalidQuantity

_log = structlog.get_logger(__name__)
SINGLE_DAY_REQUESTS = 7
DAYS_PER_REQUEST = 30
PLACES_TTL = timedelta(hours=1)
DAY = timedelta(days=1)


class WeatherApiPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The days that the contract covers."""

    forecast_days: int = 3
    """Including today; at most 14."""
    history_days: int = 1
    """At most; of a service that covers fewer, as many as it gives."""


class QuotaUsedUp(WeatherUnavailable):
    """The contract leaves no call now."""


class WeatherApiSource:
    """Implements WeatherSource. `places` (called in a thread) returns the location of each weather cell."""

    def __init__(
        self,
        base_url: str,
        key: str,
        clock: Clock,
        *,
        places: Callable[[], Mapping[str, WeatherPlace]],
        quota: WeatherQuota,
        plan: WeatherApiPlan | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._base = base_url.rstrip("/") + "/v1"
        self._key = key
        self._clock = clock
        self._read_places = places
        self._places: Mapping[str, WeatherPlace] = {}
        self._places_read_at: datetime | None = None
        self._covered: tuple[int, datetime | None] = 0, None
        """The days of history that the service covered when it last refused more, and when that was."""
        self._quota = quota
        self._plan = plan or WeatherApiPlan()
        self._http = BoundedGet(
            clock, tls=tls, before_attempt=self._take_call, transient_reason=transient_reason
        )

    async def hourly(self, cell: str, starts_at: datetime, ends_at: datetime) -> WeatherReport:
        """Hours that the contract does not cover are missing."""
        place = await self._place(cell)
        now = self._clock.now()
        today = local_date(now, ZoneInfo(place.tz))
        midnight = local_day(today, ZoneInfo(place.tz)).starts_at
        issued_at, hours, is_past_due = now, list[Hour](), False
        if max(midnight, starts_at) < ends_at:
            last_updated = await self._ahead(place, today, ends_at)
            hours += last_updated.hours()
            issued_at = _issued_at(last_updated, now)
        if starts_at < min(midnight, ends_at):
            until = min(midnight, ends_at)
            past, is_past_due = await self._past(place, today, starts_at, until, may_fail=bool(hours))
            hours += past
        try:
            at_full_hours = on_the_hour((hour.at, hour.temp_c) for hour in hours)
            temp_c = hourly_series(at_full_hours, starts_at, ends_at)
        except InvalidQuantity as error:
            raise WeatherUnavailable(f"the weather source's answer is not understood: {error}") from error
        return WeatherReport(cell=cell, issued_at=issued_at, temp_c=temp_c, is_past_due=is_past_due)

    async def _ahead(self, place: WeatherPlace, today: date, ends_at: datetime) -> Answer:
        last = local_date(ends_at - HOUR, ZoneInfo(place.tz))
        days = min((last - today).days + 1, self._plan.forecast_days)
        query = {"days": str(days), "aqi": "no", "alerts": "no"}
        return await self._get("forecast.json", place, query)

    async def _past(
        self, place: WeatherPlace, today: date, starts_at: datetime, ends_at: datetime, *, may_fail: bool
    ) -> tuple[list[Hour], bool]:
        """The newest days first, as far back as the contract covers; and whether covered days could not be read.

        `may_fail`: the hours ahead are there, and count also if the past cannot be read. Otherwise raises
        WeatherUnavailable where not even one day was read, except for a quota that is used up.
        """
        zone = ZoneInfo(place.tz)
        first = max(local_date(starts_at, zone), today - DAY * self._history_days())
        requests = _histories(first, local_date(ends_at - HOUR, zone))
        hours: list[Hour] = []
        while requests:
            begins, until = requests.pop(0)
            try:
                hours += (await self._get("history.json", place, _history(begins, until))).hours()
            except NotInPlan as error:
                week = max(begins, today - DAY * SINGLE_DAY_REQUESTS)
                requests = _histories(week, until) if begins < until else []
                covered = SINGLE_DAY_REQUESTS if requests else (today - until).days - 1
                self._covered = covered, self._clock.now()
                if not requests:
                    _log.warning("the past's weather stays unknown", days=covered, why=str(error))
            except WeatherUnavailable as error:
                if not (may_fail or hours or isinstance(error, QuotaUsedUp)):
                    raise
                _log.warning("the past's weather is asked for later", cell_tz=place.tz, why=str(error))
                return hours, True
        return hours, False

    def _history_days(self) -> int:
        """The days of history of the plan, or fewer that the service covered when it refused more within the last
        day."""
        covered, learned_at = self._covered
        is_recent = learned_at is not None and timedelta(0) <= self._clock.now() - learned_at < DAY
        return min(self._plan.history_days, covered) if is_recent else self._plan.history_days

    async def _get(self, method: str, place: WeatherPlace, query: dict[str, str]) -> Answer:
        where = {"key": self._key, "q": f"{place.latitude:.4f},{place.longitude:.4f}"}
        return decode_response(await self._http.get(f"{self._base}/{method}", where | query))

    async def _take_call(self) -> None:
        use = await self._quota.take()
        if not use.allowed:
            raise QuotaUsedUp(
                f"the quota of {use.quota} weather calls a month leaves none now ({use.used} are used); "
                f"one is due in {use.retry_after_s:.0f} s"
            )

    async def _place(self, cell: str) -> WeatherPlace:
        """Loaded again for an unknown cell, and periodically: facilities are added and moved."""
        now = self._clock.now()
        read_at = self._places_read_at
        if cell not in self._places or read_at is None or now - read_at >= PLACES_TTL:
            self._places = await asyncio.to_thread(self._read_places)
            self._places_read_at = now
        if cell not in self._places:
            raise WeatherUnavailable(
                f"no facility in the weather cell {cell} has coordinates; name latitude and longitude of one; "
                f"until then {CONSEQUENCE}"
            )
        return self._places[cell]


def _histories(first: date, last: date) -> list[tuple[date, date]]:
    """The calls for the days from `first` to `last`, inclusive: the first and last day of each, the newest first."""
    days = 1 if (last - first).days < SINGLE_DAY_REQUESTS else DAYS_PER_REQUEST
    found = []
    while first <= last:
        begins = max(first, last - DAY * (days - 1))
        found.append((begins, last))
        last = begins - DAY
    return found


def _history(first: date, last: date) -> dict[str, str]:
    return {"dt": first.isoformat()} | ({"end_dt": last.isoformat()} if last > first else {})


def _issued_at(last_updated: Answer, now: datetime) -> datetime:
    """When the service last updated the place. Raises WeatherUnavailable for a time in the future."""
    if last_updated.current is None:
        raise WeatherUnavailable("the weather source does not say how old its answer is")
    issued_at = moment(last_updated.current.last_updated_epoch)
    if issued_at > now + HOUR:
        raise WeatherUnavailable("the weather source answered with a forecast from the future")
    return issued_at
