"""The SOAP server of the simulated BMSs: many buildings, each at `/buildings/{facility_id}/bms`."""

import asyncio
import hmac
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from types import ModuleType

import litestar
import msgspec
from litestar import Litestar, get, post, put
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Response
from litestar.types import ASGIApp

from application.facility.portfolio_entries import BmsProfile
from application.ports.clock import Clock
from application.ports.dispatch.building_control import ZoneCommand
from domain.event_sourcing.decoders import json_decoder
from interfaces.simulators.bms import setpoint_messages as single_phase
from interfaces.simulators.bms import two_phase_messages as two_phase
from interfaces.simulators.bms.building import Building, Refusal, UnknownZone
from interfaces.simulators.bms.faults import BmsOperation, FaultBook, FaultOrder
from interfaces.simulators.bms.responses import DroppedAnswer, SilentAnswer, XmlAnswer
from interfaces.simulators.bms.soap_envelope import InvalidRequest, contract_document

REQUEST_BYTES = 65_536
CONTRACT_DOCUMENTS = (
    "building_control.wsdl",
    "building_control.xsd",
    "setpoint_control.wsdl",
    "setpoint_control.xsd",
)

Request = two_phase.Request | single_phase.ReadRequest | single_phase.WriteRequest
_SPOKEN: Mapping[BmsProfile, ModuleType] = {
    "two_phase": two_phase,
    "two_phase_no_dedup": two_phase,
    "single_phase": single_phase,
}
HttpRequest = litestar.Request[None, None, State]


class UnknownBuilding(LookupError):
    """The simulated world has no such building."""


class BmsServer:
    """Answers the calls to the buildings and applies the injected faults.

    `passwords` (facility id to password) switches HTTP Basic authentication on for those buildings; every call takes
    `answer_delay_s` of wall-clock time.
    """

    def __init__(
        self,
        buildings: Mapping[str, Building],
        *,
        clock: Clock,
        faults: FaultBook | None = None,
        passwords: Mapping[str, bytes] | None = None,
        answer_delay_s: float = 0.0,
    ) -> None:
        self._buildings = buildings
        self.faults = faults or FaultBook()
        self._clock = clock
        self._passwords = passwords or {}
        self._answer_delay_s = answer_delay_s

    def building(self, facility_id: str) -> Building:
        """Raises UnknownBuilding."""
        if facility_id not in self._buildings:
            raise UnknownBuilding(f"no building {facility_id}")
        return self._buildings[facility_id]

    def override(self, facility_id: str, zone_id: str, setpoint: float) -> None:
        """Raises UnknownBuilding or UnknownZone."""
        self.building(facility_id).override(zone_id, setpoint, self._clock.now())

    def authorized(self, facility_id: str, header: str) -> bool:
        password = self._passwords.get(facility_id)
        if password is None:
            return True
        expected = b"Basic " + b64encode(facility_id.encode() + b":" + password)
        return hmac.compare_digest(header.encode(), expected)

    async def answer(self, building: Building, payload: bytes) -> ASGIApp:
        spoken = _SPOKEN[building.profile]
        try:
            request = spoken.read_request(payload)
        except InvalidRequest as error:
            return XmlAnswer(spoken.invalid_request_fault(error), status=500)
        if self._answer_delay_s:
            await asyncio.sleep(self._answer_delay_s)
        fault = self.faults.take(building.facility_id, _operation(request))
        if fault is not None and fault.kind == "time_out":
            return SilentAnswer()
        if fault is not None and fault.kind == "refuse":
            refusal = Refusal("local_override", "the building is under local control")
            return XmlAnswer(spoken.refusal_fault(refusal), 500)
        try:
            answer = XmlAnswer(carried_out(building, request, self._clock.now()))
        except Refusal as refusal:
            answer = XmlAnswer(spoken.refusal_fault(refusal), status=500)
        if fault is None:
            return answer
        if fault.kind == "slow":
            await asyncio.sleep(self._clock.wall_seconds(fault.delay_s))
            return answer
        return XmlAnswer(spoken.invalid_answer()) if fault.kind == "invalid_answer" else DroppedAnswer()


def carried_out(building: Building, request: Request, now: datetime) -> bytes:
    """Execute the operation; returns the answer's XML. Raises Refusal."""
    match request:
        case ZoneCommand():
            if request.facility_id != building.facility_id:
                raise Refusal("wrong_building", f"this is the BMS of {building.facility_id}")
            return two_phase.receipt_answer(building.execute(request, now))
        case two_phase.StatusRequest(command_id):
            return two_phase.status_answer(building.command_status(command_id, now))
        case two_phase.StateRequest(zone_id):
            return two_phase.state_answer(building.zone_state(zone_id, now))
        case single_phase.ReadRequest(zone_id):
            return single_phase.reading_answer(building.read_setpoint(zone_id, now))
        case single_phase.WriteRequest():
            building.write_setpoint(request.zone_id, request.setpoint, request.until, request.cause, now)
            return single_phase.write_answer(request.zone_id)


def _operation(request: Request) -> BmsOperation:
    match request:
        case ZoneCommand():
            return request.phase
        case two_phase.StatusRequest():
            return "status"
        case single_phase.WriteRequest():
            return "restore" if request.until is None else "commit"
        case _:
            return "state"


class ZoneOverride(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a manual override of a zone."""

    setpoint: float


def create_bms_app(server: BmsServer) -> Litestar:
    """`POST /buildings/{id}/bms` serves the contract; the two `PUT` routes inject faults and manual overrides."""
    return Litestar(
        [bms, faults, override, contract],
        state=State({"server": server}),
        openapi_config=None,
        exception_handlers={
            msgspec.ValidationError: _bad_order,
            UnknownBuilding: _no_such,
            UnknownZone: _no_such,
        },
    )


@post("/buildings/{facility_id:str}/bms", status_code=200, request_max_body_size=REQUEST_BYTES)
async def bms(facility_id: FromPath[str], request: HttpRequest, state: State) -> ASGIApp:
    server: BmsServer = state.server
    building = server.building(facility_id)
    if not server.authorized(facility_id, request.headers.get("authorization", "")):
        return XmlAnswer(b"", status=401, headers={"www-authenticate": "Basic"})
    return await server.answer(building, await request.body())


@put("/buildings/{facility_id:str}/faults", status_code=204)
async def faults(facility_id: FromPath[str], request: HttpRequest, state: State) -> None:
    orders = json_decoder(tuple[FaultOrder, ...]).decode(await request.body())
    if any(order.facility_id != facility_id for order in orders):
        raise msgspec.ValidationError("a fault order names another building")
    state.server.building(facility_id)
    state.server.faults.replace(facility_id, orders)


@put("/buildings/{facility_id:str}/zones/{zone_id:str}/setpoint", status_code=204)
async def override(
    facility_id: FromPath[str], zone_id: FromPath[str], request: HttpRequest, state: State
) -> None:
    order = json_decoder(ZoneOverride).decode(await request.body())
    state.server.override(facility_id, zone_id, order.setpoint)


@get("/contract/{name:str}", media_type="text/xml")
async def contract(name: FromPath[str]) -> bytes:
    if name not in CONTRACT_DOCUMENTS:
        raise NotFoundException(f"no document {name}; there are {', '.join(CONTRACT_DOCUMENTS)}")
    return contract_document(name)


def _bad_order(_: HttpRequest, error: msgspec.ValidationError) -> Response[dict[str, str]]:
    return Response({"detail": str(error)}, status_code=400)


def _no_such(_: HttpRequest, error: Exception) -> Response[dict[str, str]]:
    return Response({"detail": str(error)}, status_code=404)
