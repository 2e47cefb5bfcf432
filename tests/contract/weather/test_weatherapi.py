"""WeatherAPI.com: requests, responses and refusals, against a server that behaves like it.

The recorded answers were written by hand from its documentation; no call was ever made to it.
"""

import asyncio
import json
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from litestar import Litestar, Request, get
from litestar.datastructures import State
from litestar.params import FromPath
from litestar.response import Response
from structlog.testing import capture_logs

from adapters.weather import WeatherApiPlan, WeatherApiSource
from application.ports.weather.source import WeatherReport, WeatherUnavailable
from application.weather.cached_source import CachedWeatherSource
from application.weather.cell_location import WeatherPlace, places_of
from application.weather.requirements import CALLS_A_DAY
from domain.time_series.windows import TimeWindow
from interfaces.simulators.http_host import hosted
from interfaces.simulators.weather.service import (
    Answer,
    SimulatedWeather,
    create_weather_app,
    json_answer,
)
from interfaces.simulators.weather.weatherapi import SimulatedWeatherApi, forecast_json, history_json
from tests.fakes.clock import FakeClock
from tests.fakes.weather.quota import FakeWeatherQuota
from tests.fakes.weather.temperatures import FakeCellTemperatures

NOW = datetime(2026, 7, 14, 20, 30, tzinfo=UTC)
HOUR = NOW.replace(minute=0)
DAY = timedelta(days=1)
KEY = "9f8e7d6c5b4a"
PLACE = WeatherPlace(latitude=37.77, longitude=-122.42, tz="America/Los_Angeles")
FIXTURES = Path(__file__).parent / "weatherapi"


def source_at(
    url: str,
    *,
    plan: WeatherApiPlan | None = None,
    key: str = KEY,
    quota: int = 10_000,
    clock: FakeClock | None = None,
) -> WeatherApiSource:
    return WeatherApiSource(
        url,
        key,
        clock or FakeClock(NOW),
        places=lambda: {"cell-1": PLACE},
        quota=FakeWeatherQuota(quota),
        plan=plan,
    )


@asynccontextmanager
async def simulated(
    place: WeatherPlace = PLACE,
    *,
    plan_days: int = 3,
    history_days: int = 365,
    clock: FakeClock | None = None,
) -> AsyncIterator[tuple[str, SimulatedWeatherApi]]:
    clock = clock or FakeClock(NOW)
    weather = SimulatedWeather(clock=clock, cells={"cell-1": lambda at: 10.0 + at.hour})
    api = SimulatedWeatherApi(
        weather,
        {"cell-1": place},
        clock=clock,
        key=KEY,
        plan_days=plan_days,
        history_days=history_days,
    )
    app = create_weather_app(weather, forecast_json, history_json, weatherapi=api)
    async with hosted(app, "127.0.0.1:0") as url:
        yield url, api


@asynccontextmanager
async def recorded(status: int, body: bytes) -> AsyncIterator[str]:
    """A server that answers every call with this response."""

    @get("/v1/{method:str}")
    async def answer(request: Request[None, None, State]) -> Response[bytes]:
        return Response(body, status_code=status, media_type="application/json")

    async with hosted(Litestar([answer], openapi_config=None), "127.0.0.1:0") as url:
        yield url


@asynccontextmanager
async def recorded_by_method(answers: dict[str, tuple[int, bytes]]) -> AsyncIterator[str]:
    """Like `recorded`, with a response of each method; 503 for the others."""

    @get("/v1/{method:str}")
    async def answer(method: FromPath[str]) -> Response[bytes]:
        status, body = answers.get(method, (503, b"{}"))
        return Response(body, status_code=status, media_type="application/json")

    async with hosted(Litestar([answer], openapi_config=None), "127.0.0.1:0") as url:
        yield url


def without_history(api: SimulatedWeatherApi) -> Callable[..., Awaitable[Answer]]:
    """The answers of `api` while its history is away."""
    usual = api.answer

    async def answer(query: Mapping[str, str], *, history: bool) -> Answer:
        return json_answer(503, {"detail": "down"}) if history else await usual(query, history=history)

    return answer


