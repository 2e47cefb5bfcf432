"""Route of the import of a portfolio file: the same as `gridproof facilities import`, for files of bounded size."""

import hashlib
from typing import Annotated

import msgspec
from litestar import Controller, post
from litestar.params import JSONBody
from msgspec import Meta

from application.facility.portfolio_entries import Portfolio
from application.facility.portfolio_validation import PortfolioInvalid, check_references, read_portfolio
from application.operations.portfolio_import import (
    ImportReport,
    PortfolioTarget,
    import_portfolio,
    rehearse_import,
)
from interfaces.web.edge import Web, WebDependencies
from interfaces.web.guard.access import ApiRequest
from interfaces.web.middleware.tracing import trace_id_of
from interfaces.web.problems import Problem, ProblemReason
from interfaces.web.requests.command_context import actor_of
from interfaces.web.route_policy import ADMIN, RoutePolicy

MOST_ENTRIES = 200
"""Utilities, programs and facilities of a file together: what a request can wait for."""
MOST_VALUES = 100_000
MOST_CHARACTERS = 200_000
"""Less than a body may have, since JSON escapes line ends."""
COMMAND = "`gridproof facilities import FILE`"


class PortfolioFileBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The text of a portfolio file, YAML or JSON."""

    file: Annotated[str, Meta(max_length=MOST_CHARACTERS)]
    dry_run: bool = False
    """Check it, and answer what it would change; nothing is recorded."""


class PortfolioFileController(Controller):
    path = "/api/portfolio/imports"
    tags = ("portfolio",)

    @post(
        "/",
        status_code=200,
        summary="Import a portfolio file, or show what it would change",
        policy=RoutePolicy(roles=ADMIN),
    )
    async def take(self, request: ApiRequest, web: Web, data: JSONBody[PortfolioFileBody]) -> ImportReport:
        """All of it is checked first. Only differences are recorded, and what the file leaves out stays.

        One at a time in a process.
        """
        target = web.portfolio.target
        if target is None:
            raise Problem("not-built-yet", f"this system imports on the command line: {COMMAND}")
        actor, trace_id = actor_of(request), trace_id_of(request.scope)
        return await web.import_limit.run(_import, web, target, data, actor=actor, trace_id=trace_id)


def _import(
    web: WebDependencies, target: PortfolioTarget, body: PortfolioFileBody, *, actor: str, trace_id: str
) -> ImportReport:
    content = body.file.encode()
    try:
        portfolio = read_portfolio(content, most_values=MOST_VALUES)
        _check(portfolio, web)
    except PortfolioInvalid as error:
        raise _refusal(error) from None
    if body.dry_run:
        return rehearse_import(portfolio, target, actor=actor, trace_id=trace_id)
    digest = hashlib.sha256(content).hexdigest()
    return import_portfolio(portfolio, target, file_sha256=digest, actor=actor, trace_id=trace_id)


def _check(portfolio: Portfolio, web: WebDependencies) -> None:
    """Raises PortfolioInvalid."""
    utilities = [one.utility_id for one in portfolio.utilities]
    facilities = [one.facility_id for one in portfolio.facilities]
    entries = len(utilities) + len(facilities) + len(portfolio.programs)
    if entries > MOST_ENTRIES:
        raise PortfolioInvalid([f"it has {entries} entries, at most {MOST_ENTRIES} here; use {COMMAND}"])
    check_references(
        portfolio,
        known_utilities=[one.utility_id for one in web.portfolio.utilities()],
        known_programs=web.known_programs(
            [name for facility in portfolio.facilities for name in facility.program_ids]
        ),
        rules=web.portfolio_rules,
        recorded=web.portfolio.recorded_references(utilities, facilities),
    )


def _refusal(error: PortfolioInvalid) -> Problem:
    """Paths with the index of their entry, as the command line prints them."""
    reasons = [ProblemReason(code="invalid_portfolio", detail=problem) for problem in error.problems]
    return Problem("invalid-request", "the portfolio has problems; correct them", tuple(reasons))
