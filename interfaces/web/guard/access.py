"""The guard of every route: admits a request by the policy of its handler, before its body is read."""

from typing import Any, cast

from litestar.connection import ASGIConnection, Request
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from litestar.types import Scope

from application.ports.access.api_keys import ApiKey
from interfaces.web.authentication.api_key import unauthenticated
from interfaces.web.authentication.client_address import client_network
from interfaces.web.authentication.failures import FailureKind
from interfaces.web.authentication.session_cookie import check_is_own_page, token_of
from interfaces.web.edge import WebDependencies, web_of
from interfaces.web.guard.query_validation import READING, check_query
from interfaces.web.middleware.replica_routing import is_away, replica_can_serve
from interfaces.web.problems import STORE_RETRY_AFTER_S, Problem, try_again
from interfaces.web.route_policy import BODY_BYTES, RoutePolicy, policy_of

MAX_BODY_BYTES = BODY_BYTES
FROM_PLATFORM = "gridproof_platform"
"""In the scope of a request that came in on the listener of the platform, which needs no API key."""

_WRONG_SIGNATURE = frozenset({"bad-signature", "stale-signature"})

ApiRequest = Request[ApiKey, Any, State]
AnyConnection = ASGIConnection[Any, Any, Any, Any]


async def admit(connection: AnyConnection, handler: BaseRouteHandler) -> None:
    """Check declared size, API key, role, rate, media type and query, in that order; each refusal is a problem."""
    policy = policy_of(handler)
    _check_declared_size(connection, policy.most_body_bytes)
    if policy.roles is None or FROM_PLATFORM in connection.scope:
        return
    web = web_of(connection)
    if policy.rate_limit == "sign_in":
        await _check_sign_in_rate(web, connection)
    api_key = await _caller(web, connection)
    _check_role(policy, api_key)
    connection.scope["user"] = api_key
    if policy.rate_limit == "webhook":
        await _check_rate(web, api_key.key_id, "too many requests with this key")
    elif policy.rate_limit != "none":
        check_read_rate(web, api_key)
    if policy.reads_json or handler.parsed_data_field is not None:
        check_is_json(connection)
    if connection.scope["query_string"]:
        check_query(connection, handler)
    if policy.needs_store and is_away(connection.scope, web.live.state):
        _check_replica_serves(web, connection, policy)


async def _caller(web: WebDependencies, connection: AnyConnection) -> ApiKey:
    """The key that calls. Raises `rate-exceeded` instead of `unauthenticated` beyond the limit of failures."""
    try:
        return await caller_of(web, connection)
    except Problem as problem:
        sent_key = "authorization" in connection.headers
        if problem.name == "unauthenticated" and (sent_key or token_of(connection) is not None):
            network = note_failed_authentication(connection, "api_key" if sent_key else "session")
            raise web.failures.refusal(network) or problem from None
        raise


async def caller_of(web: WebDependencies, connection: AnyConnection) -> ApiKey:
    """The API key of a request: from its `Authorization` header, else from the session of its cookie.

    Raises the problems `unauthenticated` and `forbidden`, or ApiKeysUnavailable.
    """
    only_reads = str(connection.scope["method"]) in READING  # type: ignore[typeddict-item]
    authorization = connection.headers.get("authorization")
    if authorization is not None:
        return await web.authenticator.principal(authorization, only_reads=only_reads)
    token = token_of(connection)
    if token is None:
        raise unauthenticated()
    if not only_reads:
        check_is_own_page(connection)
    return await web.session_authenticator.principal(token, only_reads=only_reads)


def note_failed_authentication(connection: AnyConnection, kind: FailureKind) -> str:
    """Count a failed authentication; returns the client network that it is counted by."""
    network = client_network(address_of(connection))
    web = web_of(connection)
    web.failures.record(network, kind)
    web.metrics.authentication_failures.labels(kind).inc()
    return network


async def count_wrong_signature(error: Exception, scope: Scope) -> None:
    """A hook after each error: a signature is checked after the guard, in a thread."""
    if isinstance(error, Problem) and error.name in _WRONG_SIGNATURE:
        note_failed_authentication(ASGIConnection(scope), "signature")


def _check_replica_serves(web: WebDependencies, connection: AnyConnection, policy: RoutePolicy) -> None:
    if not replica_can_serve(web.replica, web.live.state, web.clock, connection.scope, policy):
        raise store_is_away()


def store_is_away() -> Problem:
    """The answer of a request that waited for PostgreSQL, given at once: a request that waits holds a thread."""
    return try_again("unavailable", "the store does not answer; try again", retry_after_s=STORE_RETRY_AFTER_S)


def _check_declared_size(connection: AnyConnection, most_bytes: int) -> None:
    declared = connection.headers.get("content-length", "0")
    if not (declared.isascii() and declared.isdigit()) or len(declared) > 15 or int(declared) > most_bytes:
        raise body_too_large(most_bytes)


def body_too_large(most_bytes: int = MAX_BODY_BYTES) -> Problem:
    return Problem("body-too-large", f"a body may have {most_bytes} bytes")


def _check_role(policy: RoutePolicy, api_key: ApiKey) -> None:
    roles = policy.roles or frozenset()
    if api_key.role not in roles:
        allowed = ", ".join(sorted(roles)) or "nobody"
        raise Problem("forbidden", f"this key has the role {api_key.role}; allowed: {allowed}")
    if api_key.facility_id is not None and not policy.one_facility:
        raise Problem("forbidden", f"this key sees only the facility {api_key.facility_id}")


async def _check_sign_in_rate(web: WebDependencies, connection: AnyConnection) -> None:
    """Signing in takes the key itself. Attempts count by client address, whether they succeed or not."""
    if token_of(connection) is not None:
        raise unauthenticated()
    network = client_network(address_of(connection))
    await _check_rate(web, f"sign-in {network}", "too many tries to sign in from this address")


def address_of(connection: AnyConnection) -> str:
    """The client's, or what a trusted proxy says that it is."""
    return connection.client.host if connection.client is not None else "unknown"


async def _check_rate(web: WebDependencies, counted_by: str, detail: str) -> None:
    decision = await web.rate_limiter.hit(counted_by)
    if not decision.allowed:
        raise try_again("rate-exceeded", detail, retry_after_s=decision.retry_after_s)


def check_read_rate(web: WebDependencies, api_key: ApiKey) -> None:
    """Raises Problem (429) beyond the rate of a key in this process."""
    wait_s = web.rates.wait_s(api_key.key_id)
    if wait_s > 0:
        raise try_again("rate-exceeded", "too many requests with this key", retry_after_s=wait_s)


def check_is_json(connection: AnyConnection) -> None:
    """Raises Problem (415) for any other declaration, and for a missing one."""
    declared = cast("str", connection.headers.get("content-type", "")).partition(";")[0].strip().lower()
    if declared != "application/json":
        raise Problem("unsupported-media-type", f"the body is declared as {declared[:100] or 'nothing'}")