def test_one_call_covers_today_and_the_days_ahead() -> None:
    async def scenario() -> None:
        async with simulated() as (url, api):
            report = await source_at(url).hourly("cell-1", HOUR, HOUR + timedelta(hours=24))
        assert api.queries == [{"q": "37.7700,-122.4200", "days": "2", "aqi": "no", "alerts": "no"}]
        assert np.isfinite(report.temp_c.values).all()
        assert report.issued_at == NOW

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("days_back", "calls"),
    [
        (1, [("2026-07-13", None)]),
        (3, [("2026-07-13", None), ("2026-07-12", None), ("2026-07-11", None)]),
        (56, [("2026-06-14", "2026-07-13"), ("2026-05-19", "2026-06-13")]),
    ],
)
def test_past_days_are_requested_one_by_one_or_a_month_at_once(
    days_back: int, calls: list[tuple[str, str | None]]
) -> None:
    async def scenario() -> None:
        midnight = datetime(2026, 7, 14, 7, tzinfo=UTC)
        async with simulated() as (url, api):
            source = source_at(url, plan=WeatherApiPlan(history_days=365))
            report = await source.hourly("cell-1", midnight - DAY * days_back, HOUR + DAY)
        assert [(query["dt"], query.get("end_dt")) for query in api.queries[1:]] == calls
        assert np.isfinite(report.temp_c.values).all()
        assert report.temp_c.values[0] == pytest.approx(10.0 + 7)

    asyncio.run(scenario())


def test_days_that_the_contract_does_not_cover_are_missing_and_not_requested() -> None:
    async def scenario() -> None:
        async with simulated(plan_days=1) as (url, api):
            source = source_at(url, plan=WeatherApiPlan(forecast_days=1, history_days=0))
            report = await source.hourly("cell-1", HOUR - DAY * 3, HOUR + DAY)
        assert [query.get("days") for query in api.queries] == ["1"]
        known = np.isfinite(report.temp_c.values)
        assert known.sum() == 24
        assert not known[:59].any()

    asyncio.run(scenario())


def test_a_contract_without_history_leaves_the_past_unknown_and_logs_the_reason() -> None:
    async def scenario() -> None:
        async with simulated(history_days=0) as (url, _):
            source = source_at(url, plan=WeatherApiPlan(history_days=7))
            with capture_logs() as logs:
                report = await source.hourly("cell-1", HOUR - DAY, HOUR + DAY)
        assert [log["event"] for log in logs] == ["the past's weather stays unknown"]
        assert "2009" in logs[0]["why"]
        assert np.isfinite(report.temp_c.values[24:]).all()

    asyncio.run(scenario())


@pytest.mark.parametrize(("covered", "calls"), [(0, 3), (3, 6), (7, 9), (30, 3)])
def test_the_past_is_read_as_far_back_as_the_contract_covers(covered: int, calls: int) -> None:
    async def scenario() -> None:
        async with simulated(history_days=covered) as (url, api):
            source = source_at(url, plan=WeatherApiPlan(history_days=56))
            report = await source.hourly("cell-1", HOUR - DAY * 56, HOUR + DAY)
            first = len(api.queries)
            again = await source.hourly("cell-1", HOUR - DAY * 56, HOUR + DAY)
        midnight = (56 * 24) - 13
        days = np.isfinite(report.temp_c.values[:midnight]).sum() // 24
        assert (days, first) == (covered, calls)
        assert len(api.queries) - first == 1 + min(covered, 7) if covered <= 7 else 2
        np.testing.assert_array_equal(again.temp_c.values, report.temp_c.values)

    asyncio.run(scenario())


def test_hours_ahead_count_also_where_the_past_cannot_be_read() -> None:
    async def scenario() -> None:
        midnight = datetime(2026, 7, 14, 7, tzinfo=UTC)
        async with recorded_by_method(
            {"forecast.json": (200, (FIXTURES / "forecast.json").read_bytes())}
        ) as url:
            source = source_at(url, plan=WeatherApiPlan(history_days=56))
            with capture_logs() as logs:
                report = await source.hourly("cell-1", HOUR - DAY * 56, HOUR + timedelta(hours=3))
            assert report.temp_c.values[-3:].tolist() == [22.4, 22.9, 23.1]
            assert "HTTP 503" in logs[-1]["why"]
            with pytest.raises(WeatherUnavailable):
                await source.hourly("cell-1", midnight - DAY * 56, midnight)

    asyncio.run(scenario())


