"""Exception handlers: every exception that ends a request becomes a problem document without internal details."""

import re
from collections.abc import Callable
from typing import Any, cast

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ExceptionHandlersMap

from application.access.api_keys import InvalidApiKeyScope, InvalidApiKeyTime
from application.command_bus.bus import IdempotencyMismatch, TooManyConflicts
from application.event_store.event_mapper import UnknownTopic
from application.facility.portfolio_validation import PortfolioInvalid
from application.ledger.consistency import CheckpointNotFound
from application.ledger.proof import NotProvable
from application.operations.dead_letter_replay import NotReplayable
from application.ports.access.api_keys import ApiKeyNotFound, ApiKeyNotValid, KeyIssueNotAllowed
from application.ports.clock import ClockSkewed
from application.ports.event_store.event_store import SaveTooLarge
from application.ports.operations.alerts import AlertDecided, AlertNotFound
from application.ports.operations.dead_letters import DeadLetterDecided, DeadLetterNotFound
from application.ports.operations.host_tasks import HistoryTaskOpen, HostTaskNotAllowed
from domain.errors import (
    BmsAccessDenied,
    DomainError,
    FacilityNotAvailable,
    NotAllowedNow,
    ReasonRequired,
    SettlementFinal,
    SettlementWaits,
    UnknownDispatch,
    UnknownDREvent,
    UnknownFacility,
)
from interfaces.web.caching.unavailable import UNAVAILABLE
from interfaces.web.middleware.tracing import trace_id_of
from interfaces.web.problems import (
    MEDIA_TYPE,
    STORE_RETRY_AFTER_S,
    WRONG_FIELDS,
    Problem,
    ProblemReason,
    try_again,
)
from projections.as_of.lists import HistoryStillLoading, PastTooLarge
from projections.audit.replay import DREventNotRecorded
from projections.audit.stream_log import PositionAhead, TimesNotIndexed
from projections.audit.subject_replay import SubjectNotRecorded
from projections.engine.cursors import InvalidCursor, UnknownFilter

log = structlog.get_logger("web")

AnyRequest = Request[Any, Any, Any]

_ONLY_ENTRY = re.compile(r"^(?:facilities|programs)\[0\]\.")
_DR_EVENTS = ("/api/dr-events/", "/api/audit/dr-events/")
_BY_STATUS = {
    400: "invalid-request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    413: "body-too-large",
    415: "unsupported-media-type",
    429: "rate-exceeded",
}
_BY_DOMAIN_ERROR: dict[type[DomainError], str] = {
    UnknownDREvent: "not-found",
    UnknownFacility: "not-found",
    UnknownDispatch: "not-found",
    NotAllowedNow: "not-allowed-now",
    FacilityNotAvailable: "not-allowed-now",
    ReasonRequired: "invalid-request",
    SettlementFinal: "settlement-final",
    SettlementWaits: "not-allowed-now",
    BmsAccessDenied: "forbidden",
}


def problem_response(request: AnyRequest, problem: Problem) -> Response[bytes]:
    document = problem.document(trace_id_of(request.scope))
    return Response(
        msgspec.json.encode(document),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=problem.headers,
    )


