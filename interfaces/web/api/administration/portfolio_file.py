"""Route of the import of a portfolio file: the same as `gridproof facilities import`, for files of bounded size."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Annotated

import msgspec
from litestar import Controller, post
from litestar.params import JSONBody
from litestar.response import Stream
from msgspec import Meta

from application.facility.portfolio_entries import Portfolio
from application.facility.portfolio_validation import PortfolioInvalid, check_references, read_portfolio
from application.operations.portfolio_import import (
    ImportReport,
    PortfolioTarget,
    entries_of,
    import_portfolio,
    rehearse_import,
)
from interfaces.web.edge import Web, WebDependencies
from interfaces.web.guard.access import ApiRequest
from interfaces.web.middleware.error_responses import problem_bytes
from interfaces.web.middleware.tracing import trace_id_of
from interfaces.web.problems import Problem, ProblemReason
from interfaces.web.requests.command_context import actor_of
from interfaces.web.route_policy import ADMIN, RoutePolicy

MOST_ENTRIES = 200
"""Utilities, programs and facilities of a file together: what a request can wait for."""
MOST_VALUES = 100_000
MOST_CHARACTERS = 200_000
"""Less than a body may have, since JSON escapes line ends."""
LINES = "application/x-ndjson"
COMMAND = "`gridproof facilities import FILE`"


class PortfolioFileBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The text of a portfolio file, YAML or JSON."""

    file: Annotated[str, Meta(max_length=MOST_CHARACTERS)]
    dry_run: bool = False
    """Check it, and answer what it would change; nothing is recorded."""


class ImportProgress(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the answer while it goes on."""

    done: int
    """Entries of the file."""
    of: int


class ImportEnd(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The last line: one of both."""

    report: ImportReport | None = None
    problem: msgspec.Raw | None = None
    """What was changed until then stays; the same file again does the rest."""


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
        return await web.import_limit.run(_job(request, web, data), _nothing)

    @post(
        "/progress",
        status_code=200,
        summary="Import a portfolio file, and say after each entry how many are done",
        media_type=LINES,
        policy=RoutePolicy(roles=ADMIN),
    )
    async def follow(self, request: ApiRequest, web: Web, data: JSONBody[PortfolioFileBody]) -> Stream:
        """A JSON document a line: `{"done", "of"}`, at the end `{"report"}`, or `{"problem"}` where it failed midway.

        What is refused before the first entry is answered as a problem. A caller that leaves does not stop the import.
        """
        job = _job(request, web, data)
        loop, lines = asyncio.get_running_loop(), asyncio.Queue[ImportProgress | None]()

        def on_progress(done: int, of: int) -> None:
            loop.call_soon_threadsafe(lines.put_nowait, ImportProgress(done=done, of=of))

        running = asyncio.ensure_future(web.import_limit.run(job, on_progress))
        running.add_done_callback(lambda _: lines.put_nowait(None))
        first = await lines.get()
        if first is None and (error := running.exception()) is not None:
            raise error
        return Stream(_lines(request, first, lines, running), media_type=LINES)


Job = Callable[[Callable[[int, int], None]], ImportReport]
"""Takes what is called with the entries that are done, of all."""


def _nothing(_done: int, _of: int) -> None:
    return


async def _lines(
    request: ApiRequest,
    first: ImportProgress | None,
    lines: asyncio.Queue[ImportProgress | None],
    running: asyncio.Future[ImportReport],
) -> AsyncIterator[bytes]:
    line = first
    while line is not None:
        yield msgspec.json.encode(line) + b"\n"
        line = await lines.get()
    failure = running.exception()
    end = (
        ImportEnd(report=running.result())
        if failure is None
        else ImportEnd(problem=msgspec.Raw(problem_bytes(request, failure)))
    )
    yield msgspec.json.encode(end) + b"\n"


def _job(request: ApiRequest, web: WebDependencies, data: PortfolioFileBody) -> Job:
    target = web.portfolio.target
    if target is None:
        raise Problem("not-built-yet", f"this system imports on the command line: {COMMAND}")
    actor, trace_id = actor_of(request), trace_id_of(request.scope)
    return lambda on_progress: _import(web, target, data, on_progress, actor=actor, trace_id=trace_id)


def _import(
    web: WebDependencies,
    target: PortfolioTarget,
    body: PortfolioFileBody,
    on_progress: Callable[[int, int], None],
    *,
    actor: str,
    trace_id: str,
) -> ImportReport:
    content = body.file.encode()
    try:
        portfolio = read_portfolio(content, most_values=MOST_VALUES)
        _check(portfolio, web)
    except PortfolioInvalid as error:
        raise _refusal(error) from None
    if body.dry_run:
        return rehearse_import(portfolio, target, actor=actor, trace_id=trace_id)
    digest, of = hashlib.sha256(content).hexdigest(), entries_of(portfolio)
    return import_portfolio(
        portfolio,
        target,
        file_sha256=digest,
        actor=actor,
        trace_id=trace_id,
        progress=lambda done: on_progress(done, of),
    )


def _check(portfolio: Portfolio, web: WebDependencies) -> None:
    """Raises PortfolioInvalid."""
    entries = entries_of(portfolio)
    if entries > MOST_ENTRIES:
        raise PortfolioInvalid([f"it has {entries} entries, at most {MOST_ENTRIES} here; use {COMMAND}"])
    check_references(
        portfolio,
        known_utilities=[one.utility_id for one in web.portfolio.utilities()],
        known_programs=web.known_programs(
            [name for facility in portfolio.facilities for name in facility.program_ids]
        ),
        rules=web.portfolio_rules,
    )


def _refusal(error: PortfolioInvalid) -> Problem:
    """Paths with the index of their entry, as the command line prints them."""
    reasons = [ProblemReason(code="invalid_portfolio", detail=problem) for problem in error.problems]
    return Problem("invalid-request", "the portfolio has problems; correct them", tuple(reasons))