def test_the_past_is_final_only_once_it_was_read_and_is_requested_each_hour_until_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        clock, temperatures = FakeClock(NOW), FakeCellTemperatures()
        yesterday = TimeWindow(HOUR.replace(hour=0) - DAY, HOUR.replace(hour=0))
        async with simulated(clock=clock) as (url, api):
            source = source_at(url, plan=WeatherApiPlan(history_days=56), clock=clock)
            weather = CachedWeatherSource(source, clock, None, temperatures)

            async def report_after(hours: int) -> WeatherReport:
                clock.moment, now = NOW + timedelta(hours=hours), HOUR + timedelta(hours=hours)
                return await weather.hourly("cell-1", now - 8 * DAY, now + DAY)

            await report_after(0)
            with monkeypatch.context() as outage:
                outage.setattr(api, "answer", without_history(api))
                report = await report_after(25)
                assert report.issued_at == clock.moment
                assert not temperatures.stored("cell-1", yesterday).is_final.any()
            await report_after(26)
            assert temperatures.stored("cell-1", yesterday).is_final.all()

    asyncio.run(scenario())


@pytest.mark.parametrize("covered", [0, 3, 7, 30, 365])
def test_a_cell_makes_no_more_calls_a_day_than_are_counted_whatever_the_contract_covers(covered: int) -> None:
    """After the first day, which also has the past."""

    async def scenario() -> None:
        clock = FakeClock(NOW)
        async with simulated(history_days=covered, clock=clock) as (url, api):
            weather = CachedWeatherSource(
                source_at(url, plan=WeatherApiPlan(history_days=56), clock=clock), clock
            )
            for hours in range(3 * 24):
                clock.moment = NOW + timedelta(hours=hours)
                now = HOUR + timedelta(hours=hours)
                await weather.hourly("cell-1", now - 56 * DAY, now + DAY)
                if hours == 23:
                    api.queries.clear()
            assert len(api.queries) <= 2 * CALLS_A_DAY

    asyncio.run(scenario())


def test_the_forecast_comes_before_the_past_where_the_quota_leaves_few_calls() -> None:
    async def scenario() -> None:
        async with simulated() as (url, api):
            source = source_at(url, quota=20, plan=WeatherApiPlan(history_days=56))
            report = await source.hourly("cell-1", HOUR - DAY * 56, HOUR + DAY)
        assert [query.get("dt") for query in api.queries] == [None, "2026-06-14"]
        assert np.isfinite(report.temp_c.values[-24:]).all()

    asyncio.run(scenario())


def test_temperatures_are_interpolated_if_local_hours_begin_at_the_half_hour() -> None:
    async def scenario() -> None:
        async with simulated(WeatherPlace(latitude=28.6, longitude=77.2, tz="Asia/Kolkata")) as (url, _):
            source = WeatherApiSource(
                url,
                KEY,
                FakeClock(NOW),
                places=lambda: {"cell-1": WeatherPlace(latitude=28.6, longitude=77.2, tz="Asia/Kolkata")},
                quota=FakeWeatherQuota(100),
            )
            # 19:30 and 20:30 UTC are 29 and 30 degrees there.
            report = await source.hourly("cell-1", HOUR, HOUR + timedelta(hours=1))
        assert report.temp_c.values.tolist() == pytest.approx([29.5], abs=0.1)

    asyncio.run(scenario())


def test_a_recorded_forecast_is_read_with_its_time_of_issue() -> None:
    async def scenario() -> None:
        body = (FIXTURES / "forecast.json").read_bytes()
        async with recorded(200, body) as url:
            report = await source_at(url).hourly("cell-1", HOUR, HOUR + timedelta(hours=3))
        assert report.temp_c.values.tolist() == [22.4, 22.9, 23.1]
        assert report.issued_at == datetime(2026, 7, 14, 20, 15, tzinfo=UTC)

    asyncio.run(scenario())


CODES = [
    (401, 1002),
    (400, 1003),
    (400, 1005),
    (400, 1006),
    (401, 2006),
    (403, 2007),
    (403, 2008),
    (403, 2009),
]


