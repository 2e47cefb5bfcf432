"""Each handler declares a consistent policy; a handler without one is closed to every caller."""

from typing import Any

import pytest
from litestar import Litestar, get
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from litestar.testing import TestClient

from application.ports.access.api_keys import Role
from application.ports.live_feed import SERVING
from interfaces.web.guard.access import admit
from interfaces.web.middleware.error_responses import EXCEPTION_HANDLERS
from interfaces.web.route_policy import CLOSED, OPERATOR, RoutePolicy, policy_of, route_policies
from tests.unit.interfaces.web.declared_policies import POLICIES
from tests.unit.interfaces.web.edge import Edge
from tests.unit.interfaces.web.guard.test_access_matrix import ROLES

HANDLERS = sorted(
    (
        (f"{method} {route.path_format}", handler)
        for route in Edge().app().routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        for method in sorted(handler.http_methods)
        if method != "OPTIONS"
    ),
    key=lambda pair: pair[0],
)


@pytest.mark.parametrize(("route", "handler"), HANDLERS, ids=[route for route, _ in HANDLERS])
def test_every_handler_of_the_application_declares_a_policy(route: str, handler: HTTPRouteHandler) -> None:
    """If this fails, declare a policy in the new handler: `@get("/", policy=RoutePolicy(...))`."""
    assert isinstance(handler.opt.get("policy"), RoutePolicy)
    assert POLICIES[route] is not CLOSED


@pytest.mark.parametrize("route", [route for route, policy in POLICIES.items() if policy.cache != "now"])
def test_only_reads_are_cached_and_their_projections_are_watched(route: str) -> None:
    assert route.startswith("GET ")
    assert set(POLICIES[route].projections) <= set(SERVING)


@pytest.mark.parametrize("route", [route for route, policy in POLICIES.items() if policy.cache == "now"])
def test_routes_that_are_always_current_declare_no_projections(route: str) -> None:
    assert POLICIES[route].projections == ()


def test_routes_cached_as_replica_or_primary_declare_their_projections() -> None:
    of_rows = {route for route, policy in POLICIES.items() if policy.cache in {"replica", "primary"}}
    assert all(POLICIES[route].projections for route in of_rows)


def test_every_options_handler_is_closed_even_under_a_router_with_a_policy() -> None:
    """Litestar adds these handlers, and merges the options of all layers into those of a handler."""
    app = Edge().app()
    of_options = [
        handler
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        if handler.http_methods == {"OPTIONS"}
    ]
    assert any(isinstance(handler.opt.get("policy"), RoutePolicy) for handler in of_options), (
        "the handlers of /schema inherit a policy"
    )
    assert {policy_of(handler) for handler in of_options} == {CLOSED}
    with TestClient(app) as client:
        assert client.options("/schema/openapi.json").status_code == 401
        assert client.get("/schema/openapi.json").status_code == 200


@get("/undeclared")
async def undeclared() -> str:
    return "never said"


@get("/declared", policy=RoutePolicy(roles=OPERATOR))
async def declared() -> str:
    return "said"


@pytest.mark.parametrize("role", ROLES)
def test_a_route_without_a_policy_is_closed_to_every_role(role: Role) -> None:
    edge = Edge()
    facility = "fac-001" if role == "owner" else None
    key = edge.key(role, utility="u" if role == "utility" else None, facility=facility)
    state: dict[str, Any] = {"web": edge.app().state["web"]}
    app = Litestar(
        [undeclared, declared],
        guards=[admit],
        exception_handlers=EXCEPTION_HANDLERS,
        state=State(state),
        openapi_config=None,
    )
    assert route_policies(app) == {
        "GET /undeclared": CLOSED,
        "GET /declared": RoutePolicy(roles=OPERATOR),
    }
    with TestClient(app) as client:
        assert client.get("/undeclared").status_code == 401
        refused = client.get("/undeclared", headers=key)
        answer = client.get("/declared", headers=key)
    assert (refused.status_code, refused.json()["detail"][-7:]) == (403, " nobody")
    assert answer.status_code == (200 if role in OPERATOR else 403)
