"""The SOAP server of the simulated BMSs: many buildings, each at `/buildings/{facility_id}/bms`."""

import asyncio
import hmac
from base64 import b64encode
from collections.abc import Mapping

import msgspec
from litestar import Litestar, Request, get, post, put
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Response
from litestar.types import ASGIApp

from application.ports.building_control import ZoneCommand
from application.ports.clock import Clock
from interfaces.simulators import bms_messages as messages
from interfaces.simulators.bms_answers import DroppedAnswer, SilentAnswer, XmlAnswer
from interfaces.simulators.building import Building, Refusal, UnknownZone
from interfaces.simulators.building_faults import BmsOperation, FaultBook, FaultOrder

REQUEST_BYTES = 65_536
CONTRACT_DOCUMENTS = ("building_control.wsdl", "building_control.xsd")

HttpRequest = Request[None, None, State]


class UnknownBuilding(LookupError):
    """This world has no such building."""


class BmsServer:
    """The buildings, the faults ordered of them, and how a call is answered.

    `passwords` (facility id to password) switches HTTP Basic authentication on for those buildings.
    """

    def __init__(
        self,
        buildings: Mapping[str, Building],
        *,
        clock: Clock,
        faults: FaultBook | None = None,
        passwords: Mapping[str, bytes] | None = None,
    ) -> None:
        self._buildings = buildings
        self.faults = faults or FaultBook()
        self._clock = clock
        self._passwords = passwords or {}

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
        try:
            request = messages.read_request(payload)
        except messages.InvalidRequest as error:
            return XmlAnswer(messages.invalid_request_fault(error), status=500)
        fault = self.faults.take(building.facility_id, _operation(request))
        if fault is not None and fault.kind == "time_out":
            return SilentAnswer()
        if fault is not None and fault.kind == "refuse":
            return XmlAnswer(
                messages.refusal_fault(Refusal("local_override", "the building is under local control")), 500
            )
        answer = self._carried_out(building, request)
        return answer if fault is None else await self._spoilt(answer, fault)

    def _carried_out(self, building: Building, request: messages.Request) -> XmlAnswer:
        now = self._clock.now()
        try:
            if isinstance(request, ZoneCommand):
                if request.facility_id != building.facility_id:
                    raise Refusal("wrong_building", f"this is the BMS of {building.facility_id}")
                return XmlAnswer(messages.receipt_answer(building.execute(request, now)))
            if isinstance(request, messages.StatusRequest):
                return XmlAnswer(messages.status_answer(building.command_status(request.command_id, now)))
            return XmlAnswer(messages.state_answer(building.zone_state(request.zone_id, now)))
        except Refusal as refusal:
            return XmlAnswer(messages.refusal_fault(refusal), status=500)

    async def _spoilt(self, answer: XmlAnswer, fault: FaultOrder) -> ASGIApp:
        if fault.kind == "slow":
            await asyncio.sleep(self._clock.wall_seconds(fault.delay_s))
            return answer
        if fault.kind == "invalid_answer":
            return XmlAnswer(messages.invalid_answer())
        return DroppedAnswer()


def _operation(request: messages.Request) -> BmsOperation:
    if isinstance(request, ZoneCommand):
        return request.phase
    return "status" if isinstance(request, messages.StatusRequest) else "state"


class ZoneOverride(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody sets a zone by hand."""

    setpoint: float


def create_bms_app(server: BmsServer) -> Litestar:
    """`POST /buildings/{id}/bms` is the contract; the two `PUT`s order faults and turn knobs."""
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
    orders = msgspec.json.decode(await request.body(), type=tuple[FaultOrder, ...])
    if any(order.facility_id != facility_id for order in orders):
        raise msgspec.ValidationError("a fault order names another building")
    state.server.building(facility_id)
    state.server.faults.replace(facility_id, orders)


@put("/buildings/{facility_id:str}/zones/{zone_id:str}/setpoint", status_code=204)
async def override(
    facility_id: FromPath[str], zone_id: FromPath[str], request: HttpRequest, state: State
) -> None:
    order = msgspec.json.decode(await request.body(), type=ZoneOverride)
    state.server.override(facility_id, zone_id, order.setpoint)


@get("/contract/{name:str}", media_type="text/xml")
async def contract(name: FromPath[str]) -> bytes:
    if name not in CONTRACT_DOCUMENTS:
        raise NotFoundException(f"no document {name}; there are {', '.join(CONTRACT_DOCUMENTS)}")
    return messages.contract_document(name)


def _bad_order(_: HttpRequest, error: msgspec.ValidationError) -> Response[dict[str, str]]:
    return Response({"detail": str(error)}, status_code=400)


def _no_such(_: HttpRequest, error: Exception) -> Response[dict[str, str]]:
    return Response({"detail": str(error)}, status_code=404)