@pytest.mark.parametrize(("status", "code"), CODES)
def test_a_refusal_names_its_code_and_the_next_step_and_is_not_retried(status: int, code: int) -> None:
    async def scenario() -> None:
        body = json.dumps({"error": {"code": code, "message": f"said of {KEY}"}}).encode()
        quota = FakeWeatherQuota(10_000)
        async with recorded(status, body) as url:
            source = WeatherApiSource(url, KEY, FakeClock(NOW), places=lambda: {"cell-1": PLACE}, quota=quota)
            with pytest.raises(WeatherUnavailable, match=rf"\({code}\): .+;"):
                await source.hourly("cell-1", HOUR, HOUR + DAY)
        assert quota.used == 1

    asyncio.run(scenario())


def test_an_internal_error_is_retried_and_each_attempt_counts() -> None:
    async def scenario() -> None:
        quota = FakeWeatherQuota(10_000)
        async with recorded(
            400, b'{"error": {"code": 9999, "message": "Internal application error."}}'
        ) as url:
            source = WeatherApiSource(url, KEY, FakeClock(NOW), places=lambda: {"cell-1": PLACE}, quota=quota)
            with pytest.raises(WeatherUnavailable, match="9999"):
                await source.hourly("cell-1", HOUR, HOUR + DAY)
        assert quota.used == 3

    asyncio.run(scenario())


def test_without_a_token_no_call_is_made() -> None:
    async def scenario() -> None:
        async with simulated() as (url, api):
            source = source_at(url, quota=10)
            await source.hourly("cell-1", HOUR, HOUR + DAY)
            with pytest.raises(WeatherUnavailable, match="one is due in"):
                await source.hourly("cell-1", HOUR, HOUR + DAY)
        assert len(api.queries) == 1

    asyncio.run(scenario())


HEAD = b'{"location":{"tz_id":"UTC","localtime_epoch":1},"current":{"last_updated_epoch":%d},"forecast":'
DAYS = b'{"forecastday":[{"date":"x","hour":[{"time_epoch":1784059200,"temp_c":451}]}]}}'


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<html>", "not understood"),
        (b'{"location":{"tz_id":"UTC","localtime_epoch":1},"forecast":{"forecastday":[]}}', "how old"),
        (HEAD % 1784200000 + DAYS, "future"),
        (HEAD % 1784060000 + DAYS, "at most 60"),
        (b'{"location":{"tz_id":"\xff\xfe"}}', "not understood"),
        (HEAD % 9223372036854775807 + DAYS, "not understood"),
        (HEAD % 1784060000 + DAYS.replace(b"1784059200", b"9223372036854775807"), "not understood"),
    ],
    ids=["html", "no age", "future", "fahrenheit", "no text", "age of no year", "hour of no year"],
)
def test_an_invalid_answer_is_refused_with_the_reason(body: bytes, why: str) -> None:
    async def scenario() -> None:
        async with recorded(200, body) as url:
            with pytest.raises(WeatherUnavailable, match=why):
                await source_at(url).hourly("cell-1", HOUR, HOUR + DAY)

    asyncio.run(scenario())


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://[::1"])
def test_the_key_appears_in_no_error_and_no_log(url: str) -> None:
    source = source_at(url)
    with capture_logs() as logs, pytest.raises(WeatherUnavailable) as failure:
        asyncio.run(source.hourly("cell-1", HOUR, HOUR + DAY))
    assert KEY not in "".join(traceback.format_exception(failure.value)) + repr(logs)


def test_a_cell_is_located_at_the_centre_of_its_facilities() -> None:
    def at(latitude: float, longitude: float) -> WeatherPlace:
        return WeatherPlace(latitude=latitude, longitude=longitude, tz="UTC")

    found = places_of([("a", at(10, 20)), ("a", at(12, 22)), ("b", at(0, 179)), ("b", at(0, -179))])
    assert (found["a"].latitude, found["a"].longitude) == pytest.approx((11.0, 21.0), abs=0.01)
    assert abs(found["b"].longitude) == pytest.approx(180.0)


def test_a_cell_without_facilities_is_unavailable() -> None:
    async def scenario() -> None:
        async with simulated() as (url, api):
            with pytest.raises(
                WeatherUnavailable, match="no facility in the weather cell cell-2 has coordinates"
            ):
                await source_at(url).hourly("cell-2", HOUR, HOUR + DAY)
        assert api.queries == []

    asyncio.run(scenario())
