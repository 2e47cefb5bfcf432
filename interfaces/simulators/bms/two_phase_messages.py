"""The server side of the two-phase contract: parses requests and writes answers with lxml and the contract's XSD."""

from dataclasses import dataclass
from datetime import datetime
from typing import cast
from uuid import UUID

from lxml import etree

from application.ports.dispatch.building_control import (
    CommandReceipt,
    CommandStatus,
    ControlStrategy,
    Phase,
    Setpoint,
    SetpointUnit,
    ZoneCommand,
    ZoneState,
)
from interfaces.simulators.bms.building import Refusal, UnknownZone
from interfaces.simulators.bms.soap_envelope import InvalidRequest, envelope, fault, valid_body

CONTRACT = "urn:gridproof:bms:1"

_PHASES: dict[str, Phase] = {
    "PrepareCommand": "prepare",
    "CommitCommand": "commit",
    "AbortCommand": "abort",
    "RestoreZone": "restore",
}
_OPERATIONS: dict[Phase, str] = {phase: operation for operation, phase in _PHASES.items()}


@dataclass(frozen=True)
class StatusRequest:
    """GetCommandStatus."""

    command_id: UUID


@dataclass(frozen=True)
class StateRequest:
    """GetZoneState."""

    zone_id: str


Request = ZoneCommand | StatusRequest | StateRequest


def read_request(payload: bytes) -> Request:
    """Raises InvalidRequest."""
    element = valid_body(payload, "building_control.xsd")
    name = etree.QName(element).localname
    if name == "GetCommandStatus":
        return StatusRequest(UUID(_text(element, "commandId")))
    if name == "GetZoneState":
        return StateRequest(_text(element, "zoneId"))
    if name not in _PHASES:
        raise InvalidRequest(f"{name} is not an operation")
    return _command(element, _PHASES[name])


def _text(element: etree._Element, name: str) -> str:
    return cast(str, element.findtext(f"{{{CONTRACT}}}{name}"))


def _command(element: etree._Element, phase: Phase) -> ZoneCommand:
    restore_to = element.find(f"{{{CONTRACT}}}restoreTo")
    return ZoneCommand(
        command_id=UUID(_text(element, "commandId")),
        dr_event_id=UUID(_text(element, "drEventId")),
        facility_id=_text(element, "facilityId"),
        zone_id=_text(element, "zoneId"),
        phase=phase,
        plan_revision=int(_text(element, "planRevision")),
        round=int(_text(element, "round")),
        strategy=cast(ControlStrategy, _text(element, "strategy")),
        magnitude=float(_text(element, "magnitude")) if phase in ("prepare", "commit") else 0.0,
        restore_to=None if restore_to is None else _setpoint_in(restore_to),
        expires_at=datetime.fromisoformat(_text(element, "expiresAt")),
    )


def _setpoint_in(element: etree._Element) -> Setpoint:
    unit = cast(SetpointUnit, _text(element, "unit"))
    return Setpoint(value=float(_text(element, "value")), unit=unit)


def receipt_answer(receipt: CommandReceipt) -> bytes:
    answer = _element(f"{_OPERATIONS[receipt.phase]}Response")
    _write_receipt(answer, receipt)
    return envelope(answer)


def status_answer(status: CommandStatus) -> bytes:
    answer = _element("GetCommandStatusResponse")
    _write(answer, commandId=str(status.command_id), state=status.state)
    if status.receipt is not None:
        _write_receipt(etree.SubElement(answer, f"{{{CONTRACT}}}receipt"), status.receipt)
    return envelope(answer)


def state_answer(state: ZoneState) -> bytes:
    answer = _element("GetZoneStateResponse")
    _write(answer, zoneId=state.zone_id)
    _write_setpoint(answer, state.setpoint)
    _write(answer, curtailed=str(state.curtailed).lower())
    if state.active_command_id is not None:
        _write(answer, activeCommandId=str(state.active_command_id))
    return envelope(answer)


def refusal_fault(refusal: Refusal) -> bytes:
    if isinstance(refusal, UnknownZone):
        detail = _element("UnknownZoneFault")
        _write(detail, zoneId=refusal.zone_id, reason=refusal.reason[:500])
    else:
        detail = _element("RefusedFault")
        _write(detail, code=refusal.code, reason=refusal.reason[:500])
    return fault("soap:Server", refusal.reason, detail)


def invalid_request_fault(error: InvalidRequest) -> bytes:
    detail = _element("InvalidRequestFault")
    _write(detail, reason=str(error)[:500])
    return fault("soap:Client", "the request is not valid", detail)


def invalid_answer() -> bytes:
    """An answer that a client must reject: a receipt of a phase that does not exist."""
    answer = _element("PrepareCommandResponse")
    _write(answer, phase="celebrate")
    return envelope(answer)


def _element(name: str) -> etree._Element:
    return etree.Element(f"{{{CONTRACT}}}{name}", nsmap={"bms": CONTRACT})


def _write(parent: etree._Element, **values: str) -> None:
    for name, value in values.items():
        etree.SubElement(parent, f"{{{CONTRACT}}}{name}").text = value


def _write_setpoint(parent: etree._Element, setpoint: Setpoint) -> None:
    element = etree.SubElement(parent, f"{{{CONTRACT}}}setpoint")
    _write(element, value=repr(setpoint.value), unit=setpoint.unit)


def _write_receipt(parent: etree._Element, receipt: CommandReceipt) -> None:
    _write(
        parent,
        commandId=str(receipt.command_id),
        zoneId=receipt.zone_id,
        phase=receipt.phase,
        executedAt=receipt.executed_at.isoformat(),
    )
    _write_setpoint(parent, receipt.setpoint)
    _write(parent, repeated=str(receipt.repeated).lower())
