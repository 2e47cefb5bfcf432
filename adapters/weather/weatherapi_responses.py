"""Responses of WeatherAPI.com, as far as they are used: forecast, history and error bodies."""

from datetime import UTC, datetime

import msgspec

from adapters.weather.bounded_get import HttpResponse
from adapters.weather.hours import DECODE_ERRORS
from application.ports.weather.source import WeatherUnavailable
from domain.event_sourcing.decoders import json_decoder


def moment(epoch: int) -> datetime:
    """Raises WeatherUnavailable for a time outside Python's calendar."""
    try:
        return datetime.fromtimestamp(epoch, UTC)
    except (ValueError, OSError, OverflowError) as error:
        raise WeatherUnavailable(f"the weather source's answer is not understood: {error}") from error


class Location(msgspec.Struct, frozen=True):
    tz_id: str
    localtime_epoch: int


class Current(msgspec.Struct, frozen=True):
    last_updated_epoch: int


class Hour(msgspec.Struct, frozen=True):
    time_epoch: int
    temp_c: float

    @property
    def at(self) -> datetime:
        return moment(self.time_epoch)


class Day(msgspec.Struct, frozen=True):
    date: str
    hour: list[Hour] = []


class Days(msgspec.Struct, frozen=True):
    forecastday: list[Day]


class Answer(msgspec.Struct, frozen=True):
    """History responses have no `current`."""

    location: Location
    forecast: Days
    current: Current | None = None

    def hours(self) -> list[Hour]:
        return [hour for day in self.forecast.forecastday for hour in day.hour]


class _Error(msgspec.Struct, frozen=True):
    code: int


class _Failure(msgspec.Struct, frozen=True):
    error: _Error


class NotInPlan(WeatherUnavailable):
    """The contract does not cover the request."""


REFUSALS = {
    1002: "no key arrived; set GRIDPROOF_WEATHER_KEY",
    1003: "no place arrived; this is a fault of Gridproof's",
    1005: "the address is wrong; correct GRIDPROOF_WEATHER_URL",
    1006: "it knows no such place; correct the facilities' latitude and longitude",
    2006: "the key is invalid; renew what GRIDPROOF_WEATHER_KEY refers to",
    2007: "the month's quota is used up; wait for the next month, or raise the contract",
    2008: "the key has been disabled; renew what GRIDPROOF_WEATHER_KEY refers to",
    2009: "the contract does not cover this; lower GRIDPROOF_WEATHER_FORECAST_DAYS or GRIDPROOF_WEATHER_HISTORY_DAYS",
}
"""By the service's own codes. Its texts are not repeated, since they are untrusted."""
INTERNAL_ERROR, NOT_IN_PLAN = 9999, 2009


def code_of(response: HttpResponse) -> int | None:
    """The code of a failure; None where there is none, or it cannot be decoded."""
    if response.status == 200:
        return None
    try:
        return json_decoder(_Failure).decode(response.body).error.code
    except (msgspec.DecodeError, *DECODE_ERRORS):
        return None


def transient_reason(response: HttpResponse) -> str | None:
    if code_of(response) == INTERNAL_ERROR:
        return f"the weather source has an internal error ({INTERNAL_ERROR})"
    return None


def decode_response(response: HttpResponse) -> Answer:
    """Raises WeatherUnavailable for a failure, NotInPlan for a request outside the contract."""
    if response.status == 200:
        try:
            return json_decoder(Answer).decode(response.body)
        except (msgspec.DecodeError, *DECODE_ERRORS) as error:
            raise WeatherUnavailable(f"the weather source's answer is not understood: {error}") from error
    code = code_of(response)
    if code is None:
        raise WeatherUnavailable(f"the weather source answered HTTP {response.status}")
    why = REFUSALS.get(code, "see its documentation for the code")
    refusal = NotInPlan if code == NOT_IN_PLAN else WeatherUnavailable
    raise refusal(f"the weather source refuses ({code}): {why}")
