"""The plain weather service: `GET <base>/v1/forecast?cell=..&from=..&to=..`, as the weather simulator serves it.

The answer is `{"cell", "issued_at", "hours": [{"at", "temp_c"}]}`.
"""

import ssl
from datetime import datetime
from typing import Annotated

import msgspec

from adapters.weather.bounded_get import BoundedGet
from adapters.weather.hours import DECODE_ERRORS, HOUR, hourly_series
from application.ports.clock import Clock
from application.ports.weather.source import WeatherReport, WeatherUnavailable
from domain.event_sourcing.decoders import json_decoder
from domain.units import InvalidQuantity

Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class _Hour(msgspec.Struct, frozen=True):
    at: Moment
    temp_c: float


class _Response(msgspec.Struct, frozen=True):
    cell: str
    issued_at: Moment
    hours: list[_Hour]


class HttpWeatherSource:
    """Implements WeatherSource."""

    def __init__(self, base_url: str, clock: Clock, *, tls: ssl.SSLContext | None = None) -> None:
        self._url = base_url.rstrip("/") + "/v1/forecast"
        self._clock = clock
        self._http = BoundedGet(clock, tls=tls)

    async def hourly(self, cell: str, starts_at: datetime, ends_at: datetime) -> WeatherReport:
        query = {"cell": cell, "from": starts_at.isoformat(), "to": ends_at.isoformat()}
        response = await self._http.get(self._url, query)
        if response.status != 200:
            raise WeatherUnavailable(f"the weather source answered HTTP {response.status}")
        return self._report(cell, response.body, starts_at, ends_at)

    def _report(self, cell: str, body: bytes, starts_at: datetime, ends_at: datetime) -> WeatherReport:
        try:
            answer = json_decoder(_Response).decode(body)
            if answer.cell != cell:
                raise WeatherUnavailable(
                    f"asked for cell {cell}, the weather source answered {answer.cell!r}"
                )
            if answer.issued_at > self._clock.now() + HOUR:
                raise WeatherUnavailable("the weather source answered with a forecast from the future")
            temp_c = hourly_series(((hour.at, hour.temp_c) for hour in answer.hours), starts_at, ends_at)
        except (msgspec.DecodeError, InvalidQuantity, *DECODE_ERRORS) as error:
            raise WeatherUnavailable(f"the weather source's answer is not understood: {error}") from error
        return WeatherReport(cell=cell, issued_at=answer.issued_at, temp_c=temp_c)