def of_framework(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    """Refusals of Litestar itself: unknown paths and methods, bodies that are too large or invalid."""
    if error.status_code >= 500:
        return of_defect(request, error)
    name = _BY_STATUS.get(error.status_code, "invalid-request")
    reasons = tuple(_field_reasons(error)) if isinstance(error, ValidationException) else ()
    return problem_response(
        request, Problem(name, _detail_of(name, request, error), reasons, _headers(error))
    )


def _detail_of(name: str, request: AnyRequest, error: HTTPException) -> str:
    if name == "not-found" and request.url.path.startswith(_DR_EVENTS):
        return (
            "no such path, or no such id: a path takes our id of a DR event (a UUID, `dr_event_id`); "
            "GET /api/dr-events?utility_event_id=YOURS finds it by the utility's own"
        )
    if name == "not-found":
        return "no such path, or no such id; see the API at /schema"
    if name == "method-not-allowed":
        return f"{request.method} does nothing here; see the API at /schema"
    return WRONG_FIELDS if name == "invalid-request" else error.detail


def _headers(error: HTTPException) -> dict[str, str]:
    return {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}


def _field_reasons(error: ValidationException) -> list[ProblemReason]:
    extra = error.extra if isinstance(error.extra, list) else []
    entries = [entry for entry in extra if isinstance(entry, dict)]
    return [
        ProblemReason(
            code="invalid_field", detail=str(entry.get("message", "")), field=str(entry.get("key", "body"))
        )
        for entry in entries
    ]


def of_domain(request: AnyRequest, error: DomainError) -> Response[bytes]:
    name = _BY_DOMAIN_ERROR.get(type(error), "refused")
    reason = ProblemReason(code=error.code, detail=str(error))
    return problem_response(request, Problem(name, str(error), (reason,)))


def of_portfolio(request: AnyRequest, error: PortfolioInvalid) -> Response[bytes]:
    """A reason for each field, without the index: a posted entry is not part of a list."""
    reasons = []
    for problem in error.problems:
        path, _, detail = _ONLY_ENTRY.sub("", problem).partition(": ")
        reasons.append(ProblemReason(code="invalid_field", detail=detail, field=path))
    return problem_response(request, Problem("invalid-request", "some fields are wrong", tuple(reasons)))


def of_api_key(request: AnyRequest, error: InvalidApiKeyScope | InvalidApiKeyTime) -> Response[bytes]:
    field = "expires_at" if isinstance(error, InvalidApiKeyTime) else "role"
    reason = ProblemReason(code="invalid_field", detail=str(error), field=field)
    return problem_response(request, Problem("invalid-request", str(error), (reason,)))


def of_store(request: AnyRequest, error: Exception) -> Response[bytes]:
    """A store does not answer. Acknowledged requests are recorded; others can be sent again."""
    log.warning("store unavailable", error=str(error), trace_id=trace_id_of(request.scope))
    problem = try_again(
        "unavailable", "a store cannot be reached; try again", retry_after_s=STORE_RETRY_AFTER_S
    )
    return problem_response(request, problem)


def of_wrong_clock(request: AnyRequest, error: ClockSkewed) -> Response[bytes]:
    """Nothing was decided; another process, or this one with its clock set, can."""
    log.error("the clock is wrong", error=str(error), trace_id=trace_id_of(request.scope))
    problem = try_again(
        "unavailable", "the clock of this process is wrong; try again", retry_after_s=STORE_RETRY_AFTER_S
    )
    return problem_response(request, problem)


def of_newer_release(request: AnyRequest, error: UnknownTopic) -> Response[bytes]:
    """During an upgrade: a process of the newer release can answer, and soon this one too."""
    log.error("a newer release wrote what this one cannot read", error=str(error))
    problem = try_again(
        "unavailable", "an upgrade is under way; try again", retry_after_s=STORE_RETRY_AFTER_S
    )
    return problem_response(request, problem)


def of_lost_races(request: AnyRequest, error: TooManyConflicts) -> Response[bytes]:
    return problem_response(request, try_again("unavailable", "many requests at once for the same things"))


def of_unfolded_past(request: AnyRequest, error: HistoryStillLoading | TimesNotIndexed) -> Response[bytes]:
    return problem_response(request, try_again("past-not-folded", str(error)))


def _problem_named(name: str) -> Callable[[AnyRequest, Exception], Response[bytes]]:
    def respond(request: AnyRequest, error: Exception) -> Response[bytes]:
        return problem_response(request, Problem(name, str(error)))

    return respond


def of_defect(request: AnyRequest, error: Exception) -> Response[bytes]:
    """A defect: the log has the traceback, the response only the trace id."""
    log.error(
        "request failed",
        method=request.method,
        route=str(request.scope.get("path_template", "?")),
        trace_id=trace_id_of(request.scope),
        exc_info=error,
    )
    return problem_response(request, Problem("internal-error", "something went wrong; the log has it"))


_BY_NAME: dict[type[Exception], str] = {
    IdempotencyMismatch: "idempotency-mismatch",
    ApiKeyNotFound: "not-found",
    ApiKeyNotValid: "not-allowed-now",
    KeyIssueNotAllowed: "forbidden",
    HostTaskNotAllowed: "forbidden",
    HistoryTaskOpen: "not-allowed-now",
    AlertNotFound: "not-found",
    AlertDecided: "not-allowed-now",
    DeadLetterNotFound: "not-found",
    DeadLetterDecided: "not-allowed-now",
    CheckpointNotFound: "not-found",
    NotProvable: "not-allowed-now",
    NotReplayable: "not-allowed-now",
    DREventNotRecorded: "not-found",
    SubjectNotRecorded: "not-found",
    PositionAhead: "not-found",
    PastTooLarge: "past-too-large",
    InvalidCursor: "invalid-request",
    UnknownFilter: "invalid-request",
}

EXCEPTION_HANDLERS = cast(
    "ExceptionHandlersMap",
    {
        Problem: problem_response,
        HTTPException: of_framework,
        DomainError: of_domain,
        TooManyConflicts: of_lost_races,
        HistoryStillLoading: of_unfolded_past,
        TimesNotIndexed: of_unfolded_past,
        PortfolioInvalid: of_portfolio,
        InvalidApiKeyScope: of_api_key,
        InvalidApiKeyTime: of_api_key,
        SaveTooLarge: _problem_named("body-too-large"),
        UnknownTopic: of_newer_release,
        Exception: of_defect,
        **dict.fromkeys(UNAVAILABLE, of_store),
        ClockSkewed: of_wrong_clock,
        **{error: _problem_named(name) for error, name in _BY_NAME.items()},
    },
)


def problem_bytes(request: AnyRequest, error: BaseException) -> bytes:
    """The problem document of an error that ends a response which has begun."""
    handlers = cast("dict[type[BaseException], Callable[..., Response[bytes]]]", EXCEPTION_HANDLERS)
    handle = next((handlers[kind] for kind in type(error).__mro__ if kind in handlers), None)
    if handle is None:  # not an Exception: the process ends
        raise error
    return handle(request, error).content
