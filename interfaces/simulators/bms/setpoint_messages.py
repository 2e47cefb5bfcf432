"""The server side of the single-phase contract: messages that read and write setpoints."""

from dataclasses import dataclass
from datetime import datetime
from typing import cast
from uuid import UUID

from lxml import etree

from application.ports.dispatch.building_control import Setpoint, SetpointUnit
from interfaces.simulators.bms.building import Refusal, SetpointReading, WriteCause
from interfaces.simulators.bms.soap_envelope import InvalidRequest, envelope, fault, valid_body

CONTRACT = "urn:gridproof:bms:setpoints:1"


@dataclass(frozen=True)
class ReadRequest:
    zone_id: str


@dataclass(frozen=True, kw_only=True)
class WriteRequest:
    zone_id: str
    setpoint: Setpoint
    until: datetime | None
    cause: WriteCause


def read_request(payload: bytes) -> ReadRequest | WriteRequest:
    """Raises InvalidRequest."""
    element = valid_body(payload, "setpoint_control.xsd")
    name = etree.QName(element).localname
    zone_id = _text(element, "zoneId")
    if name == "ReadSetpoint":
        return ReadRequest(zone_id)
    if name != "WriteSetpoint":
        raise InvalidRequest(f"{name} is not an operation")
    setpoint = cast(etree._Element, element.find(f"{{{CONTRACT}}}setpoint"))
    until = element.findtext(f"{{{CONTRACT}}}until")
    return WriteRequest(
        zone_id=zone_id,
        setpoint=Setpoint(
            value=float(_text(setpoint, "value")), unit=cast(SetpointUnit, _text(setpoint, "unit"))
        ),
        until=None if until is None else datetime.fromisoformat(until),
        cause=cause_of(_text(element, "reference")),
    )


def reading_answer(reading: SetpointReading) -> bytes:
    answer = _element("ReadSetpointResponse")
    _write(answer, "zoneId", reading.zone_id)
    setpoint = etree.SubElement(answer, f"{{{CONTRACT}}}setpoint")
    _write(setpoint, "value", repr(reading.setpoint.value))
    _write(setpoint, "unit", reading.setpoint.unit)
    _write(answer, "changedAt", reading.changed_at.isoformat())
    if reading.until is not None:
        _write(answer, "until", reading.until.isoformat())
    return envelope(answer)


def write_answer(zone_id: str) -> bytes:
    answer = _element("WriteSetpointResponse")
    _write(answer, "zoneId", zone_id)
    return envelope(answer)


def refusal_fault(refusal: Refusal) -> bytes:
    detail = _element("RefusedFault")
    _write(detail, "code", refusal.code)
    _write(detail, "reason", refusal.reason[:500])
    return fault("soap:Server", refusal.reason, detail)


def invalid_request_fault(error: InvalidRequest) -> bytes:
    detail = _element("InvalidRequestFault")
    _write(detail, "reason", str(error)[:500])
    return fault("soap:Client", "the request is not valid", detail)


def invalid_answer() -> bytes:
    """An answer that a client must reject: a reading without a setpoint."""
    answer = _element("ReadSetpointResponse")
    _write(answer, "zoneId", "hall")
    return envelope(answer)


def cause_of(reference: str) -> WriteCause:
    """The cause that a reference encodes; an empty one for references of another form."""
    parts = reference.split()
    try:
        return WriteCause(
            dr_event_id=UUID(parts[0]),
            plan_revision=int(parts[1]),
            round=int(parts[2]),
            command_id=UUID(parts[3]),
        )
    except (ValueError, IndexError):
        return WriteCause()


def _text(element: etree._Element, name: str) -> str:
    return cast(str, element.findtext(f"{{{CONTRACT}}}{name}"))


def _element(name: str) -> etree._Element:
    return etree.Element(f"{{{CONTRACT}}}{name}", nsmap={"sp": CONTRACT})


def _write(parent: etree._Element, name: str, value: str) -> None:
    etree.SubElement(parent, f"{{{CONTRACT}}}{name}").text = value
