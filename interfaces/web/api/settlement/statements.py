"""Routes of statements: a program's month or season, and a facility's own part of it."""

from collections.abc import Callable, Sequence

import msgspec
from litestar import Controller, Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath

from application.settlement.period_statement import (
    CurrenciesDiffer,
    PeriodFigures,
    PeriodStatement,
    notes_of,
)
from domain.program import ProgramState
from domain.settlement.period import InvalidPeriod
from interfaces.settlement.periods import (
    MOST_PARTS,
    PeriodSources,
    PeriodTooLarge,
    parsed_period,
    path_form,
    statement_of,
)
from interfaces.settlement.statement.csv_records import month_csv
from interfaces.settlement.statement.month_page import month_html
from interfaces.web.api.settlement.controller import settlement_read
from interfaces.web.api.settlement.documents import FacilityStatementDocument
from interfaces.web.api.settlement.forms import Form, form_of, in_form
from interfaces.web.edge import Web, WebDependencies, models_of
from interfaces.web.guard.access import ApiRequest
from interfaces.web.problems import Problem
from interfaces.web.requests.visibility import unknown_facility, visible_facility
from interfaces.web.route_policy import EVERY_KEY, READER_OR_UTILITY, RoutePolicy

SETTLEMENT_PATH = "/api/dr-events/{}/settlement"


class ProgramStatementController(Controller):
    path = "/api/programs/{program_id:str}/statements"
    tags = ("settlements",)

    @get(
        "/{period:str}",
        summary="A program's month or season: each DR event, the capacity, the total",
        responses={200: ResponseSpec(PeriodStatement, generate_examples=False, description="The statement")},
        policy=RoutePolicy(roles=READER_OR_UTILITY),
    )
    async def one(
        self, request: ApiRequest, web: Web, program_id: FromPath[str], period: FromPath[str]
    ) -> Response[bytes]:
        """`period` is a month, 2026-07, or a season, 2026-06_2026-09. `Accept: text/html` gives a printable page,
        `text/csv` records. It is provisional until no DR event of it can be settled again."""
        written, form = _period(period), form_of(request)
        sources, tenant = _sources(request, web), request.user.utility_id
        program_of, now = web.program, web.clock.now()

        def read() -> bytes:
            program = program_of(program_id[:200])
            if program is None or tenant not in (None, program.utility_id):
                raise Problem("not-found", "no such program; a DR event names its own as `program_id`")
            found = statement_of(sources, program, written, now=now)
            return _in_form([found], found.statement, written, form, facility_id=None)

        body = await _read(request, web, ("program statement", program_id, written, tenant, form), read)
        return in_form(body, form, file_name=f"statement-{period}")


class FacilityStatementController(Controller):
    path = "/api/facilities/{facility_id:str}/statements"
    tags = ("settlements",)

    @get(
        "/{period:str}",
        summary="A facility's month or season, in each of its programs: its own part alone",
        responses={
            200: ResponseSpec(FacilityStatementDocument, generate_examples=False, description="The statement")
        },
        policy=RoutePolicy(roles=EVERY_KEY, one_facility=True),
    )
    async def one(
        self, request: ApiRequest, web: Web, facility_id: FromPath[str], period: FromPath[str]
    ) -> Response[bytes]:
        """As a program's. A utility gets the programs that are its own; of a facility in none of them it learns
        nothing."""
        written, form = _period(period), form_of(request)
        facility = await visible_facility(request, facility_id)
        sources, tenant = _sources(request, web), request.user.utility_id
        program_of, now = web.program, web.clock.now()
        program_ids = sorted({*facility.programs, *(one.program_id for one in facility.enrolled)})

        def read() -> bytes:
            programs = [found for found in map(program_of, program_ids) if _is_visible(found, tenant)]
            if tenant is not None and not programs:
                raise unknown_facility()
            figures = [
                statement_of(sources, program, written, now=now, facility_id=facility_id)
                for program in programs
                if program is not None
            ]
            document = FacilityStatementDocument(
                facility_id=facility_id,
                period=written,
                programs=tuple(one.statement for one in figures),
            )
            return _in_form(figures, document, written, form, facility_id=facility_id)

        body = await _read(request, web, ("facility statement", facility_id, written, tenant, form), read)
        return in_form(body, form, file_name=f"statement-{period}")


def _period(period: str) -> str:
    """The period as documents write it. Raises Problem (400)."""
    written = path_form(period)
    try:
        parsed_period(written)
    except (InvalidPeriod, PeriodTooLarge) as error:
        detail = f"{error}; in an address a season is written as 2026-06_2026-09"
        raise Problem("invalid-request", detail) from error
    return written


def _sources(request: ApiRequest, web: WebDependencies) -> PeriodSources:
    models = models_of(request)
    return PeriodSources(
        dr_events=models.dr_events,
        facilities=models.facilities,
        documents=web.settlements,
        tenant=request.user.utility_id,
        most_parts=MOST_PARTS,
    )


def _is_visible(program: ProgramState | None, tenant: str | None) -> bool:
    return program is not None and tenant in (None, program.utility_id)


async def _read(
    request: ApiRequest, web: WebDependencies, name: tuple[object, ...], read: Callable[[], bytes]
) -> bytes:
    """Raises Problem."""
    try:
        return await settlement_read(request, web, name, read)
    except PeriodTooLarge as error:
        raise Problem("past-too-large", str(error)) from error
    except CurrenciesDiffer as error:
        raise Problem("not-allowed-now", str(error)) from error


def _in_form(
    figures: Sequence[PeriodFigures],
    document: msgspec.Struct,
    period: str,
    form: Form,
    *,
    facility_id: str | None,
) -> bytes:
    if form == "json":
        return msgspec.json.encode(document)
    settlements = [one for found in figures for one in found.documents]
    capacities = [one for found in figures for one in found.capacities]
    if form == "csv":
        return month_csv(settlements, capacities, facility=facility_id).encode()
    return month_html(
        period,
        settlements,
        capacities,
        facility=facility_id,
        settlement_path=SETTLEMENT_PATH,
        notes=[note for found in figures for note in notes_of(found.statement)],
    ).encode()
