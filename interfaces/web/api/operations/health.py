"""Routes for the platform: liveness, readiness, metrics, and the meaning of problem types."""

import asyncio
from typing import Any, Literal

import msgspec
from litestar import Controller, Request, Response, get
from litestar.datastructures import State
from litestar.params import FromPath
from prometheus_client import REGISTRY, generate_latest

from application.ports.operations.unavailable import OperationsUnavailable
from interfaces.web.edge import DependencyProblem, ReadinessProbe, Web
from interfaces.web.middleware.metrics import WebMetrics
from interfaces.web.problems import PROBLEM_TYPES, TYPE_PREFIX, Problem
from interfaces.web.route_policy import ANYONE, OPERATOR, RoutePolicy
from projections.queries.views import ReadModelsUnavailable

PROBE_DEADLINE_S = 2.0
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

PlatformRequest = Request[Any, Any, State]


class Liveness(msgspec.Struct, frozen=True):
    status: Literal["alive"] = "alive"


class DependencyState(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    needed: bool
    """Without a needed dependency the edge is not ready; without another it is degraded."""
    up: bool
    problem: str | None = None
    """The kind of failure."""


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    status: Literal["ready", "degraded", "not_ready"]
    dependencies: tuple[DependencyState, ...]


class ProblemTypeDocument(msgspec.Struct, frozen=True, kw_only=True):
    type: str
    status: int
    title: str
    what_to_do: str


class PlatformController(Controller):
    path = "/"
    tags = ("platform",)

    @get(
        "/health",
        summary="Alive; depends on nothing",
        policy=RoutePolicy(roles=ANYONE, has_etag=False),
    )
    async def health(self) -> Liveness:
        return Liveness()

    @get(
        "/ready",
        summary="Ready to serve; names each dependency",
        policy=RoutePolicy(roles=ANYONE, has_etag=False),
    )
    async def ready(self, web: Web) -> Response[Readiness]:
        states = tuple(await asyncio.gather(*map(_state_of, web.probes)))
        down = [state for state in states if not state.up]
        not_ready = any(state.needed for state in down)
        readiness = Readiness(
            status="not_ready" if not_ready else "degraded" if down else "ready", dependencies=states
        )
        return Response(
            readiness, status_code=503 if not_ready else 200, headers={"Cache-Control": "no-store"}
        )

    @get(
        "/metrics",
        summary="Prometheus text format",
        media_type=METRICS_TYPE,
        policy=RoutePolicy(roles=OPERATOR, has_etag=False, needs_store=False),
    )
    async def metrics(self, web: Web) -> bytes:
        metrics = web.metrics
        metrics.rate_limit_degraded.set(web.rate_limiter.is_degraded)
        if web.live.state.is_away:  # each scrape would hold two threads until their timeouts
            metrics.clear_positions()
            metrics.clear_alerts()
            return _shown(metrics)
        try:
            async with asyncio.timeout(PROBE_DEADLINE_S):
                positions = await asyncio.to_thread(web.read_models.positions)
        except (TimeoutError, ReadModelsUnavailable):
            metrics.clear_positions()
        else:
            metrics.note_positions(positions, web.clock.now())
        try:
            async with asyncio.timeout(PROBE_DEADLINE_S):
                open_by_name = await asyncio.to_thread(web.alerts.open_by_name)
        except (TimeoutError, OperationsUnavailable):
            metrics.clear_alerts()
        else:
            metrics.note_alerts(open_by_name)
        return _shown(metrics)

    @get(
        "/problems/{name:str}",
        summary="What a problem's type means",
        policy=RoutePolicy(roles=ANYONE),
    )
    async def problem_type(self, name: FromPath[str]) -> ProblemTypeDocument:
        found = PROBLEM_TYPES.get(name)
        if found is None:
            raise Problem("not-found", "no problem has that type")
        return ProblemTypeDocument(
            type=TYPE_PREFIX + name, status=found.status, title=found.title, what_to_do=found.what_to_do
        )


def _shown(metrics: WebMetrics) -> bytes:
    return generate_latest(REGISTRY) + generate_latest(metrics.registry)


async def _state_of(probe: ReadinessProbe) -> DependencyState:
    """Any error of a probe means that the dependency is down, since clients raise many kinds."""
    try:
        async with asyncio.timeout(PROBE_DEADLINE_S):
            await probe.check()
    except TimeoutError:
        return DependencyState(name=probe.name, needed=probe.needed, up=False, problem="no answer in time")
    except DependencyProblem as problem:
        return DependencyState(name=probe.name, needed=probe.needed, up=False, problem=str(problem))
    except Exception as error:  # noqa: BLE001 - any error counts; only its kind is reported, not the address
        return DependencyState(name=probe.name, needed=probe.needed, up=False, problem=type(error).__name__)
    return DependencyState(name=probe.name, needed=probe.needed, up=True)
