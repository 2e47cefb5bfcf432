"""BuildingControl without a network: calls the simulated buildings' state machine directly.

A single-phase building is read and written by the adapter's own read-back protocol, without SOAP.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Literal

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


class FakeBuildingControl:
    """Executes on `Building`s in this process; `fail_next` plans the faults of a facility's next calls."""

    def __init__(self, buildings: Iterable[Building], *, clock: Clock) -> None:
        self._buildings = {building.facility_id: building for building in buildings}
        self._clock = clock
        self._planned: defaultdict[str, list[PlannedFault]] = defaultdict(list)
        self.sent: list[ZoneCommand] = []
        """Every command that reached a BMS, executed or not, in order."""
        self._single_phase = SinglePhase(_BuildingSetpoints(self), clock)

    def fail_next(self, facility_id: str, *faults: PlannedFault) -> None:
        """The next calls (of any kind) to that facility fail, with one fault per call."""
        self._planned[facility_id] += faults

    async def execute(self, connection: BmsConnection, command: ZoneCommand) -> CommandReceipt:
        if command.phase == "restore" and command.restore_to is None:
            raise ValueError("a restore command needs restore_to, the setpoint that prepare reported")
        if connection.profile == "single_phase":
            self.sent.append(command)
            return await self._single_phase.execute(connection, command)
        fault = self._fault_before(connection)
        self.sent.append(command)
        if command.facility_id != connection.facility_id:
            raise BmsRefused("wrong_building", f"this is the BMS of {connection.facility_id}")
        try:
            receipt = self._building(connection).execute(command, self._clock.now())
        except Refusal as refusal:
            raise BmsRefused(refusal.code, refusal.reason) from refusal
        self._fault_after(fault)
        return receipt

    async def command_status(self, connection: BmsConnection, command: ZoneCommand) -> CommandStatus:
        if connection.profile == "single_phase":
            return await self._single_phase.command_status(connection, command)
        fault = self._fault_before(connection)
        status = self._building(connection).command_status(command.command_id, self._clock.now())
        self._fault_after(fault)
        return status

    async def zone_state(self, connection: BmsConnection, zone_id: str) -> ZoneState:
        if connection.profile == "single_phase":
            return await self._single_phase.zone_state(connection, zone_id)
        fault = self._fault_before(connection)
        try:
            state = self._building(connection).zone_state(zone_id, self._clock.now())
        except Refusal as refusal:
            raise BmsRefused(refusal.code, refusal.reason) from refusal
        self._fault_after(fault)
        return state

    async def aclose(self) -> None:
        self._buildings = {}

    def _building(self, connection: BmsConnection) -> Building:
        if connection.facility_id not in self._buildings:
            raise BmsUnreachable(f"no BMS at {connection.address}")
        return self._buildings[connection.facility_id]

    def _fault_before(self, connection: BmsConnection) -> PlannedFault | None:
        """Raises for a fault in which the BMS does nothing."""
        planned = self._planned[connection.facility_id]
        fault = planned.pop(0) if planned else None
        if fault == "unreachable":
            raise BmsUnreachable("planned by the test")
        if fault == "time_out":
            raise BmsTimedOut("planned by the test")
        if fault == "refuse":
            raise BmsRefused("local_override", "planned by the test")
        return fault

    @staticmethod
    def _fault_after(fault: PlannedFault | None) -> None:
        """Raises for a fault in which the BMS has done the work."""
        if fault == "lost_answer":
            raise BmsTimedOut("planned by the test: the answer was lost")
        if fault == "invalid_answer":
            raise BmsAnswerInvalid("planned by the test")

    def read_now(self, connection: BmsConnection, zone_id: str) -> ReadSetpoint:
        """One call of a single-phase BMS that reads."""
        fault = self._fault_before(connection)
        try:
            found = self._building(connection).read_setpoint(zone_id, self._clock.now())
        except Refusal as refusal:
            raise BmsRefused(refusal.code, refusal.reason) from refusal
        self._fault_after(fault)
        return ReadSetpoint(setpoint=found.setpoint, changed_at=found.changed_at, until=found.until)

    def write_now(
        self,
        connection: BmsConnection,
        zone_id: str,
        setpoint: Setpoint,
        *,
        until: datetime | None,
        reference: str,
    ) -> None:
        """One call of a single-phase BMS that writes."""
        fault = self._fault_before(connection)
        try:
            self._building(connection).write_setpoint(
                zone_id, setpoint, until, cause_of(reference), self._clock.now()
            )
        except Refusal as refusal:
            raise BmsRefused(refusal.code, refusal.reason) from refusal
        self._fault_after(fault)


class _BuildingSetpoints:
    """Setpoints of the buildings of a FakeBuildingControl, with its planned faults."""

    def __init__(self, control: FakeBuildingControl) -> None:
        self._control = control

    async def read(self, connection: BmsConnection, zone_id: str, *, urgent: bool = True) -> ReadSetpoint:
        return self._control.read_now(connection, zone_id)

    async def write(
        self,
        connection: BmsConnection,
        zone_id: str,
        setpoint: Setpoint,
        *,
        until: datetime | None,
        reference: str,
    ) -> None:
        self._control.write_now(connection, zone_id, setpoint, until=until, reference=reference)
