"""Routes of facilities: lists, single ones, and registration."""

import asyncio
from datetime import datetime

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import FromPath, JSONBody

from application.commands.facility import RegisterFacility
from application.facility.portfolio_entries import FacilityEntry, Portfolio
from application.facility.portfolio_validation import check_references
from application.operations.portfolio_import import given_coordinates
from interfaces.web.api.facility.documents import FacilityDocument, FacilityDocuments
from interfaces.web.edge import Web, WebDependencies
from interfaces.web.guard.access import ApiRequest
from interfaces.web.listing import Listing
from interfaces.web.requests.as_of import AsOfQuery, facilities_of, parse_as_of, read_log
from interfaces.web.requests.command_context import context_of
from interfaces.web.requests.paging import Cursor, Filter, Limit
from interfaces.web.requests.visibility import unknown_facility, visible_facility
from interfaces.web.route_policy import FACILITY_READER, OPERATOR, RoutePolicy
from projections.as_of.dr_event import facility_as_of
from projections.audit.stream_log import AsOf
from projections.facility import FacilityRow


class FacilityRegistration(msgspec.Struct, frozen=True, kw_only=True):
    """The result; `domain_events` is 0 if nothing changed."""

    facility_id: str
    domain_events: int


class FacilityController(Controller):
    path = "/api/facilities"
    tags = ("facilities",)

    @get(
        "/",
        summary="By facility id",
        policy=RoutePolicy(
            roles=FACILITY_READER, one_facility=True, cache="replica", projections=("facilities",)
        ),
    )
    async def listed(
        self,
        request: ApiRequest,
        web: Web,
        *,
        status: Filter = None,
        program: Filter = None,
        group: Filter = None,
        cursor: Cursor = None,
        limit: Limit = 100,
        as_of: AsOfQuery = None,
    ) -> Response[Listing[FacilityDocument]]:
        """A key of one facility gets only that one."""
        past = parse_as_of(as_of)
        document_of = await _documents(web, past)
        if request.user.facility_id is not None:
            row = await _facility_of(request, request.user.facility_id, past)
            return Response(Listing(items=(document_of(row),)))
        return await web.pages.listing(
            await facilities_of(request, past),
            filters={"status": status, "programs": program, "groups": group},
            tenant=None,
            cursor=cursor,
            limit=limit,
            as_item=document_of,
        )

    @post(
        "/",
        status_code=200,
        summary="Register a facility, or change what is agreed with it",
        policy=RoutePolicy(roles=OPERATOR),
    )
    async def register(
        self, request: ApiRequest, web: Web, data: JSONBody[FacilityEntry]
    ) -> Response[FacilityRegistration]:
        """Record one entry of a portfolio file. Only differences are recorded, so repeating it changes nothing.

        Address and credentials of a BMS, those of a new facility included, are set by role admin alone.
        """
        recorded = await asyncio.to_thread(_register, request, web, data)
        registration = FacilityRegistration(facility_id=data.facility_id, domain_events=recorded)
        return Response(registration, headers={"Location": f"/api/facilities/{data.facility_id}"})

    @get(
        "/{facility_id:str}",
        summary="One facility",
        policy=RoutePolicy(
            roles=FACILITY_READER, one_facility=True, cache="replica", projections=("facilities",)
        ),
    )
    async def one(
        self, request: ApiRequest, web: Web, facility_id: FromPath[str], *, as_of: AsOfQuery = None
    ) -> FacilityDocument:
        """Its zones, limits, programs and reservations; the state of its BMS is at `/health`."""
        past = parse_as_of(as_of)
        row = await _facility_of(request, facility_id, past)
        return (await _documents(web, past))(row)


async def _documents(web: WebDependencies, past: AsOf | None) -> FacilityDocuments:
    coordinates = await web.coordinates.current()
    if past is None:
        return FacilityDocuments.of_now(coordinates, web.clock.now())
    return FacilityDocuments(coordinates, past if isinstance(past, datetime) else None)


async def _facility_of(request: ApiRequest, facility_id: str, past: AsOf | None) -> FacilityRow:
    """The current or past row. Raises as `visible_facility`."""
    if past is None:
        return await visible_facility(request, facility_id)
    row = None
    if request.user.facility_id in (None, facility_id):
        row = await read_log(request, lambda log: facility_as_of(log, facility_id, past), as_of=past)
    if row is None:
        raise unknown_facility()
    return row


def _register(request: ApiRequest, web: WebDependencies, entry: FacilityEntry) -> int:
    """The number of recorded domain events. Raises PortfolioInvalid."""
    check_references(
        Portfolio(facilities=(entry,)),
        known_utilities=(),
        known_programs=web.known_programs(entry.program_ids),
        rules=web.portfolio_rules,
    )
    command = RegisterFacility(entry=entry, may_connect_bms=request.user.role == "admin")
    recorded: int = web.bus.handle(command, context_of(request), reply_type=int)
    if web.facility_coordinates is not None:
        # After the decision: a registration that is refused changes nothing. Repeating it makes up for a crash here.
        web.facility_coordinates.put(given_coordinates([entry]))
    return recorded
