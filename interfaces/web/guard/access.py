"""Who may call what: one table of every route, and the guard that applies it.

A route that is not in the table is closed. Bodies are never read before the guard has let the caller in.
"""

from typing import Any, cast

from litestar.connection import ASGIConnection, Request
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler

from application.ports.access.api_keys import ApiKey, Role
from interfaces.web.authentication.api_key import unauthenticated
from interfaces.web.authentication.session_cookie import caller_of, token_of
from interfaces.web.edge import Edge, edge_of
from interfaces.web.guard.query_validation import check_query
from interfaces.web.middleware.replica_routing import is_away, may_read_alone
from interfaces.web.problems import STORE_RETRY_AFTER_S, Problem, ProblemReason, try_again
from interfaces.web.routes import AS_OF, DR_EVENT, FACILITY, WEBHOOK, names_a_past

MAX_BODY_BYTES = 256 * 1024

ApiRequest = Request[ApiKey, Any, State]

ANYONE: frozenset[Role] | None = None
UTILITY: frozenset[Role] = frozenset({"utility"})
OPERATOR: frozenset[Role] = frozenset({"operator", "admin"})
AUDITOR: frozenset[Role] = frozenset({"auditor", "admin"})
READER: frozenset[Role] = frozenset({"dashboard", "operator", "auditor", "admin"})
READER_OR_UTILITY: frozenset[Role] = READER | UTILITY
EVERY_KEY = READER_OR_UTILITY

DEAD_LETTER = "/api/dead-letters/{dead_letter_id}"
SIGN_IN = "POST /api/session"
STREAM = "GET /api/stream"

ACCESS: dict[str, frozenset[Role] | None] = {
    f"POST {WEBHOOK}": UTILITY,
    f"PATCH {WEBHOOK}/{{utility_event_id}}": UTILITY,
    f"DELETE {WEBHOOK}/{{utility_event_id}}": UTILITY,
    "GET /api/dr-events": READER_OR_UTILITY,
    f"GET {DR_EVENT}": READER_OR_UTILITY,
    f"GET {DR_EVENT}/dispatches": READER_OR_UTILITY,
    f"GET {DR_EVENT}/performance": READER_OR_UTILITY,
    f"GET {DR_EVENT}/performance/{{facility_id}}": READER_OR_UTILITY,
    f"GET {DR_EVENT}/callbacks": READER_OR_UTILITY,
    f"GET {DR_EVENT}/load": READER_OR_UTILITY,
    f"POST {DR_EVENT}/cancellation": OPERATOR,
    f"POST {DR_EVENT}/overrides": OPERATOR,
    f"POST {DR_EVENT}/restored-by-hand": OPERATOR,
    "GET /api/facilities": READER,
    "POST /api/facilities": OPERATOR,
    f"GET {FACILITY}": READER,
    f"GET {FACILITY}/health": READER,
    f"GET {FACILITY}/current": READER,
    f"GET {FACILITY}/history": READER,
    f"GET {FACILITY}/forecast": READER,
    f"GET {FACILITY}/forecast/accuracy": READER,
    f"POST {FACILITY}/maintenance": OPERATOR,
    f"POST {FACILITY}/opt-out": OPERATOR,
    f"POST {FACILITY}/opt-in": OPERATOR,
    "GET /api/portfolio": READER,
    "GET /api/portfolio/current": READER,
    "GET /api/portfolio/forecast": READER,
    "GET /api/portfolio/load": READER,
    "GET /api/audit/dr-events/{dr_event_id}": AUDITOR,
    "GET /api/audit/dr-events/{dr_event_id}/proof": AUDITOR,
    "GET /api/audit/ledger": AUDITOR | OPERATOR,
    "GET /api/alerts": OPERATOR | {"dashboard"},
    "GET /api/dead-letters": OPERATOR,
    f"GET {DEAD_LETTER}": OPERATOR,
    f"POST {DEAD_LETTER}/discard": OPERATOR,
    f"POST {DEAD_LETTER}/replay": OPERATOR,
    "GET /api/operations": OPERATOR,
    "GET /api/projections": OPERATOR,
    STREAM: READER,
    SIGN_IN: EVERY_KEY,
    "GET /api/session": EVERY_KEY,
    "DELETE /api/session": EVERY_KEY,
    "GET /": ANYONE,
    "GET /health": ANYONE,
    "GET /metrics": ANYONE,
    "GET /problems/{name}": ANYONE,
    "GET /ready": ANYONE,
    "GET /runbooks/{alert}": ANYONE,
    "GET /schema": ANYONE,
    "GET /schema/openapi.json": ANYONE,
    "GET /schema/{path}": ANYONE,
    "GET /static/{name}": ANYONE,
}

FOR_ONE_FACILITY = frozenset(
    {
        "GET /api/facilities",
        f"GET {FACILITY}",
        f"GET {FACILITY}/health",
        f"GET {FACILITY}/current",
        f"GET {FACILITY}/history",
        f"GET {FACILITY}/forecast",
        f"GET {FACILITY}/forecast/accuracy",
        STREAM,
        SIGN_IN,
        "GET /api/session",
        "DELETE /api/session",
    }
)
"""What a dashboard key of one facility may read, of that facility."""

