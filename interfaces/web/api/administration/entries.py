"""Routes of what a form of a portfolio entry needs: the recorded entries, and the names that one may refer to."""

import asyncio
from collections.abc import Sequence

import msgspec
from litestar import Controller, get
from litestar.params import FromPath

from application.facility.portfolio_entries import FacilityEntry, ProgramEntry
from application.facility.recorded_entries import (
    entry_of_facility,
    entry_of_program,
    without_credentials,
)
from domain.facility import Coordinates
from interfaces.web.edge import Web
from interfaces.web.guard.access import ApiRequest
from interfaces.web.listing import Listing
from interfaces.web.problems import Problem
from interfaces.web.requests.paging import Cursor, Limit
from interfaces.web.requests.visibility import unknown_facility
from interfaces.web.route_policy import ADMIN, OPERATOR, RoutePolicy
from projections.engine.cursors import cursor_after, read_cursor

UTILITIES = "utilities"


class UtilityDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A utility, without the references to its secrets."""

    utility_id: str
    name: str


class SecretReferenceDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The name of a secret, as a portfolio refers to it. Its value is never sent."""

    reference: str


class PortfolioEntryController(Controller):
    path = "/api/portfolio"
    tags = ("portfolio",)

    @get(
        "/facilities/{facility_id:str}",
        summary="A facility as a portfolio file states it",
        policy=RoutePolicy(roles=OPERATOR),
    )
    async def facility(self, request: ApiRequest, web: Web, facility_id: FromPath[str]) -> FacilityEntry:
        """As agreed last, of the log: posting it unchanged to `/api/facilities` records nothing.

        The reference to a BMS's credentials is sent to role admin alone, which may set it.
        """
        state = await asyncio.to_thread(web.portfolio.facility, facility_id)
        if state is None:
            raise unknown_facility()
        recorded = (
            None
            if state.latitude is None or state.longitude is None
            else Coordinates(state.latitude, state.longitude)
        )
        stored = (await web.coordinates.current()).stored
        entry = entry_of_facility(state, stored.get(facility_id, recorded))
        return entry if request.user.role == "admin" else without_credentials(entry)

    @get(
        "/programs/{program_id:str}",
        summary="A program as a portfolio file states it",
        policy=RoutePolicy(roles=OPERATOR),
    )
    async def program(self, web: Web, program_id: FromPath[str]) -> ProgramEntry:
        """With its newest terms, of the log: posting it unchanged to `/api/programs` records nothing."""
        state = await asyncio.to_thread(web.program, program_id)
        if state is None or state.terms is None:
            raise Problem("not-found", "there is no program of that id")
        return entry_of_program(program_id, state.utility_id, state.terms)

    @get(
        "/utilities",
        summary="The utilities that a program or a key may name",
        policy=RoutePolicy(roles=OPERATOR),
    )
    async def utilities(
        self, web: Web, cursor: Cursor = None, limit: Limit = 100
    ) -> Listing[UtilityDocument]:
        """By id."""
        after = "" if cursor is None else read_cursor(UTILITIES, cursor)[1]
        found = await asyncio.to_thread(web.portfolio.utilities, after=after, limit=limit + 1)
        page = [UtilityDocument(utility_id=one.utility_id, name=one.name) for one in found[:limit]]
        last = page[-1].utility_id if len(found) > limit else None
        return Listing(
            items=tuple(page), next_cursor=None if last is None else cursor_after(UTILITIES, last, last)
        )

    @get(
        "/secret-references",
        summary="The secrets that a portfolio may refer to, by name",
        policy=RoutePolicy(roles=ADMIN),
    )
    async def secret_references(self, web: Web) -> Listing[SecretReferenceDocument]:
        """The references that this web process can resolve. Another process may have other variables and files."""
        names: Sequence[str] = await asyncio.to_thread(web.portfolio.secret_references)
        return Listing(items=tuple(SecretReferenceDocument(reference=name) for name in names))
