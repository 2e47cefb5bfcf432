"""BuildingControl over the simulated network, whose BMSs may lie."""

from __future__ import annotations

from msgspec.structs import replace

from application.ports.clock import Clock
from application.ports.dispatch.building_control import BmsConnection, CommandStatus, ZoneCommand, ZoneState
from tests.fakes.dispatch.building_control import NetworkBuildingControl
from tests.simulation.doubles.bms_network import BmsNetwork, GuardedNetwork


class SimulatedBuildingControl(NetworkBuildingControl):
    """The building control of one process."""

    def __init__(self, network: BmsNetwork | GuardedNetwork, clock: Clock) -> None:
        super().__init__(network, clock)
        self._simulated = network

    async def command_status(self, connection: BmsConnection, command: ZoneCommand) -> CommandStatus:
        status = await super().command_status(connection, command)
        # Only a BMS that deduplicates may report an unknown status without a repeat being executed twice.
        if self._simulated.bms[connection.facility_id].deduplicates and self._lies(connection):
            return CommandStatus(command_id=command.command_id, state="unknown")
        return status

    async def zone_state(self, connection: BmsConnection, zone_id: str) -> ZoneState:
        state = await super().zone_state(connection, zone_id)
        return replace(state, curtailed=not state.curtailed) if self._lies(connection) else state

    def _lies(self, connection: BmsConnection) -> bool:
        return connection.profile != "single_phase" and self._simulated.has(connection.facility_id, "lies")
