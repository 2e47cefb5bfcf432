"""BuildingControl without a network: the simulated buildings' state machine, called directly."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Literal
from uuid import UUID

from application.ports.building_control import (
    BmsAnswerInvalid,
    BmsConnection,
    BmsRefused,
    BmsTimedOut,
    BmsUnreachable,
    CommandReceipt,
    CommandStatus,
    ZoneCommand,
    ZoneState,
)
from application.ports.clock import Clock
from interfaces.simulators.building import Building, Refusal

PlannedFault = Literal["time_out", "unreachable", "refuse", "lost_answer", "invalid_answer"]


class FakeBuildingControl:
    """Executes on `Building`s in this process; `fail_next` plans what goes wrong with a facility's next calls."""

    def __init__(self, buildings: Iterable[Building], *, clock: Clock) -> None:
        self._buildings = {building.facility_id: building for building in buildings}
        self._clock = clock
        self._planned: defaultdict[str, list[PlannedFault]] = defaultdict(list)
        self.sent: list[ZoneCommand] = []
        """Every command that reached a BMS, executed or not, in order."""

    def fail_next(self, facility_id: str, *faults: PlannedFault) -> None:
        """The next calls (of any kind) to that facility fail so, one fault a call."""
        self._planned[facility_id] += faults

    async def execute(self, connection: BmsConnection, command: ZoneCommand) -> CommandReceipt:
        if command.phase == "restore" and command.restore_to is None:
            raise ValueError("a restore command needs restore_to, the setpoint that prepare reported")
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

    async def command_status(self, connection: BmsConnection, command_id: UUID) -> CommandStatus:
        fault = self._fault_before(connection)
        status = self._building(connection).command_status(command_id, self._clock.now())
        self._fault_after(fault)
        return status

    async def zone_state(self, connection: BmsConnection, zone_id: str) -> ZoneState:
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
