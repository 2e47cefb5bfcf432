"""The simulated world in one process: buildings with their BMSs, meters, a utility and a weather service."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from application.portfolio import Portfolio
from application.ports.clock import Clock
from interfaces.simulators.bms_server import BmsServer, create_bms_app
from interfaces.simulators.building import Building
from interfaces.simulators.building_faults import FaultBook
from interfaces.simulators.http_host import hosted
from interfaces.simulators.journal import Journal
from interfaces.simulators.load_model import LoadModel, LoadSource
from interfaces.simulators.meters import MeteredBuilding, MeterFleet
from interfaces.simulators.mqtt_outbox import MqttOutbox
from interfaces.simulators.recorded_load import read_recordings
from interfaces.simulators.utility import CallbackJournal, SimulatedUtility, create_utility_app
from interfaces.simulators.weather import SimulatedWeather, Temperature, create_weather_app
from interfaces.simulators.world_spec import (
    InvalidWorld,
    WorldAddresses,
    WorldSpec,
    read_portfolio,
    write_addresses,
)

ADVANCE_EVERY_S = 0.05
"""Wall seconds: how often the buildings look at their clock, so that an expiry takes effect unasked."""

Secret = Callable[[str], bytes]


def load_sources(
    portfolio: Portfolio, *, readings: str | None = None, readings_end_at: datetime | None = None
) -> dict[str, LoadSource]:
    """Each facility's load; the demo takes its history from the same sources. Raises InvalidWorld."""
    if readings is None:
        return {
            entry.facility_id: LoadModel(entry.facility_id, tz=entry.tz, weather_cell=entry.weather_cell)
            for entry in portfolio.facilities
        }
    if readings_end_at is None:
        raise InvalidWorld("with readings, give readings_end_at: the moment that the recordings must reach")
    recordings = read_recordings(Path(readings), {entry.facility_id for entry in portfolio.facilities})
    for recording in recordings.values():
        recording.move_to_cover(readings_end_at)
    return dict(recordings)


async def run_world(spec: WorldSpec, stop: asyncio.Event, *, clock: Clock, secret: Secret) -> None:
    """Run until `stop` is set, or a part of the world fails; then everything is closed."""
    async with contextlib.AsyncExitStack() as stack:
        addresses, tasks = await stack.enter_async_context(opened_world(spec, clock=clock, secret=secret))
        write_addresses(Path(spec.directory), addresses)
        stopping = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        for task in done - {stopping}:
            task.result()


@contextlib.asynccontextmanager
async def opened_world(
    spec: WorldSpec, *, clock: Clock, secret: Secret
) -> AsyncIterator[tuple[WorldAddresses, list[asyncio.Task[None]]]]:
    """The world while the block runs, with its tasks, which never end by themselves."""
    directory = Path(spec.directory)
    portfolio = read_portfolio(Path(spec.portfolio))
    sources = load_sources(portfolio, readings=spec.readings, readings_end_at=spec.readings_end_at)
    async with contextlib.AsyncExitStack() as stack:
        journal = stack.enter_context(contextlib.closing(Journal(directory / "bms-journal.jsonl")))
        callbacks = stack.enter_context(contextlib.closing(CallbackJournal(directory / "callbacks.jsonl")))
        buildings = {
            entry.facility_id: Building.of(entry, record=journal.append, shed_factor=spec.shed_factor)
            for entry in portfolio.facilities
        }
        bms = BmsServer(
            buildings, clock=clock, faults=FaultBook(spec.faults), passwords=_passwords(portfolio, secret)
        )
        utility = SimulatedUtility(
            clock=clock,
            journal=callbacks,
            secret=_callback_secret(spec, portfolio, secret),
            faults=spec.utility,
        )
        weather = SimulatedWeather(clock=clock, cells=_cells(portfolio, sources), faults=spec.weather)
        bms_url = await stack.enter_async_context(hosted(create_bms_app(bms), spec.bms_bind))
        utility_url = await stack.enter_async_context(hosted(create_utility_app(utility), spec.utility_bind))
        weather_url = await stack.enter_async_context(hosted(create_weather_app(weather), spec.weather_bind))
        work = [_advance(list(buildings.values()), clock)]
        if spec.mqtt_url is not None:
            outbox = MqttOutbox(spec.mqtt_url, spec.mqtt_client_id)
            metered = _metered(portfolio, buildings, sources)
            fleet = MeterFleet(
                metered, outbox=outbox, clock=clock, cadence_s=spec.meter_cadence_s, silent=spec.silent_meters
            )
            fleet.paused = spec.all_meters_silent
            work += [outbox.run(), fleet.run()]
        tasks = await stack.enter_async_context(_running(work))
        yield (
            WorldAddresses(
                pid=os.getpid(),
                bms_url=bms_url,
                utility_url=utility_url,
                weather_url=weather_url,
                callback_url=f"{utility_url}/callbacks",
                bms_journal=str((directory / "bms-journal.jsonl").resolve()),
                callback_journal=str((directory / "callbacks.jsonl").resolve()),
            ),
            tasks,
        )


@contextlib.asynccontextmanager
async def _running(work: Sequence[Coroutine[None, None, None]]) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.create_task(coroutine) for coroutine in work]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _advance(buildings: Sequence[Building], clock: Clock) -> None:
    while True:
        now = clock.now()
        for building in buildings:
            building.advance(now)
        await asyncio.sleep(ADVANCE_EVERY_S)


def _metered(
    portfolio: Portfolio, buildings: Mapping[str, Building], sources: Mapping[str, LoadSource]
) -> list[MeteredBuilding]:
    return [
        MeteredBuilding(
            buildings[entry.facility_id],
            sources[entry.facility_id],
            [meter.meter_id for meter in entry.meters],
        )
        for entry in portfolio.facilities
        if entry.meters
    ]


def _cells(portfolio: Portfolio, sources: Mapping[str, LoadSource]) -> dict[str, Temperature]:
    """The weather of a cell is what the first building in it feels."""
    cells: dict[str, Temperature] = {}
    for entry in portfolio.facilities:
        cells.setdefault(entry.weather_cell, sources[entry.facility_id].temperature_c)
    return cells


def _passwords(portfolio: Portfolio, secret: Secret) -> dict[str, bytes]:
    return {
        entry.facility_id: secret(entry.bms.credentials_ref)
        for entry in portfolio.facilities
        if entry.bms.credentials_ref is not None
    }


def _callback_secret(spec: WorldSpec, portfolio: Portfolio, secret: Secret) -> bytes | None:
    refs = [spec.callback_secret_ref, *(utility.callback_secret_ref for utility in portfolio.utilities)]
    ref = next((ref for ref in refs if ref is not None), None)
    return None if ref is None else secret(ref)
