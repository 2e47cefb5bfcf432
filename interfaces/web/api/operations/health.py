"""Routes for the platform: liveness, readiness, metrics, and the meaning of problem types."""

import asyncio
from collections.abc import Sequence
from typing import Literal

import msgspec
from litestar import Controller, Response, get
from litestar.params import FromPath
from prometheus_client import REGISTRY, generate_latest

from application.ports.operations.unavailable import OperationsUnavailable
from interfaces.readiness import PROBE_DEADLINE_S, DependencyState, Readiness, readiness_of, states_of
from interfaces.web.edge import Web
from interfaces.web.middleware.metrics import WebMetrics
from interfaces.web.problems import PROBLEM_TYPES, TYPE_PREFIX, Problem
from interfaces.web.route_policy import ANYONE, OPERATOR, RoutePolicy
from projections.queries.views import ReadModelsUnavailable

METRICS_TYPE = "text/plain; version=0.0.4"
"""The framework adds `charset=utf-8` to texts."""


class Liveness(msgspec.Struct, frozen=True):
    status: Literal["alive"] = "alive"


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
        own, reported = await asyncio.gather(states_of(web.probes), _reported(web))
        names = {state.name for state in own}
        readiness = readiness_of(
            [*own, *(state for state in reported if state.name not in names)], system=web.system
        )
        status_code = 503 if readiness.status == "not_ready" else 200
        return Response(readiness, status_code=status_code, headers={"Cache-Control": "no-store"})

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


async def _reported(web: Web) -> Sequence[DependencyState]:
    """The reports of other processes. Without the database that is not known, and only the own states are shown."""
    try:
        async with asyncio.timeout(PROBE_DEADLINE_S):
            return await web.reported()
    except (TimeoutError, OperationsUnavailable):
        return ()
