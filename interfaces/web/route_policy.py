"""The policy of a route: who may call it, and how it is served.

Each handler declares its own, as `@get("/", policy=RoutePolicy(...))`; Litestar keeps it in the handler's `opt`. The
guard, the middlewares and the OpenAPI document read it from there. A handler without a policy is closed to everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from litestar import Litestar
from litestar.handlers import BaseRouteHandler
from litestar.routes import HTTPRoute

from application.ports.access.api_keys import Role

ANYONE: frozenset[Role] | None = None
UTILITY: frozenset[Role] = frozenset({"utility"})
OPERATOR: frozenset[Role] = frozenset({"operator", "admin"})
ADMIN: frozenset[Role] = frozenset({"admin"})
AUDITOR: frozenset[Role] = frozenset({"auditor", "admin"})
READER: frozenset[Role] = frozenset({"dashboard", "operator", "auditor", "admin"})
OWNER: frozenset[Role] = frozenset({"owner"})
FACILITY_READER: frozenset[Role] = READER | OWNER
"""Of what a key of one facility may read too."""
READER_OR_UTILITY: frozenset[Role] = READER | UTILITY
EVERY_KEY = READER_OR_UTILITY | OWNER
ALERT_READER: frozenset[Role] = OPERATOR | {"dashboard"}

BODY_BYTES = 256 * 1024
"""What a body may have, but for uploads."""

CacheMode = Literal["now", "stale", "replica", "primary"]
RateLimit = Literal["per_key", "webhook", "sign_in", "none"]


@dataclass(frozen=True, kw_only=True)
class RoutePolicy:
    """Declared beside the handler."""

    roles: frozenset[Role] | None
    """Who may call it; ANYONE: without an API key."""
    one_facility: bool = False
    """Whether a key of one facility, if its role may, may call it; the handler sees to it that it is that facility."""
    cache: CacheMode = "now"
    """How a read is served.

    - `now`: current data or an error. For proofs and open work.
    - `stale`: labelled where its read models are behind, and answered from the last response while the store is down.
    - `replica`: as `stale`; while the primary is down the replica answers, since read models are all that it reads.
    - `primary`: as `stale`, but its rows are never read from a replica.
    """
    reads_replica: bool = False
    """Whether rows that belong to no projection come from the replica too: they are as old as the replica is."""
    projections: tuple[str, ...] = ()
    """The projections whose rows it returns: it is stale while one of them is behind the log."""
    ignores_as_of: bool = False
    """It returns rows of now for an `as_of` too; others fold the log then, which no projection can delay."""
    needs_store: bool = True
    """Whether it can do nothing while PostgreSQL is down: it is refused at once then."""
    has_etag: bool = True
    """Whether a GET has an `ETag` and answers 304 to a matching `If-None-Match`."""
    is_constant: bool = False
    """Its whole response is the same as long as the process runs: compressed once."""
    reads_json: bool = False
    """Whether it decodes its body itself, which must be declared as JSON; of a body that Litestar decodes it is known.
    """
    most_body_bytes: int = BODY_BYTES
    """The handler of a route with more reads its body as it comes, and declares the same to the framework."""
    rate_limit: RateLimit = "per_key"
    """`per_key`: the rate of reads of each process. `webhook`, `sign_in`: the shared limiter, by key or by address."""


CLOSED = RoutePolicy(roles=frozenset())
"""Of a handler that declares none."""


def policy_of(handler: BaseRouteHandler) -> RoutePolicy:
    """The policy that a resolved handler declares; CLOSED without one.

    Litestar's own OPTIONS handlers declare none and would inherit that of a router: they are closed.
    """
    if getattr(handler, "http_methods", None) == {"OPTIONS"}:
        return CLOSED
    return cast("RoutePolicy", handler.opt.get("policy", CLOSED))


def policy_in(scope: Mapping[str, Any]) -> RoutePolicy:
    """The policy of the route that a request was resolved to."""
    handler: BaseRouteHandler | None = scope.get("route_handler")
    return CLOSED if handler is None else policy_of(handler)


def route_policies(app: Litestar) -> dict[str, RoutePolicy]:
    """`METHOD /path/{parameter}` -> its policy, for every route of the application."""
    routes = [route for route in app.routes if isinstance(route, HTTPRoute)]
    found = {
        f"{method} {route.path_format}": policy_of(handler)
        for route in routes
        for handler in route.route_handlers
        for method in handler.http_methods
        if method not in {"OPTIONS", "HEAD"}
    }
    return dict(sorted(found.items()))
