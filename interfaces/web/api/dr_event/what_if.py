"""Route of what-if in money: a settlement beside the one by another rule, another baseline, or without a facility."""

import asyncio
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from application.settlement.offline_files import rule_problems
from application.settlement.what_if import WhatIfRefused
from domain.baseline import InvalidBaselineRule, UnknownBaselineMethod
from domain.event_sourcing.decoders import converted
from domain.program import BaselineTerms, SettlementRule
from interfaces.web.edge import Web
from interfaces.web.guard.access import ApiRequest
from interfaces.web.problems import Problem, ProblemReason
from interfaces.web.requests.as_of import parse_as_of, visible_dr_event
from interfaces.web.requests.command_context import tenant_of
from interfaces.web.route_policy import AUDITOR, OPERATOR, UTILITY, RoutePolicy
from interfaces.what_if.remeasuring import MeasuringSources
from interfaces.what_if.settlement import (
    MOST_RULE_BYTES,
    MostCompared,
    RuleQuestion,
    SettlementQuestion,
    SettlementWhatIf,
    check_baseline,
    settlement_what_if,
)

MOST_FACILITIES = 2_000
MOST_STEPS = 50_000
"""Of a DR event, of all facilities together: to compare two settlements of so many takes ten seconds."""
MOST_MEASURED_AGAIN = 250
"""Facilities that one request measures again: each reads 45 days."""
MOST_PROBLEMS = 50
OF_THE_STATE = frozenset({"no_program", "no_rule", "readings_gone"})
"""Refusals that are about the DR event, whatever is asked."""
FacilityId = Annotated[str, Meta(min_length=1, max_length=200)]


class BaselineBody(BaselineTerms, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A method and its parameters. A facility's own firm level goes before that of `parameters`."""


class WhatIfBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The alteration: at most one of `rule`, `program_version` and `programme`."""

    rule: dict[str, Any] | None = None
    """A `settlement-rule/1` of at most 64 kB."""
    program_version: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    """The rule of that version of the DR event's program."""
    programme: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    """The rule of a programme that this release carries."""
    baseline: BaselineBody | None = None
    without: Annotated[tuple[FacilityId, ...], Meta(max_length=1_000)] = ()
    as_of: Annotated[str, Meta(min_length=1, max_length=50)] | None = None
    """Of the DR event as it stood at a moment (RFC 3339), or at a position of the log."""


class WhatIfController(Controller):
    path = "/api/dr-events/{dr_event_id:uuid}/what-if"
    tags = ("DR events",)

    @post(
        "/",
        status_code=200,
        summary="What another rule, another baseline, or a facility less would have paid; nothing is recorded",
        policy=RoutePolicy(roles=OPERATOR | AUDITOR | UTILITY),
    )
    async def answer(
        self,
        request: ApiRequest,
        web: Web,
        dr_event_id: FromPath[UUID],
        data: JSONBody[WhatIfBody],
    ) -> SettlementWhatIf:
        """Beside the settlement in force, line by line. Another baseline is measured on the present readings, which a
        utility's key may not ask for; `regression` is computed on the command line alone."""
        past = parse_as_of(data.as_of)
        question = await _question(request, data)
        await visible_dr_event(request, dr_event_id, past)
        sources = MeasuringSources(web.telemetry, web.public_holidays)
        facilities = MOST_FACILITIES if question.baseline is None else MOST_MEASURED_AGAIN
        most = MostCompared(facilities, MOST_STEPS)

        def answered() -> SettlementWhatIf:
            return settlement_what_if(web.history, dr_event_id, question, sources, as_of=past, most=most)

        try:
            return await web.what_if_limit.run(tenant_of(request), lambda: asyncio.to_thread(answered))
        except WhatIfRefused as error:
            raise _refused(error) from error


async def _question(request: ApiRequest, body: WhatIfBody) -> SettlementQuestion:
    """Raises Problem, which names what is wrong."""
    rules = [one for one in (body.rule, body.program_version, body.programme) if one is not None]
    if len(rules) > 1:
        raise Problem("invalid-request", "give one of `rule`, `program_version` and `programme`")
    if not rules and body.baseline is None and not body.without:
        raise Problem(
            "invalid-request",
            "say what is to be different: `rule`, `program_version`, `programme`, `baseline` or `without`",
        )
    if body.baseline is not None:
        _check_baseline(request, body.baseline)
    return SettlementQuestion(
        rule=RuleQuestion(
            given=None if body.rule is None else await _rule(request, body.rule),
            program_version=body.program_version,
            programme=body.programme,
        ),
        baseline=body.baseline,
        without=tuple(sorted(set(body.without))),
    )


async def _rule(request: ApiRequest, document: dict[str, Any]) -> SettlementRule:
    if len(await request.body()) > MOST_RULE_BYTES:
        raise Problem("body-too-large", f"a rule has at most {MOST_RULE_BYTES} bytes")
    problems = list(rule_problems(document, "rule"))
    if problems:
        reasons = tuple(
            ProblemReason(code="invalid_field", field=path, detail=detail)
            for path, _, detail in (one.partition(": ") for one in problems[:MOST_PROBLEMS])
        )
        raise Problem("invalid-request", "the rule cannot be settled by", reasons)
    return converted(document, SettlementRule)


def _check_baseline(request: ApiRequest, baseline: BaselineTerms) -> None:
    if request.user.utility_id is not None:
        raise Problem(
            "forbidden",
            "another baseline is measured on the present readings, which is an estimate: ask the operator",
        )
    try:
        check_baseline(baseline)
    except (InvalidBaselineRule, UnknownBaselineMethod) as error:
        reason = ProblemReason(code="invalid_field", field="baseline", detail=str(error))
        raise Problem("invalid-request", str(error), (reason,)) from error
    if baseline.method == "regression":
        raise _refused(
            WhatIfRefused(
                "command_line_only",
                "a regression is fitted on the command line: `gridproof audit what-if ID --baseline regression`",
            )
        )


def _refused(error: WhatIfRefused) -> Problem:
    name = "not-allowed-now" if error.code in OF_THE_STATE else "what-if-refused"
    return Problem(name, str(error), (ProblemReason(code=error.code, detail=str(error)),))
