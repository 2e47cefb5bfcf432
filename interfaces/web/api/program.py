"""Routes of programs: the terms of each, every version of them, and agreement on others."""

import asyncio
from typing import Annotated

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from application.commands.program import AgreeProgram
from application.facility.portfolio_entries import Portfolio, ProgramEntry
from application.facility.portfolio_validation import check_references
from interfaces.programs import (
    ProgramDocument,
    ProgramHistoryDocument,
    program_document,
    program_document_of_utility,
    program_history,
)
from interfaces.web.edge import Web, WebDependencies
from interfaces.web.guard.access import ApiRequest
from interfaces.web.listing import Listing
from interfaces.web.problems import Problem
from interfaces.web.requests.as_of import AsOfQuery, parse_as_of, programs_of
from interfaces.web.requests.command_context import context_of
from interfaces.web.requests.paging import Cursor, Filter, Limit
from interfaces.web.route_policy import OPERATOR, READER_OR_UTILITY, RoutePolicy
from projections.program import key_of
from projections.queries.views import MAX_PAGE_ROWS


class ProgramAgreement(msgspec.Struct, frozen=True, kw_only=True):
    """The result; `version` is that of the terms in force, which equal terms leave as it was."""

    program_id: str
    version: int


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
        return await web.pages.listing(
            await programs_of(request, parse_as_of(as_of)),
            filters={"utility_id": utility},
            tenant=tenant,
            cursor=cursor,
            limit=limit,
            as_item=program_document if tenant is None else program_document_of_utility,
        )

    @post(
        "/",
        status_code=200,
        summary="Register a program, or agree on other terms of it",
        policy=RoutePolicy(roles=OPERATOR),
    )
    async def agree(
        self, request: ApiRequest, web: Web, data: JSONBody[ProgramEntry]
    ) -> Response[ProgramAgreement]:
        """Record one entry of a portfolio file. Other terms become a new version; a DR event keeps the one it was
        accepted under."""
        version = await asyncio.to_thread(_agree, request, web, data)
        agreement = ProgramAgreement(program_id=data.program_id, version=version)
        return Response(agreement, headers={"Location": f"/api/programs/{data.program_id}"})

    @get(
        "/{program_id:str}",
        summary="One program, with every version of its terms: when, by whom, and what changed",
        policy=RoutePolicy(roles=READER_OR_UTILITY),
    )
    async def one(
        self,
        request: ApiRequest,
        program_id: FromPath[str],
        *,
        as_of: AsOfQuery = None,
        before: Annotated[
            int | None, QueryParameter(ge=1, le=2**31, description="Only versions before this one")
        ] = None,
        limit: Limit = MAX_PAGE_ROWS,
    ) -> ProgramHistoryDocument:
        """Read from the log. Of more versions than `limit` the newest; `earlier_before` asks for those before them."""
        tenant = request.user.utility_id
        view = await programs_of(request, parse_as_of(as_of))
        row = await asyncio.to_thread(view.get, key_of(program_id[:200]), tenant=tenant)
        if row is None:
            raise Problem("not-found", "no such program (then); list them at /api/programs")
        return program_history(row, for_utility=tenant is not None, before=before, limit=limit)


def _agree(request: ApiRequest, web: WebDependencies, entry: ProgramEntry) -> int:
    """The version in force. Raises PortfolioInvalid."""
    check_references(
        Portfolio(programs=(entry,)),
        known_utilities=[one.utility_id for one in web.portfolio.utilities()],
        known_programs={},
        rules=web.portfolio_rules,
    )
    version: int = web.bus.handle(AgreeProgram(entry=entry), context_of(request), reply_type=int)
    return version