WITHOUT_STORE = frozenset(
    {
        f"GET {FACILITY}/current",
        f"GET {FACILITY}/history",
        "GET /api/operations",
        "GET /api/session",
        STREAM,
    }
)
"""What has something to say by itself while PostgreSQL does not answer; nobody else waits to hear that it does not."""


def route_of(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """`METHOD /path/{template}`, a key of ACCESS; HEAD counts as GET."""
    method = str(connection.scope["method"])  # type: ignore[typeddict-item]
    return f"{'GET' if method == 'HEAD' else method} {connection.scope['path_template']}"


async def admit(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Size as declared, API key, role, rate and query, in that order; each refusal is its own problem."""
    route = route_of(connection)
    _check_declared_size(connection)
    roles = ACCESS.get(route, frozenset())
    if roles is None:
        return
    edge = edge_of(connection)
    if route == SIGN_IN:
        await _check_may_try(edge, connection)
    api_key = await caller_of(connection, edge.authenticator, edge.signed_in)
    _check_role(route, roles, api_key)
    connection.scope["user"] = api_key
    _check_has_a_past(connection, route, handler)
    of_utility = route.partition(" ")[2].startswith(WEBHOOK)
    if of_utility:
        await _check_rate(edge, api_key.key_id, "too many requests with this key")
    elif route != STREAM:  # bounded by how many watch: after a restart all of them come back at once
        _check_read_rate(edge, api_key)
    if is_away(connection.scope, edge.live.state) and route not in WITHOUT_STORE:
        _check_replica_has_it(edge, connection, route)
    if route.startswith("POST ") and route != SIGN_IN and not of_utility:
        check_is_json(connection)
    check_query(connection, handler)


def _check_replica_has_it(edge: Edge, connection: ASGIConnection[Any, Any, Any, Any], route: str) -> None:
    web = edge.collaborators
    if not may_read_alone(web.replica, edge.live.state, web.clock, connection.scope, route):
        raise store_is_away()


def store_is_away() -> Problem:
    """As whoever waited for PostgreSQL would be told, but at once: each who waits holds a thread that others need."""
    return try_again("unavailable", "the store does not answer; try again", retry_after_s=STORE_RETRY_AFTER_S)


def _check_declared_size(connection: ASGIConnection[Any, Any, Any, Any]) -> None:
    declared = connection.headers.get("content-length", "0")
    if (
        not (declared.isascii() and declared.isdigit())
        or len(declared) > 15
        or int(declared) > MAX_BODY_BYTES
    ):
        raise body_too_large()


def body_too_large() -> Problem:
    return Problem("body-too-large", f"a body may have {MAX_BODY_BYTES} bytes")


def _check_role(route: str, roles: frozenset[Role], api_key: ApiKey) -> None:
    if api_key.role not in roles:
        allowed = ", ".join(sorted(roles)) or "nobody"
        raise Problem("forbidden", f"this key has the role {api_key.role}; allowed: {allowed}")
    if api_key.facility_id is not None and route not in FOR_ONE_FACILITY:
        raise Problem("forbidden", f"this key sees only the facility {api_key.facility_id}")


def _check_has_a_past(
    connection: ASGIConnection[Any, Any, Any, Any], route: str, handler: BaseRouteHandler
) -> None:
    """What is so now must not be taken for what was so then."""
    asked = names_a_past(connection.scope["query_string"])
    if not asked or not route.startswith("GET ") or AS_OF in handler.parsed_fn_signature.parameters:
        return
    detail = (
        "no history is kept of that: without `as_of` it tells what is so now. DR events, facilities, the portfolio, "
        "forecasts and the audit trail have a past; what was drawn is at `/history`"
    )
    raise Problem("invalid-request", detail, (ProblemReason(code="no_history", detail=detail, field=AS_OF),))


async def _check_may_try(edge: Edge, connection: ASGIConnection[Any, Any, Any, Any]) -> None:
    """Signing in takes the key itself, and tries count by where they come from, whether they succeed or not."""
    if token_of(connection) is not None:
        raise unauthenticated()
    address = connection.client.host if connection.client is not None else "unknown"
    await _check_rate(edge, f"sign-in {address}", "too many tries to sign in from this address")


async def _check_rate(edge: Edge, counted_by: str, detail: str) -> None:
    decision = await edge.collaborators.rate_limiter.hit(counted_by)
    if not decision.allowed:
        raise try_again("rate-exceeded", detail, retry_after_s=decision.retry_after_s)


def _check_read_rate(edge: Edge, api_key: ApiKey) -> None:
    wait_s = edge.rates.wait_s(api_key.key_id)
    if wait_s > 0:
        raise try_again("rate-exceeded", "too many requests with this key", retry_after_s=wait_s)


def check_is_json(connection: ASGIConnection[Any, Any, Any, Any]) -> None:
    """Whatever else is declared is refused, a missing declaration too."""
    declared = cast("str", connection.headers.get("content-type", "")).partition(";")[0].strip().lower()
    if declared != "application/json":
        raise Problem("unsupported-media-type", f"the body is declared as {declared[:100] or 'nothing'}")
