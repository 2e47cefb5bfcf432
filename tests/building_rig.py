"""Rigs for the contract of BuildingControl: the fake, the simulation's network, and SOAP against a served building.

`scenario_runner` runs a scenario on one of them, for both suites of tests/contract/test_building_control*.py.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import uuid4

from adapters.bms.soap import SoapBuildingControl
from adapters.clock import SystemClock
from application.facility.portfolio_entries import BmsProfile, ZoneEntry
from application.ports.dispatch.building_control import (
    BmsConnection,
    BuildingControl,
    Setpoint,
    ZoneCommand,
)
from interfaces.simulators.bms.building import Building
from interfaces.simulators.bms.journal import JournalEntry
from interfaces.simulators.bms.server import BmsServer, create_bms_app
from interfaces.simulators.http_host import hosted
from tests.fakes.dispatch.building_control import FakeBuildingControl
from tests.fakes.dispatch.call_slots import FakeCallSlots
from tests.sample_values import THIS_MACHINE
from tests.simulation.doubles.bms_network import BmsNetwork, SimulatedBms
from tests.simulation.doubles.building_control import SimulatedBuildingControl
from tests.simulation.event_trace import EventTrace
from tests.simulation.scenario.fault_injection import FaultInjector

CLOCK = SystemClock()
ZONES = (
    ZoneEntry(zone_id="hall", curtailable_kw=90.0, max_magnitude=3.0),
    ZoneEntry(zone_id="lights", curtailable_kw=40.0, strategy="shed_level", max_magnitude=50.0),
    ZoneEntry(zone_id="foyer", curtailable_kw=30.0, max_magnitude=-3.0, lower_comfort_limit_c=18.0),
)
DR_EVENT = uuid4()
NORMAL = Setpoint(value=22.0, unit="celsius")


@dataclass
class Rig:
    """One building behind the BuildingControl under test."""

    control: BuildingControl
    connection: BmsConnection
    building: Building
    journal: list[JournalEntry]


def order(phase: str, **changes: Any) -> ZoneCommand:
    values: dict[str, Any] = {
        "command_id": uuid4(),
        "dr_event_id": DR_EVENT,
        "facility_id": "fac-001",
        "zone_id": "hall",
        "phase": phase,
        "plan_revision": 1,
        "round": 0,
        "strategy": "setpoint_offset",
        "magnitude": 2.0 if phase in ("prepare", "commit") else 0.0,
        "restore_to": NORMAL if phase == "restore" else None,
        "previous": NORMAL if phase in ("commit", "restore") else None,
        "expires_at": datetime.now(UTC) + timedelta(hours=2),
    }
    return ZoneCommand(**(values | changes))


@contextlib.asynccontextmanager
async def fake_rig(profile: BmsProfile) -> AsyncIterator[Rig]:
    journal: list[JournalEntry] = []
    building = Building("fac-001", ZONES, record=journal.append, profile=profile)
    control = FakeBuildingControl([building], clock=CLOCK)
    connection = BmsConnection(facility_id="fac-001", address="fake://fac-001", profile=profile)
    yield Rig(control, connection, building, journal)
    await control.aclose()


@contextlib.asynccontextmanager
async def soap_rig(profile: BmsProfile) -> AsyncIterator[Rig]:
    journal: list[JournalEntry] = []
    building = Building("fac-001", ZONES, record=journal.append, profile=profile)
    server = BmsServer({"fac-001": building}, clock=CLOCK, passwords={"fac-001": b"sesame"})
    control = SoapBuildingControl(
        clock=CLOCK, secret={"env:BMS": b"sesame"}.__getitem__, networks=THIS_MACHINE, slots=FakeCallSlots()
    )
    async with hosted(create_bms_app(server), "127.0.0.1:0") as url:
        connection = BmsConnection(
            facility_id="fac-001",
            address=f"{url}/buildings/fac-001/bms",
            profile=profile,
            credentials_ref="env:BMS",
        )
        yield Rig(control, connection, building, journal)
        await control.aclose()


@contextlib.asynccontextmanager
async def simulated_rig(profile: BmsProfile) -> AsyncIterator[Rig]:
    """The replacement for SOAP in fault storms, without faults."""
    journal: list[JournalEntry] = []
    building = Building("fac-001", ZONES, record=journal.append, profile=profile)
    network = BmsNetwork(
        {"fac-001": SimulatedBms(building, slow_s=0.0)},
        CLOCK,
        FaultInjector(Random(0), {}, EventTrace(CLOCK.now)),
        Random(0),
    )
    control = SimulatedBuildingControl(network, CLOCK)
    connection = BmsConnection(facility_id="fac-001", address="sim://fac-001", profile=profile)
    yield Rig(control, connection, building, journal)
    await control.aclose()


RIGS = {"fake": fake_rig, "simulated": simulated_rig, "soap": soap_rig}
PROFILES: tuple[BmsProfile, ...] = ("two_phase", "single_phase")
Scenario = Callable[[Rig], Awaitable[None]]
RunScenario = Callable[..., None]


def scenario_runner(rig_name: str, default: BmsProfile) -> RunScenario:
    """A function that runs a scenario on one of the rigs."""

    def run_scenario(scenario: Scenario, profile: BmsProfile = default) -> None:
        async def run() -> None:
            async with RIGS[rig_name](profile) as rig:
                await scenario(rig)

        asyncio.run(run())

    return run_scenario
