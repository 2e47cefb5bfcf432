"""BuildingControl over the simulated buildings' state machine, by a network that each call passes.

A single-phase building is read and written by the adapter's own read-back protocol, without SOAP.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Literal, Protocol, TypeVar
from uuid import UUID

from adapters.bms.single_phase import ReadSetpoint, SinglePhase
from application.ports.clock import Clock
from application.ports.dispatch.building_control import (
    BmsAnswerInvalid,
    BmsConnection,
    BmsRefused,
    BmsTimedOut,
    BmsUnreachable,
    CommandReceipt,
    CommandStatus,
    Setpoint,
    ZoneCommand,
    ZoneState,
)
from interfaces.simulators.bms.building import Building, Refusal
from interfaces.simulators.bms.setpoint_messages import cause_of

PlannedFault = Literal["time_out", "unreachable", "refuse", "lost_answer", "invalid_answer"]
TAnswer = TypeVar("TAnswer")


class Network(Protocol):
    """Between a worker and the BMSs."""

    async def call(
        self,
        connection: BmsConnection,
        operation: str,
        command_id: UUID | None,
        act: Callable[[Building, datetime], TAnswer],
    ) -> TAnswer:
        """Let the building of `connection` `act`. Raises BmsError, BmsRefused for its Refusal."""
        ...


class NetworkBuildingControl:
    """BuildingControl of which each call passes a network."""

    def __init__(self, network: Network, clock: Clock) -> None:
        self._network = network
        self._single_phase = SinglePhase(NetworkSetpoints(network), clock)

    async def execute(self, connection: BmsConnection, command: ZoneCommand) -> CommandReceipt:
        if command.phase == "restore" and command.restore_to is None:
            raise ValueError("a restore command needs restore_to, the setpoint that prepare reported")
        if connection.profile == "single_phase":
            self._note_sent(command)
            return await self._single_phase.execute(connection, command)

        def done(building: Building, now: datetime) -> CommandReceipt:
            self._note_sent(command)
            if command.facility_id != building.facility_id:
                raise BmsRefused("wrong_building", f"this is the BMS of {building.facility_id}")
            return building.execute(command, now)

        return await self._network.call(connection, command.phase, command.command_id, done)

    async def command_status(self, connection: BmsConnection, command: ZoneCommand) -> CommandStatus:
        if connection.profile == "single_phase":
            return await self._single_phase.command_status(connection, command)
        command_id = command.command_id
        return await self._network.call(
            connection, "status", command_id, lambda building, now: building.command_status(command_id, now)
        )

    async def zone_state(self, connection: BmsConnection, zone_id: str) -> ZoneState:
        if connection.profile == "single_phase":
            return await self._single_phase.zone_state(connection, zone_id)
        return await self._network.call(
            connection, "state", None, lambda building, now: building.zone_state(zone_id, now)
        )

    async def aclose(self) -> None:
        """Nothing is open."""

    def _note_sent(self, command: ZoneCommand) -> None:
        """Called for each command that reaches a BMS."""


class NetworkSetpoints:
    """The setpoints of a single-phase BMS: read, or written with or without an expiry."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def read(self, connection: BmsConnection, zone_id: str, *, urgent: bool = True) -> ReadSetpoint:
        def read(building: Building, now: datetime) -> ReadSetpoint:
            found = building.read_setpoint(zone_id, now)
            return ReadSetpoint(setpoint=found.setpoint, changed_at=found.changed_at, until=found.until)

        return await self._network.call(connection, "read", None, read)

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

        operation = "restore" if until is None else "commit"
        await self._network.call(connection, operation, cause.command_id, written)


class FakeBuildingControl(NetworkBuildingControl):
    """Calls `Building`s in this process; `fail_next` plans the faults of a facility's next calls."""

    def __init__(self, buildings: Iterable[Building], *, clock: Clock) -> None:
        self._direct = DirectNetwork(buildings, clock)
        super().__init__(self._direct, clock)
        self.sent: list[ZoneCommand] = []
        """Every command that reached a BMS, executed or not, in order."""

    def fail_next(self, facility_id: str, *faults: PlannedFault) -> None:
        """The next calls (of any kind) to that facility fail, with one fault per call."""
        self._direct.planned[facility_id] += faults

    async def aclose(self) -> None:
        self._direct.buildings.clear()

    def _note_sent(self, command: ZoneCommand) -> None:
        self.sent.append(command)


class DirectNetwork:
    """Calls the buildings at once, with planned faults."""

    def __init__(self, buildings: Iterable[Building], clock: Clock) -> None:
        self.buildings = {building.facility_id: building for building in buildings}
        self.planned: defaultdict[str, list[PlannedFault]] = defaultdict(list)
        self._clock = clock

    async def call(
        self,
        connection: BmsConnection,
        operation: str,
        command_id: UUID | None,
        act: Callable[[Building, datetime], TAnswer],
    ) -> TAnswer:
        planned = self.planned[connection.facility_id]
        fault = planned.pop(0) if planned else None
        if fault == "unreachable" or connection.facility_id not in self.buildings:
            raise BmsUnreachable(f"no BMS at {connection.address}")
        if fault == "time_out":
            raise BmsTimedOut("planned by the test")
        if fault == "refuse":
            raise BmsRefused("local_override", "planned by the test")
        try:
            answer = act(self.buildings[connection.facility_id], self._clock.now())
        except Refusal as refusal:
            raise BmsRefused(refusal.code, refusal.reason) from refusal
        if fault == "lost_answer":
            raise BmsTimedOut("planned by the test: the answer was lost")
        if fault == "invalid_answer":
            raise BmsAnswerInvalid("planned by the test")
        return answer
