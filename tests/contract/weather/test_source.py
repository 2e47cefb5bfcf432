"""The contract of WeatherSource, in memory and over HTTP against the weather simulator."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from adapters.clock import AcceleratedClock
from adapters.weather import HttpWeatherSource, WeatherApiPlan, WeatherApiSource
from application.ports.weather.source import WeatherSource, WeatherUnavailable
from application.weather.cached_source import CachedWeatherSource
from application.weather.cell_location import WeatherPlace
from interfaces.simulators.http_host import hosted
from interfaces.simulators.weather.service import SimulatedWeather, WeatherFaults, create_weather_app
from interfaces.simulators.weather.weatherapi import SimulatedWeatherApi, forecast_json, history_json
from tests.fakes.weather.quota import FakeWeatherQuota
from tests.fakes.weather.source import FakeWeatherSource

NOW = datetime(2026, 7, 14, 20, 30, tzinfo=UTC)
HOUR = NOW.replace(minute=0)


class SourceClock:
    """A stopped clock, so that ages are exact."""

    def now(self) -> datetime:
        return NOW

    def wall_seconds(self, clock_seconds: float) -> float:
        return clock_seconds


@asynccontextmanager
async def over_http(faults: WeatherFaults) -> AsyncIterator[HttpWeatherSource]:
    simulated = SimulatedWeather(clock=SourceClock(), cells={"cell-1": lambda _: 21.0}, faults=faults)
    app = create_weather_app(simulated)
    async with hosted(app, "127.0.0.1:0") as url:
        yield HttpWeatherSource(url, SourceClock())


@asynccontextmanager
async def weatherapi(faults: WeatherFaults) -> AsyncIterator[WeatherApiSource]:
    simulated = SimulatedWeather(clock=SourceClock(), cells={"cell-1": lambda _: 21.0}, faults=faults)
    places = {"cell-1": WeatherPlace(latitude=37.77, longitude=-122.42, tz="America/Los_Angeles")}
    api = SimulatedWeatherApi(simulated, places, clock=SourceClock(), key="secret")
    app = create_weather_app(simulated, forecast_json, history_json, weatherapi=api)
    async with hosted(app, "127.0.0.1:0") as url:
        yield WeatherApiSource(
            url,
            "secret",
            SourceClock(),
            places=lambda: places,
            quota=FakeWeatherQuota(1_000),
            plan=WeatherApiPlan(history_days=60),
        )


@asynccontextmanager
async def source(kind: str, *, down: bool = False) -> AsyncIterator[WeatherSource]:
    if kind == "fake":
        fake = FakeWeatherSource(issued_at=HOUR, temp_c=21.0)
        fake.available = not down
        yield fake
        return
    if kind == "weatherapi":
        async with weatherapi(WeatherFaults(down=down)) as api:
            yield api
        return
    async with over_http(WeatherFaults(down=down)) as http:
        yield CachedWeatherSource(http, SourceClock()) if kind == "remembered" else http


@pytest.fixture(params=["fake", "http", "remembered", "weatherapi"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_requested_hour_is_returned_with_the_time_of_issue(kind: str) -> None:
    async def scenario() -> None:
        async with source(kind) as weather:
            report = await weather.hourly("cell-1", HOUR - timedelta(days=42), HOUR + timedelta(hours=25))
        assert report.cell == "cell-1"
        assert timedelta(0) <= NOW - report.issued_at <= timedelta(minutes=30)
        assert report.temp_c.starts_at == HOUR - timedelta(days=42)
        assert (report.temp_c.step_s, len(report.temp_c.values)) == (3600, 42 * 24 + 25)
        past = report.temp_c.values[: 42 * 24]
        assert past == pytest.approx(21.0)
        assert np.isfinite(report.temp_c.values).all()

    asyncio.run(scenario())


def test_an_unavailable_source_is_reported(kind: str) -> None:
    async def scenario() -> None:
        async with source(kind, down=True) as weather:
            with pytest.raises(WeatherUnavailable):
                await weather.hourly("cell-1", HOUR, HOUR + timedelta(hours=24))

    asyncio.run(scenario())


def test_an_empty_range_is_refused(kind: str) -> None:
    async def scenario() -> None:
        async with source(kind) as weather:
            with pytest.raises(WeatherUnavailable):
                await weather.hourly("cell-1", HOUR, HOUR)

    asyncio.run(scenario())


def test_a_temporary_failure_is_retried() -> None:
    async def scenario() -> None:
        async with over_http(WeatherFaults(fail_first=2)) as http:
            report = await http.hourly("cell-1", HOUR, HOUR + timedelta(hours=3))
        assert len(report.temp_c.values) == 3

    asyncio.run(scenario())


def test_after_five_failures_the_breaker_opens() -> None:
    async def scenario() -> None:
        async with over_http(WeatherFaults(fail_first=6)) as http:
            for _ in range(3):  # three attempts each: the sixth would still fail, the seventh would not
                with pytest.raises(WeatherUnavailable):
                    await http.hourly("cell-1", HOUR, HOUR + timedelta(hours=3))
            with pytest.raises(WeatherUnavailable, match="breaker open"):
                await http.hourly("cell-1", HOUR, HOUR + timedelta(hours=3))

    asyncio.run(scenario())


def test_an_exhausted_quota_is_not_retried() -> None:
    async def scenario() -> None:
        async with over_http(WeatherFaults(quota_per_day=2)) as http:
            for _ in range(2):
                await http.hourly("cell-1", HOUR, HOUR + timedelta(hours=3))
            with pytest.raises(WeatherUnavailable, match="429"):
                await http.hourly("cell-1", HOUR, HOUR + timedelta(hours=3))

    asyncio.run(scenario())


async def _answering(raw: bytes, *, hang: bool = False) -> tuple[asyncio.Server, str]:
    """A server that answers every request with these bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if hang:
            await reader.read()  # until the caller disconnects
        writer.write(raw)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def _http(body: bytes, status: bytes = b"200 OK", extra: bytes = b"") -> bytes:
    length = str(len(body)).encode()
    return b"HTTP/1.1 " + status + b"\r\nContent-Length: " + length + b"\r\n" + extra + b"\r\n" + body


