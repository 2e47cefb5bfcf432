"""BuildingControl over simulated BMSs: by commands, or by written setpoints for single-phase BMSs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from application.ports.clock import Clock
from application.ports.dispatch.building_control import (
    BmsConnection,
    BmsRefused,
    CommandReceipt,
    CommandStatus,
    Setpoint,
    ZoneCommand,
    ZoneState,
)
from interfaces.simulators.bms.building import Building
from interfaces.simulators.bms.setpoint_messages import cause_of
from tests.simulation.doubles.bms_network import BmsNetwork, Breakers, GuardedNetwork


class BmsCommands(Protocol):
    """The methods of BuildingControl that send a command or read a state."""

    async def execute(self, connection: BmsConnection, command: ZoneCommand) -> CommandReceipt: ...
    async def command_status(self, connection: BmsConnection, command: ZoneCommand) -> CommandStatus: ...
    async def zone_state(self, connection: BmsConnection, zone_id: str) -> ZoneState: ...


SinglePhaseControl = Callable[[Any, Clock], BmsCommands]
"""Makes the product's own read-back protocol over an object that reads and writes setpoints."""
MakeBreakers = Callable[[Clock, Callable[[str, str], None]], Breakers]
"""Makes the product's own breakers; the listener gets each BMS's new state."""


class BmsAdapter(msgspec.Struct, frozen=True):
    """The product code between a worker and the simulated BMSs. Module functions, so that it can be pickled."""

    single_phase: SinglePhaseControl
    breakers: MakeBreakers

    def control(
        self, network: BmsNetwork, clock: Clock, breaker_changed: Callable[[str, str], None]
    ) -> SimulatedBuildingControl:
        """The building control of one process."""
        guarded = GuardedNetwork(network, self.breakers(clock, breaker_changed))
        return SimulatedBuildingControl(guarded, self.single_phase(SimulatedSetpoints(guarded), clock))


@dataclass
class SimulatedBuildingControl:
    """BuildingControl. `single_phase` serves the buildings of that profile."""

    network: BmsNetwork | GuardedNetwork
    single_phase: BmsCommands | None = None

    async def execute(self, connection: BmsConnection, command: ZoneCommand) -> CommandReceipt:
        if command.phase == "restore" and command.restore_to is None:
            raise ValueError("a restore command needs restore_to, the setpoint that prepare reported")
        if self.single_phase is not None and connection.profile == "single_phase":
            return await self.single_phase.execute(connection, command)

        def done(building: Building, now: datetime) -> CommandReceipt:
            if command.facility_id != building.facility_id:
                raise BmsRefused("wrong_building", f"this is the BMS of {building.facility_id}")
            return building.execute(command, now)

        return await self.network.call(connection, command.phase, command.command_id, done)

    async def command_status(self, connection: BmsConnection, command: ZoneCommand) -> CommandStatus:
        if self.single_phase is not None and connection.profile == "single_phase":
            return await self.single_phase.command_status(connection, command)
        command_id = command.command_id
        status = await self.network.call(
            connection, "status", command_id, lambda building, now: building.command_status(command_id, now)
        )
        # Only a BMS that deduplicates may report an unknown status without a repeat being executed twice.
        if self.network.bms[connection.facility_id].deduplicates and self._lies(connection):
            return CommandStatus(command_id=command_id, state="unknown")
        return status

    async def zone_state(self, connection: BmsConnection, zone_id: str) -> ZoneState:
        if self.single_phase is not None and connection.profile == "single_phase":
            return await self.single_phase.zone_state(connection, zone_id)
        state = await self.network.call(
            connection, "state", None, lambda building, now: building.zone_state(zone_id, now)
        )
        return replace(state, curtailed=not state.curtailed) if self._lies(connection) else state

    async def aclose(self) -> None:
        """Nothing is open."""

    def _lies(self, connection: BmsConnection) -> bool:
        return self.network.has(connection.facility_id, "lies")


@dataclass(frozen=True)
class SimulatedSetpoints:
    """A single-phase BMS: a setpoint is read, or written with or without an expiry."""

    network: BmsNetwork | GuardedNetwork

    async def read(self, connection: BmsConnection, zone_id: str, *, urgent: bool = True) -> Any:
        """A SetpointReading, with the attributes of the adapter's own ReadSetpoint."""
        return await self.network.call(
            connection, "read", None, lambda building, now: building.read_setpoint(zone_id, now)
        )

    async def write(
        self,
        connection: BmsConnection,
        zone_id: str,
        setpoint: Setpoint,
        *,
        until: datetime | None,
        reference: str,
    ) -> None:
        cause = cause_of(reference)

        def written(building: Building, now: datetime) -> None:
            building.write_setpoint(zone_id, setpoint, until, cause, now)

        await self.network.call(
            connection, "restore" if until is None else "commit", cause.command_id, written
        )
