"""Runs single parts of the simulated world: the buildings' BMSs, a weather service, a utility."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from pathlib import Path

from application.facility.portfolio_entries import Portfolio
from application.ports.clock import Clock
from application.weather.cell_location import WeatherPlace
from interfaces.simulators.bms.building import Building
from interfaces.simulators.bms.faults import FaultBook, FaultOrder
from interfaces.simulators.bms.server import BmsServer, create_bms_app
from interfaces.simulators.http_host import hosted
from interfaces.simulators.journal import Journal
from interfaces.simulators.outside_journal import WEATHER_JOURNAL
from interfaces.simulators.utility import SimulatedUtility, UtilityFaults, create_utility_app
from interfaces.simulators.weather.service import (
    SimulatedWeather,
    Temperature,
    WeatherFaults,
    create_weather_app,
)
from interfaces.simulators.weather.weatherapi import SimulatedWeatherApi, forecast_json, history_json

ADVANCE_EVERY_S = 0.05
"""Wall seconds: how often the buildings look at their clock, so that an expiry takes effect unasked."""
BMS_JOURNAL, CALLBACK_JOURNAL = "bms-journal.jsonl", "callbacks.jsonl"

Secret = Callable[[str], bytes]
Tasks = list[asyncio.Task[None]]


@contextlib.asynccontextmanager
async def opened_bms(
    portfolio: Portfolio,
    directory: Path,
    bind: str,
    *,
    clock: Clock,
    secret: Secret,
    faults: tuple[FaultOrder, ...] = (),
    shed_factor: float = 1.0,
) -> AsyncIterator[tuple[str, dict[str, Building], Tasks]]:
    """Yields the BMS servers' address, the buildings and the tasks that advance them.

    Actions on the buildings are journalled in `directory`.
    """
    with contextlib.closing(Journal(directory / BMS_JOURNAL)) as journal:
        buildings = {
            entry.facility_id: Building.of(entry, record=journal.append, shed_factor=shed_factor)
            for entry in portfolio.facilities
        }
        server = BmsServer(
            buildings, clock=clock, faults=FaultBook(faults), passwords=_passwords(portfolio, secret)
        )
        async with (
            hosted(create_bms_app(server), bind) as url,
            running([_advance(list(buildings.values()), clock)]) as tasks,
        ):
            yield url, buildings, tasks


@contextlib.asynccontextmanager
async def opened_weather(
    bind: str,
    *,
    clock: Clock,
    cells: Mapping[str, Temperature] | None = None,
    places: Mapping[str, WeatherPlace] | None = None,
    faults: WeatherFaults | None = None,
    directory: Path | None = None,
) -> AsyncIterator[str]:
    """Yields the weather service's address. Cells that `cells` does not name get a climate seeded by their name.

    It also serves `places` in the format of WeatherAPI.com. Only calls by cell are journalled in `directory`.
    """
    with contextlib.ExitStack() as stack:
        record = None
        if directory is not None:
            journal = Journal(directory / WEATHER_JOURNAL)
            record = stack.enter_context(contextlib.closing(journal)).append
        weather = SimulatedWeather(clock=clock, cells=cells, faults=faults, record=record)
        weatherapi = SimulatedWeatherApi(weather, places or {}, clock=clock)
        app = create_weather_app(weather, forecast_json, history_json, weatherapi=weatherapi)
        async with hosted(app, bind) as url:
            yield url


@contextlib.asynccontextmanager
async def opened_utility(
    directory: Path, bind: str, *, clock: Clock, secret: bytes | None, faults: UtilityFaults | None = None
) -> AsyncIterator[str]:
    """Yields the utility's address. Callbacks go to `/callbacks` and are journalled in `directory`.

    Without a secret, signatures are not checked.
    """
    with contextlib.closing(Journal(directory / CALLBACK_JOURNAL)) as journal:
        utility = SimulatedUtility(
            clock=clock, journal=journal, secret=secret, faults=faults or UtilityFaults()
        )
        async with hosted(create_utility_app(utility), bind) as url:
            yield url


@contextlib.asynccontextmanager
async def running(work: Sequence[Coroutine[None, None, None]]) -> AsyncIterator[Tasks]:
    """Run the coroutines as tasks until the end of the block."""
    tasks = [asyncio.create_task(coroutine) for coroutine in work]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _advance(buildings: Sequence[Building], clock: Clock) -> None:
    while True:
        now = clock.now()
        for building in buildings:
            building.advance(now)
        await asyncio.sleep(ADVANCE_EVERY_S)


def _passwords(portfolio: Portfolio, secret: Secret) -> dict[str, bytes]:
    return {
        entry.facility_id: secret(entry.bms.credentials_ref)
        for entry in portfolio.facilities
        if entry.bms.credentials_ref is not None
    }
