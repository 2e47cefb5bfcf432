"""Registration of a facility by one posted entry of a portfolio file."""

import asyncio

import msgspec
from litestar import Response

from application.commands.facility import RegisterFacility
from application.facility.portfolio_entries import FacilityEntry, Portfolio
from application.facility.portfolio_validation import check_references
from interfaces.web.edge import dependencies_of
from interfaces.web.guard.access import ApiRequest
from interfaces.web.requests.command_context import context_of


class FacilityRegistration(msgspec.Struct, frozen=True, kw_only=True):
    """The result; `domain_events` is 0 if nothing changed."""

    facility_id: str
    domain_events: int


async def registered(request: ApiRequest, entry: FacilityEntry) -> Response[FacilityRegistration]:
    """Raises PortfolioInvalid."""
    recorded = await asyncio.to_thread(_registered, request, entry)
    registration = FacilityRegistration(facility_id=entry.facility_id, domain_events=recorded)
    return Response(registration, headers={"Location": f"/api/facilities/{entry.facility_id}"})


def _registered(request: ApiRequest, entry: FacilityEntry) -> int:
    """The number of recorded domain events. Raises PortfolioInvalid."""
    web = dependencies_of(request)
    check_references(
        Portfolio(facilities=(entry,)),
        known_utilities=(),
        known_programs=web.known_programs(entry.programs),
    )
    recorded: int = web.bus.handle(RegisterFacility(entry=entry), context_of(request), reply_type=int)
    return recorded
