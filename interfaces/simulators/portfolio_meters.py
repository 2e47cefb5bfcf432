"""Runs only the meters of a portfolio's buildings, without the rest of the world."""

import asyncio
from pathlib import Path

from application.ports.clock import Clock
from interfaces.simulators.bms.building import Building
from interfaces.simulators.meters.meters import MeteredBuilding, MeterFleet
from interfaces.simulators.meters.mqtt_outbox import MqttOutbox
from interfaces.simulators.world import load_sources
from interfaces.simulators.world_spec import read_portfolio

CLIENT_ID = "gridproof-meters"


async def run_meters(
    portfolio_file: Path, url: str, stop: asyncio.Event, *, clock: Clock, cadence_s: float
) -> None:
    """Publish every building's load to the broker at `url` until `stop`. Raises InvalidWorld."""
    portfolio = read_portfolio(portfolio_file)
    sources = load_sources(portfolio)
    outbox = MqttOutbox(url, CLIENT_ID)
    metered = [
        MeteredBuilding(
            Building.of(entry, record=_discard),
            sources[entry.facility_id],
            [meter.meter_id for meter in entry.meters],
        )
        for entry in portfolio.facilities
        if entry.meters
    ]
    fleet = MeterFleet(metered, outbox=outbox, clock=clock, cadence_s=cadence_s)
    work = [asyncio.create_task(outbox.run()), asyncio.create_task(fleet.run())]
    stopped = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait({stopped, *work}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopped}:
            task.result()
    finally:
        for task in (*work, stopped):
            task.cancel()
        await asyncio.gather(*work, stopped, return_exceptions=True)


def _discard(_entry: object) -> None:
    """Discards journal entries: there is no BMS."""
