"""A cycle with a WeatherAPI.com key in the settings, against a simulated WeatherAPI.com server."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from psycopg_pool import ConnectionPool

from adapters.clock import SystemClock
from adapters.embedded import EmbeddedServers
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from application.ports.telemetry.store import ImportedIntervals
from application.weather.cell_location import WeatherPlace
from interfaces.simulators.http_host import hosted
from interfaces.simulators.weather.service import SimulatedWeather, create_weather_app
from interfaces.simulators.weather.weatherapi import SimulatedWeatherApi, forecast_json, history_json
from tests.acceptance.cli.terminal import PORTFOLIO, Terminal, changed
from tests.patience import ANSWER_S, END_S
from tests.servers import Database

KEY = "9f8e7d6c5b4a"


@contextmanager
def weather_service() -> Iterator[tuple[str, SimulatedWeatherApi]]:
    """The service runs in a thread with its own event loop, because a command runs another one."""
    clock = SystemClock()
    weather = SimulatedWeather(clock=clock, cells={"default": lambda at: 15.0 + at.hour / 2})
    places = {"default": WeatherPlace(latitude=34.05, longitude=-118.24, tz="America/Los_Angeles")}
    api = SimulatedWeatherApi(weather, places, clock=clock, key=KEY)
    loop, stop, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    urls: list[str] = []

    async def serve() -> None:
        app = create_weather_app(weather, forecast_json, history_json, weatherapi=api)
        async with hosted(app, "127.0.0.1:0") as url:
            urls.append(url)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(ANSWER_S)
        yield urls[0], api
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(END_S)
        loop.close()


def metered(database: Database, facility_ids: list[str]) -> None:
    """Write fifty days of constant load up to the end of this hour: enough for a model that uses the weather."""
    last_s = int(SystemClock().now().timestamp()) // 3600 * 3600 + 3600
    starts_s = np.arange(last_s - 50 * 86_400, last_s, 900)
    times, count = len(facility_ids), len(starts_s)
    intervals = ImportedIntervals(
        tuple(facility_ids),
        np.repeat(np.arange(times), count),
        np.tile(starts_s, times),
        np.full(times * count, 900),
        np.full(times * count, 50.0),
        np.full(times * count, np.nan),
    )
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=1) as pool:
        PostgresTelemetryStore(pool, SystemClock()).import_intervals(intervals)


def test_a_cycle_gets_weather_within_the_quota_and_the_next_process_uses_the_cache(
    database: Database, valkey_server: EmbeddedServers, tmp_path: Path
) -> None:
    terminal = Terminal(database, tmp_path)
    located = changed(PORTFOLIO, ["facilities", 0, "latitude"], 34.05)
    located = changed(located, ["facilities", 0, "longitude"], -118.24)
    assert terminal.run("facilities", "import", terminal.file(located)).exit_code == 0
    terminal.project()
    metered(database, ["fac-001", "fac-002"])
    with weather_service() as (url, api):
        environ = {
            "GRIDPROOF_WEATHER_URL": url,
            "GRIDPROOF_WEATHER_KEY": "env:GRIDPROOF_SECRET_WEATHER",
            "GRIDPROOF_SECRET_WEATHER": KEY,
            "GRIDPROOF_WEATHER_HISTORY_DAYS": "60",
            "GRIDPROOF_REDIS_URL": valkey_server.redis_url,
        }
        first = terminal.run("forecast", "run", "--facility", "fac-001", environ=environ)
        calls = len(api.queries)
        second = terminal.run("forecast", "run", "--facility", "fac-002", environ=environ)
    assert (first.exit_code, second.exit_code) == (0, 0), first.output + second.output
    # The first run requests future days and past months. The second uses the cached cell and requests nothing.
    assert {"days", "dt"} <= {name for query in api.queries for name in query}
    assert len(api.queries) == calls
    forecast = terminal.document("forecast", "show", "fac-001")
    assert forecast["weather_available"]
    assert forecast["weather_age_s"] < 3_600
    found = terminal.run("doctor", environ=environ)
    assert "calls of the month used, counted by all processes" in found.stdout
    assert KEY not in found.output + first.output