HOURS = b'[{"at":"2026-07-14T20:00:00Z","temp_c":%s}]'


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (_http(b"<html>"), "not understood"),
        (_http(b'{"cell":"\xff\xfe"}'), "not understood"),
        (_http(b"[" * 200_000), "not understood"),
        (
            _http(b'{"cell":"other","issued_at":"2026-07-14T20:00:00Z","hours":' + HOURS % b"20" + b"}"),
            "other",
        ),
        (_http(b'{"cell":"cell-1","issued_at":"2026-07-14T20:00:00","hours":[]}'), "not understood"),
        (_http(b'{"cell":"cell-1","issued_at":"2026-07-16T20:00:00Z","hours":[]}'), "future"),
        (_http(b'{"cell":"cell-1","issued_at":"2026-07-14T20:00:00Z","hours":[]}'), "none of the hours"),
        (
            _http(b'{"cell":"cell-1","issued_at":"2026-07-14T20:00:00Z","hours":' + HOURS % b"451" + b"}"),
            "at most 60",
        ),
        (_http(b"x" * (1 << 21) + b"yy"), "more than"),
        (_http(b"", b"302 Found", b"Location: http://127.0.0.1:1/\r\n"), "302"),
    ],
    ids=[
        "html",
        "no text",
        "nested",
        "other cell",
        "naive",
        "future",
        "no hours",
        "fahrenheit",
        "large",
        "redirect",
    ],
)
def test_an_invalid_answer_is_refused_with_the_reason(answer: bytes, why: str) -> None:
    async def scenario() -> None:
        server, url = await _answering(answer)
        async with server:
            http = HttpWeatherSource(url, SourceClock())
            with pytest.raises(WeatherUnavailable, match=why):
                await http.hourly("cell-1", HOUR, HOUR + timedelta(hours=1))

    asyncio.run(scenario())


def test_a_source_without_a_response_times_out() -> None:
    async def scenario() -> None:
        server, url = await _answering(b"", hang=True)
        fast = AcceleratedClock(epoch=NOW, started_at=datetime.now(UTC), speed=1_000)
        async with server:
            http = HttpWeatherSource(url, fast)
            http._http.total_s = 0.2  # the minimum of two wall seconds would only slow the test
            with pytest.raises(WeatherUnavailable, match="no complete answer"):
                await http.hourly("cell-1", HOUR, HOUR + timedelta(hours=1))

    asyncio.run(scenario())
