"""The simulated world in one process: buildings with their BMSs, meters, a utility and a weather service."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from datetime import datetime
from pathlib import Path

from application.facility.portfolio_entries import Portfolio
from application.ports.clock import Clock
from application.weather.cell_location import WeatherPlace, places_of
from interfaces.simulators.bms.building import Building
from interfaces.simulators.journal import Journal
from interfaces.simulators.meters.load_model import LoadModel, LoadSource
from interfaces.simulators.meters.meters import MeteredBuilding, MeterFleet
from interfaces.simulators.meters.mqtt_outbox import MqttOutbox
from interfaces.simulators.meters.recorded_load import read_recordings
from interfaces.simulators.outside_journal import METER_JOURNAL, MeterTurn
from interfaces.simulators.parts import (
    BMS_JOURNAL,
    CALLBACK_JOURNAL,
    Secret,
    Tasks,
    opened_bms,
    opened_utility,
    opened_weather,
    running,
)
from interfaces.simulators.weather.service import Temperature
from interfaces.simulators.world_spec import (
    InvalidWorld,
    WorldAddresses,
    WorldSpec,
    read_portfolio,
)


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


@contextlib.asynccontextmanager
async def opened_world(
    spec: WorldSpec, *, clock: Clock, secret: Secret
) -> AsyncIterator[tuple[WorldAddresses, list[asyncio.Task[None]]]]:
    """Opens the world for the block; yields it with its tasks, which run until cancelled."""
    directory = Path(spec.directory)
    portfolio = read_portfolio(Path(spec.portfolio))
    sources = load_sources(portfolio, readings=spec.readings, readings_end_at=spec.readings_end_at)
    secret_ref = spec.callback_secret_ref or callback_secret_ref(portfolio)
    async with (
        opened_bms(
            portfolio,
            directory,
            spec.bms_bind,
            clock=clock,
            secret=secret,
            faults=spec.faults,
            shed_factor=spec.shed_factor,
        ) as (bms_url, buildings, tasks),
        opened_utility(
            directory,
            spec.utility_bind,
            clock=clock,
            secret=None if secret_ref is None else secret(secret_ref),
            faults=spec.utility,
        ) as utility_url,
        opened_weather(
            spec.weather_bind,
            clock=clock,
            cells=cells_of(portfolio, sources),
            places=weather_places_of(portfolio),
            faults=spec.weather,
            directory=directory,
        ) as weather_url,
        _running_meters(spec, portfolio, buildings, sources, clock) as meters,
    ):
        yield (
            WorldAddresses(
                pid=os.getpid(),
                bms_url=bms_url,
                utility_url=utility_url,
                weather_url=weather_url,
                callback_url=f"{utility_url}/callbacks",
                bms_journal=str((directory / BMS_JOURNAL).resolve()),
                callback_journal=str((directory / CALLBACK_JOURNAL).resolve()),
            ),
            [*tasks, *meters],
        )


@contextlib.asynccontextmanager
async def _running_meters(
    spec: WorldSpec,
    portfolio: Portfolio,
    buildings: Mapping[str, Building],
    sources: Mapping[str, LoadSource],
    clock: Clock,
) -> AsyncIterator[Tasks]:
    with contextlib.closing(Journal(Path(spec.directory) / METER_JOURNAL)) as journal:
        work = _meters(spec, _metered(portfolio, buildings, sources), clock, journal.append)
        async with running(work) as tasks:
            yield tasks


def _meters(
    spec: WorldSpec,
    metered: list[MeteredBuilding],
    clock: Clock,
    record: Callable[[MeterTurn], None],
) -> list[Coroutine[None, None, None]]:
    if spec.mqtt_url is None:
        return []
    outbox = MqttOutbox(spec.mqtt_url, spec.mqtt_client_id)
    fleet = MeterFleet(
        metered,
        outbox=outbox,
        clock=clock,
        cadence_s=spec.meter_cadence_s,
        silent=spec.silent_meters,
        silences=spec.silences,
        record=record,
    )
    fleet.paused = spec.all_meters_silent
    return [outbox.run(), fleet.run()]


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


def cells_of(portfolio: Portfolio, sources: Mapping[str, LoadSource] | None = None) -> dict[str, Temperature]:
    """The climate of each cell: that of its first building's load source, by default its load model."""
    loads = load_sources(portfolio) if sources is None else sources
    cells: dict[str, Temperature] = {}
    for entry in portfolio.facilities:
        cells.setdefault(entry.weather_cell, loads[entry.facility_id].temperature_c)
    return cells


def weather_places_of(portfolio: Portfolio) -> dict[str, WeatherPlace]:
    """The coordinates of each cell that has any, since WeatherAPI.com has no cells."""
    return places_of(
        (entry.weather_cell, WeatherPlace(latitude=entry.latitude, longitude=entry.longitude, tz=entry.tz))
        for entry in portfolio.facilities
        if entry.latitude is not None and entry.longitude is not None
    )


def callback_secret_ref(portfolio: Portfolio) -> str | None:
    """The callback secret of the first utility that has one."""
    refs = (utility.callback_secret_ref for utility in portfolio.utilities)
    return next((ref for ref in refs if ref is not None), None)
