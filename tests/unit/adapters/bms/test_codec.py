"""The codec writes and reads the same as a client of zeep, for every message of both contracts."""

from datetime import UTC, datetime, timedelta, timezone
from importlib.resources import as_file
from typing import Any, cast
from uuid import UUID

import msgspec
import pytest
import zeep
from lxml import etree

from adapters.bms.codec import SoapCodec
from adapters.bms.messages import (
    SINGLE_PHASE,
    TWO_PHASE,
    Contract,
    InvalidMessage,
    contract_folder,
    parse_envelope,
)
from application.ports.dispatch.building_control import CommandReceipt, CommandStatus, Setpoint, ZoneState
from interfaces.simulators.bms import setpoint_messages, two_phase_messages
from interfaces.simulators.bms.building import SetpointReading

MOMENT = datetime(2026, 7, 14, 21, 0, 15, 250_000, tzinfo=UTC)
COMMAND = UUID(int=7)
ORDER = {
    "commandId": str(COMMAND),
    "drEventId": str(UUID(int=8)),
    "facilityId": "fac-001",
    "zoneId": "hall",
    "planRevision": 3,
    "round": 0,
    "strategy": "setpoint_offset",
    "expiresAt": MOMENT,
}
CURTAILMENT = ORDER | {"magnitude": 2.5}
SETPOINT = {"value": 22.0, "unit": "celsius"}
WRITE = {"zoneId": "hall", "setpoint": SETPOINT, "reference": 'a <b> & "c" é'}
REQUESTS: list[tuple[Contract, str, dict[str, Any]]] = [
    (TWO_PHASE, "PrepareCommand", CURTAILMENT),
    (
        TWO_PHASE,
        "CommitCommand",
        CURTAILMENT | {"expiresAt": MOMENT.astimezone(timezone(timedelta(hours=-7)))},
    ),
    (TWO_PHASE, "AbortCommand", ORDER),
    (TWO_PHASE, "RestoreZone", ORDER | {"restoreTo": SETPOINT}),
    (TWO_PHASE, "GetCommandStatus", {"commandId": str(COMMAND)}),
    (TWO_PHASE, "GetZoneState", {"zoneId": "hall"}),
    (SINGLE_PHASE, "ReadSetpoint", {"zoneId": "hall"}),
    (SINGLE_PHASE, "WriteSetpoint", WRITE),
    (SINGLE_PHASE, "WriteSetpoint", WRITE | {"until": MOMENT}),
]
FOUND = Setpoint(value=-0.1, unit="celsius")
RECEIPT = CommandReceipt(
    command_id=COMMAND, zone_id="hall", phase="commit", executed_at=MOMENT, setpoint=FOUND, repeated=True
)
STATUS = CommandStatus(command_id=COMMAND, state="executed", receipt=RECEIPT)
UNKNOWN = CommandStatus(command_id=COMMAND, state="unknown", receipt=None)
ZONE = ZoneState(zone_id="hall", setpoint=FOUND, curtailed=True, active_command_id=COMMAND)
READING = SetpointReading(zone_id="hall", setpoint=FOUND, changed_at=MOMENT, until=None)
ANSWERS: list[tuple[Contract, str, bytes]] = [
    (TWO_PHASE, "CommitCommand", two_phase_messages.receipt_answer(RECEIPT)),
    (TWO_PHASE, "GetCommandStatus", two_phase_messages.status_answer(STATUS)),
    (TWO_PHASE, "GetCommandStatus", two_phase_messages.status_answer(UNKNOWN)),
    (TWO_PHASE, "GetZoneState", two_phase_messages.state_answer(ZONE)),
    (SINGLE_PHASE, "ReadSetpoint", setpoint_messages.reading_answer(READING)),
]


def binding(contract: Contract) -> Any:
    """zeep's own binding, and its client."""
    with as_file(contract_folder()) as folder:
        client: Any = cast(Any, zeep.Client)(str(folder / f"{contract.name}.wsdl"))
    return client.wsdl.bindings[contract.binding], client


@pytest.mark.parametrize(("contract", "operation", "values"), REQUESTS)
def test_a_request_equals_the_one_that_zeep_writes(
    contract: Contract, operation: str, values: dict[str, Any]
) -> None:
    ours, headers = SoapCodec(contract).encode(operation, values)
    spoken, client = binding(contract)
    envelope, zeeps = spoken._create(operation, (), values, client=client)
    assert etree.canonicalize(ours.decode(), rewrite_prefixes=True) == etree.canonicalize(
        etree.tostring(envelope).decode(), rewrite_prefixes=True
    )
    assert headers == dict(zeeps)


@pytest.mark.parametrize(("contract", "operation", "answer"), ANSWERS)
def test_a_decoded_answer_equals_the_one_that_zeep_decodes(
    contract: Contract, operation: str, answer: bytes
) -> None:
    read = SoapCodec(contract).decode(operation, answer)
    spoken, _ = binding(contract)
    assert plain(read) == plain(spoken.get(operation).process_reply(parse_envelope(answer)))


def plain(value: Any) -> Any:
    """The attributes as a dict, for objects of both kinds."""
    values = value.__values__ if hasattr(value, "__values__") else getattr(value, "__dict__", None)
    return value if values is None else {name: plain(part) for name, part in values.items()}


@pytest.mark.parametrize(
    "wrong",
    [
        {"zoneId": None},
        {"zoneId": "NOT A ZONE"},
        {"expiresAt": None},
        {"magnitude": float("nan")},
        {"facilityId": "a\x00b"},
        {"somethingElse": 1},
    ],
    ids=str,
)
def test_a_request_that_violates_the_contract_is_not_encoded(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        SoapCodec(TWO_PHASE).encode("CommitCommand", CURTAILMENT | wrong)


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "12026-07-14T21:00:15Z"]
)
def test_an_answer_with_an_impossible_time_is_refused(moment: str) -> None:
    """The schema allows these times. zeep would read the last one as no time."""
    receipt = two_phase_messages.receipt_answer(RECEIPT).replace(MOMENT.isoformat().encode(), moment.encode())
    limited = msgspec.structs.replace(READING, until=MOMENT + timedelta(hours=1))
    reading = setpoint_messages.reading_answer(limited).replace(
        (MOMENT + timedelta(hours=1)).isoformat().encode(), moment.encode()
    )
    assert moment.encode() in receipt
    assert moment.encode() in reading
    for contract, operation, answer in (
        (TWO_PHASE, "CommitCommand", receipt),
        (SINGLE_PHASE, "ReadSetpoint", reading),
    ):
        with pytest.raises(ValueError, match="no moment of the calendar"):
            SoapCodec(contract).decode(operation, answer)


def test_the_answer_of_another_operation_is_refused() -> None:
    with pytest.raises(InvalidMessage, match="expected PrepareCommandResponse"):
        SoapCodec(TWO_PHASE).decode("PrepareCommand", two_phase_messages.receipt_answer(RECEIPT))
