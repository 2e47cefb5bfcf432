"""Routes of programs: the terms of each, and every version of them."""

import asyncio

from litestar import Controller, Response, get
from litestar.params import FromPath

from interfaces.programs import (
    ProgramDocument,
    ProgramHistoryDocument,
    program_document,
    program_document_of_utility,
    program_history,
)
from interfaces.web.edge import Web
from interfaces.web.guard.access import ApiRequest
from interfaces.web.problems import Problem
from interfaces.web.requests.as_of import AsOfQuery, parse_as_of, programs_of
from interfaces.web.requests.paging import Cursor, Filter, Limit, Listing, shared_listing
from interfaces.web.route_policy import READER_OR_UTILITY, RoutePolicy
from projections.program import key_of


class ProgramController(Controller):
    path = "/api/programs"
    tags = ("programs",)

    @get(
        "/",
        summary="By program id, each with its terms in force",
        policy=RoutePolicy(roles=READER_OR_UTILITY),
    )
    async def listed(
        self,
        request: ApiRequest,
        web: Web,
        *,
        utility: Filter = None,
        cursor: Cursor = None,
        limit: Limit = 100,
        as_of: AsOfQuery = None,
    ) -> Response[Listing[ProgramDocument]]:
        """Read from the log. A utility gets its own programs, without who of ours recorded their terms."""
        tenant = request.user.utility_id
        return await shared_listing(
            web.coalescer,
            await programs_of(request, parse_as_of(as_of)),
            filters={"utility_id": utility},
            tenant=tenant,
            cursor=cursor,
            limit=limit,
            as_item=program_document if tenant is None else program_document_of_utility,
        )

    @get(
        "/{program_id:str}",
        summary="One program, with every version of its terms: when, by whom, and what changed",
        policy=RoutePolicy(roles=READER_OR_UTILITY),
    )
    async def one(
        self, request: ApiRequest, program_id: FromPath[str], *, as_of: AsOfQuery = None
    ) -> ProgramHistoryDocument:
        """Read from the log."""
        tenant = request.user.utility_id
        view = await programs_of(request, parse_as_of(as_of))
        row = await asyncio.to_thread(view.get, key_of(program_id[:200]), tenant=tenant)
        if row is None:
            raise Problem("not-found", "no such program (then); list them at /api/programs")
        return program_history(row, for_utility=tenant is not None)
