"""Commands for a BMS that supports them: contract `building_control`, prepare and commit by command id."""

from typing import Any
from uuid import UUID

from adapters.bms.codec import SoapCodec
from adapters.bms.messages import TWO_PHASE
from adapters.bms.soap_client import SoapCall
from application.ports.dispatch.building_control import (
    BmsAnswerInvalid,
    BmsConnection,
    CommandReceipt,
    CommandStatus,
    Phase,
    Setpoint,
    ZoneCommand,
    ZoneState,
)

OPERATIONS: dict[Phase, str] = {
    "prepare": "PrepareCommand",
    "commit": "CommitCommand",
    "abort": "AbortCommand",
    "restore": "RestoreZone",
}


class TwoPhase:
    """A SOAP call for each call of the port."""

    def __init__(self, call: SoapCall) -> None:
        self._call = call
        self._codec = SoapCodec(TWO_PHASE)

    async def execute(self, connection: BmsConnection, command: ZoneCommand) -> CommandReceipt:
        operation, values = OPERATIONS[command.phase], request_values(command)
        return receipt_of(command, await self._call(connection, self._codec, operation, values))

    async def command_status(self, connection: BmsConnection, command: ZoneCommand) -> CommandStatus:
        values = {"commandId": str(command.command_id)}
        answer = await self._call(connection, self._codec, "GetCommandStatus", values)
        return status_of(command.command_id, answer)

    async def zone_state(self, connection: BmsConnection, zone_id: str) -> ZoneState:
        answer = await self._call(connection, self._codec, "GetZoneState", {"zoneId": zone_id}, urgent=False)
        return zone_state_of(zone_id, answer)


def request_values(command: ZoneCommand) -> dict[str, Any]:
    """The request of `command`. Raises ValueError for a restore without a setpoint to restore."""
    values: dict[str, Any] = {
        "commandId": str(command.command_id),
        "drEventId": str(command.dr_event_id),
        "facilityId": command.facility_id,
        "zoneId": command.zone_id,
        "planRevision": command.plan_revision,
        "round": command.round,
        "strategy": command.strategy,
        "expiresAt": command.expires_at,
    }
    if command.phase in ("prepare", "commit"):
        values["magnitude"] = command.magnitude
    if command.phase == "restore":
        if command.restore_to is None:
            raise ValueError("a restore command needs restore_to, the setpoint that prepare reported")
        values["restoreTo"] = {"value": command.restore_to.value, "unit": command.restore_to.unit}
    return values


def receipt_of(command: ZoneCommand, answer: Any) -> CommandReceipt:
    """Raises BmsAnswerInvalid where the receipt is of another command."""
    receipt = _receipt(answer)
    requested = (command.command_id, command.zone_id, command.phase)
    if (receipt.command_id, receipt.zone_id, receipt.phase) != requested:
        raise BmsAnswerInvalid(f"the receipt is of another command: {receipt.command_id}")
    return receipt


def status_of(command_id: UUID, answer: Any) -> CommandStatus:
    """Raises BmsAnswerInvalid where the status is of another command, or lacks its receipt."""
    if UUID(answer.commandId) != command_id:
        raise BmsAnswerInvalid(f"the status is of another command: {answer.commandId}")
    receipt = None if answer.receipt is None else _receipt(answer.receipt)
    if (receipt is not None) != (answer.state == "executed"):
        raise BmsAnswerInvalid(f"state {answer.state} contradicts its receipt")
    if receipt is not None and receipt.command_id != command_id:
        raise BmsAnswerInvalid(f"the receipt is of another command: {receipt.command_id}")
    return CommandStatus(command_id=command_id, state=answer.state, receipt=receipt)


def zone_state_of(zone_id: str, answer: Any) -> ZoneState:
    """Raises BmsAnswerInvalid where the state is of another zone."""
    if answer.zoneId != zone_id:
        raise BmsAnswerInvalid(f"the state is of another zone: {answer.zoneId}")
    return ZoneState(
        zone_id=zone_id,
        setpoint=_setpoint(answer.setpoint),
        curtailed=answer.curtailed,
        active_command_id=None if answer.activeCommandId is None else UUID(answer.activeCommandId),
    )


def _receipt(answer: Any) -> CommandReceipt:
    return CommandReceipt(
        command_id=UUID(answer.commandId),
        zone_id=answer.zoneId,
        phase=answer.phase,
        executed_at=answer.executedAt,
        setpoint=_setpoint(answer.setpoint),
        repeated=answer.repeated,
    )


def _setpoint(answer: Any) -> Setpoint:
    return Setpoint(value=answer.value, unit=answer.unit)
