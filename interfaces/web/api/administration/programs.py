"""Route of the registration of programs."""

import asyncio

import msgspec
from litestar import Controller, Response, post
from litestar.params import JSONBody

from application.commands.program import AgreeProgram
from application.facility.portfolio_entries import Portfolio, ProgramEntry
from application.facility.portfolio_validation import check_references
from interfaces.web.edge import Web, WebDependencies
from interfaces.web.guard.access import ApiRequest
from interfaces.web.requests.command_context import context_of
from interfaces.web.route_policy import OPERATOR, RoutePolicy


class ProgramAgreement(msgspec.Struct, frozen=True, kw_only=True):
    """The result; `version` is that of the terms in force, which equal terms leave as it was."""

    program_id: str
    version: int


class ProgramCommandController(Controller):
    path = "/api/programs"
    tags = ("programs",)

    @post(
        "/",
        status_code=200,
        summary="Register a program, or agree on other terms of it",
        policy=RoutePolicy(roles=OPERATOR),
    )
    async def agree(
        self, request: ApiRequest, web: Web, data: JSONBody[ProgramEntry]
    ) -> Response[ProgramAgreement]:
        """One entry of a portfolio file. Other terms become a new version; a DR event keeps the one it was accepted
        under."""
        version = await asyncio.to_thread(_agree, request, web, data)
        agreement = ProgramAgreement(program_id=data.program_id, version=version)
        return Response(agreement, headers={"Location": f"/api/portfolio/programs/{data.program_id}"})


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
