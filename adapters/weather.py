"""Weather over HTTP: `GET <base>/v1/forecast?cell=..&from=..&to=..`, as the weather simulator serves it.

The answer is `{"cell", "issued_at", "hours": [{"at", "temp_c"}]}`. WeatherAPI.com answers in another shape and knows
no cells; its own adapter can stand beside this one.
"""

from datetime import datetime, timedelta
from typing import Annotated

import aiohttp
import msgspec
import numpy as np
import stamina
from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import OpenedState

from application.ports.clock import Clock
from application.ports.weather import WeatherReport, WeatherUnavailable
from domain.struct_decoders import json_decoder
from domain.time_windows import IntervalSeries
from domain.units import InvalidQuantity, outdoor_celsius

HOUR = timedelta(hours=1)
TOTAL_S, LEAST_TOTAL_WALL_S = 10.0, 2.0
ATTEMPTS = 3
BREAKER_FAILURES, BREAKER_OPEN_S, LEAST_OPEN_WALL_S = 5, 60.0, 1.0
LARGEST_ANSWER = 1 << 20
"""Bytes; 400 days of hours are about 600 kB."""

Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class _Hour(msgspec.Struct, frozen=True):
    at: Moment
    temp_c: float


class _Answer(msgspec.Struct, frozen=True):
    cell: str
    issued_at: Moment
    hours: list[_Hour]


class _TryAgain(WeatherUnavailable):
    """A failure that may be over in a moment."""


class HttpWeatherSource:
    """Implements WeatherSource. The same failure five times in a row opens a breaker for a minute of the clock."""

    def __init__(self, base_url: str, clock: Clock) -> None:
        self._url = base_url.rstrip("/") + "/v1/forecast"
        self._clock = clock
        self._total_s = max(clock.wall_seconds(TOTAL_S), LEAST_TOTAL_WALL_S)
        self._breakers = AsyncCircuitBreakerFactory(
            default_threshold=BREAKER_FAILURES,
            default_ttl=max(clock.wall_seconds(BREAKER_OPEN_S), LEAST_OPEN_WALL_S),
        )
        self._retrying = stamina.AsyncRetryingCaller(
            attempts=ATTEMPTS, timeout=self._total_s * ATTEMPTS, wait_initial=0.1, wait_max=1.0
        ).on(_TryAgain)

    async def hourly(self, cell: str, starts_at: datetime, ends_at: datetime) -> WeatherReport:
        body = await self._retrying(self._guarded, cell, starts_at, ends_at)
        return self._report(cell, body, starts_at, ends_at)

    async def _guarded(self, cell: str, starts_at: datetime, ends_at: datetime) -> bytes:
        try:
            async with await self._breakers.get_breaker("weather"):
                return await self._get(cell, starts_at, ends_at)
        except OpenedState as error:
            raise WeatherUnavailable(
                "the weather source failed too often; it is left alone for a while"
            ) from error

    async def _get(self, cell: str, starts_at: datetime, ends_at: datetime) -> bytes:
        query = {"cell": cell, "from": starts_at.isoformat(), "to": ends_at.isoformat()}
        try:
            async with (
                self._session() as session,
                session.get(self._url, params=query, allow_redirects=False) as response,
            ):
                if response.status >= 500:
                    raise _TryAgain(f"the weather source answered HTTP {response.status}")
                if response.status != 200:
                    raise WeatherUnavailable(f"the weather source answered HTTP {response.status}")
                return await _read(response)
        except WeatherUnavailable:  # itself an OSError
            raise
        except TimeoutError as error:
            raise _TryAgain(f"no complete answer of the weather source in {self._total_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _TryAgain(f"the weather source cannot be reached: {type(error).__name__}") from error

    def _session(self) -> aiohttp.ClientSession:
        """One for each call: a cell is asked once in a quarter-hour, which no open connection outlives."""
        return aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._total_s),
            headers={"Accept": "application/json", "User-Agent": "gridproof"},
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    def _report(self, cell: str, body: bytes, starts_at: datetime, ends_at: datetime) -> WeatherReport:
        try:
            answer = json_decoder(_Answer).decode(body)
            if answer.cell != cell:
                raise WeatherUnavailable(
                    f"asked for cell {cell}, the weather source answered {answer.cell!r}"
                )
            if answer.issued_at > self._clock.now() + HOUR:
                raise WeatherUnavailable("the weather source answered with a forecast from the future")
            temp_c = _series(answer.hours, starts_at, ends_at)
        except (msgspec.DecodeError, InvalidQuantity) as error:
            raise WeatherUnavailable(f"the weather source's answer is not understood: {error}") from error
        return WeatherReport(cell=cell, issued_at=answer.issued_at, temp_c=temp_c)


def _series(hours: list[_Hour], starts_at: datetime, ends_at: datetime) -> IntervalSeries:
    """The hours that were asked for, in place; whatever else the answer holds is left out."""
    values = np.full(max(0, int((ends_at - starts_at) / HOUR)), np.nan)
    for hour in hours:
        index = (hour.at - starts_at) / HOUR
        if index == int(index) and 0 <= index < len(values):
            values[int(index)] = outdoor_celsius(hour.temp_c, name="temp_c")
    if not np.isfinite(values).any():
        raise WeatherUnavailable("the weather source's answer holds none of the hours asked for")
    return IntervalSeries(starts_at, int(HOUR.total_seconds()), values)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(16_384):
        body += chunk
        if len(body) > LARGEST_ANSWER:
            raise WeatherUnavailable(f"the weather source answered more than {LARGEST_ANSWER} bytes")
    return bytes(body)
