"""The HTTP application: its controllers, guard, middlewares and exception handlers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import cast

from litestar import Litestar
from litestar.datastructures import State
from litestar.types import ControllerRouterHandler

from application.telemetry.current_values import CurrentValues
from application.telemetry.load_history import HistorySources, LoadHistories
from application.telemetry.rate_limited_reads import RateLimitedCurrentValues
from interfaces.web.api.audit.controller import AuditController
from interfaces.web.api.dashboard import DashboardController
from interfaces.web.api.dr_event.callbacks import CallbackController
from interfaces.web.api.dr_event.controller import DREventController
from interfaces.web.api.dr_event.load import DREventLoadController
from interfaces.web.api.dr_event.measurements import MeasurementsController
from interfaces.web.api.dr_event.performance import PerformanceController
from interfaces.web.api.dr_event.what_if import WhatIfController
from interfaces.web.api.facility.commands import FacilityCommandController
from interfaces.web.api.facility.controller import FacilityController
from interfaces.web.api.facility.health import FacilityHealthController
from interfaces.web.api.forecast.accuracy import ForecastAccuracyController
from interfaces.web.api.forecast.controller import ForecastController
from interfaces.web.api.live_feed import StreamController
from interfaces.web.api.operations.alerts import AlertController
from interfaces.web.api.operations.dead_letters import DeadLetterController
from interfaces.web.api.operations.health import PlatformController
from interfaces.web.api.operations.projections import ProjectionController
from interfaces.web.api.operations.runbooks import RunbookController
from interfaces.web.api.operations.summary import OperationsController
from interfaces.web.api.portfolio import PortfolioController
from interfaces.web.api.session import SessionController
from interfaces.web.api.settlement.controller import SettlementController
from interfaces.web.api.settlement.statements import FacilityStatementController, ProgramStatementController
from interfaces.web.api.telemetry.current_value import CurrentController, CurrentOfAllController
from interfaces.web.api.telemetry.load_history import LoadHistoryController
from interfaces.web.api.telemetry.load_sum import PortfolioLoadController
from interfaces.web.api.telemetry.reading_gaps import ReadingGapsController
from interfaces.web.api.webhook.controller import NotificationController
from interfaces.web.authentication.api_key import Authenticator
from interfaces.web.authentication.failures import AuthenticationFailures
from interfaces.web.authentication.planning_queue import PlanningQueueLimit
from interfaces.web.authentication.rate_limit import PerKeyRateLimiter
from interfaces.web.authentication.session_cookie import SessionAuthenticator
from interfaces.web.broadcast.feed import LiveFeed
from interfaces.web.caching.audit_cache import AuditDocumentCache
from interfaces.web.caching.coordinates import CoordinatesCache
from interfaces.web.caching.facility_cache import FacilityIdCache
from interfaces.web.caching.last_responses import StaleIfErrorCache
from interfaces.web.edge import Edge, WebDependencies
from interfaces.web.guard.access import MAX_BODY_BYTES, admit, count_wrong_signature
from interfaces.web.middleware.conditional import ConditionalMiddleware
from interfaces.web.middleware.error_responses import EXCEPTION_HANDLERS
from interfaces.web.middleware.metrics import MetricsMiddleware, WebMetrics
from interfaces.web.middleware.response_headers import complete_headers
from interfaces.web.middleware.stale_responses import StaleResponseMiddleware, StaleResponses
from interfaces.web.openapi.document import openapi_config
from interfaces.web.requests.bounded_request import BoundedRequest
from projections.as_of.lists import FoldLimits, HistoricalLists
from projections.audit.prefix_end_cache import PrefixEndCache

CONTROLLERS: list[ControllerRouterHandler] = [
    NotificationController,
    DREventController,
    PerformanceController,
    MeasurementsController,
    CallbackController,
    SettlementController,
    ProgramStatementController,
    FacilityStatementController,
    WhatIfController,
    FacilityController,
    LoadHistoryController,
    ReadingGapsController,
    FacilityCommandController,
    FacilityHealthController,
    CurrentController,
    ForecastController,
    ForecastAccuracyController,
    PortfolioController,
    CurrentOfAllController,
    DREventLoadController,
    PortfolioLoadController,
    AuditController,
    AlertController,
    DeadLetterController,
    ProjectionController,
    OperationsController,
    SessionController,
    StreamController,
    RunbookController,
    PlatformController,
    DashboardController,
]


def create_app(dependencies: WebDependencies) -> Litestar:
    """The application over `dependencies`. Building it opens no connection, so `/health` depends on nothing."""
    app = unconnected_app()
    connect(app, dependencies)
    return app


def unconnected_app() -> Litestar:
    """The routes, guard and middlewares; they find what they depend on in the state of the application."""
    return Litestar(
        CONTROLLERS,
        guards=[admit],
        exception_handlers=EXCEPTION_HANDLERS,
        after_exception=[count_wrong_signature],
        middleware=[MetricsMiddleware(), ConditionalMiddleware(), StaleResponseMiddleware()],
        before_send=[complete_headers],
        lifespan=[_running_live_feed],
        openapi_config=openapi_config(),
        request_class=BoundedRequest,
        request_max_body_size=MAX_BODY_BYTES,
        logging_config=None,
        debug=False,
    )


def connect(app: Litestar, dependencies: WebDependencies) -> None:
    """Serve `dependencies` from now on, with new caches and metrics. Not while `app` runs."""
    edge, metrics = _edge_over(dependencies), WebMetrics()
    live = edge.live
    stale_responses = StaleResponses(
        live.state, StaleIfErrorCache(), dependencies.clock, dependencies.replica
    )
    app.state = State(
        {"edge": edge, "metrics": metrics, "stale_responses": stale_responses, "end_streams": live.end}
    )


def _edge_over(dependencies: WebDependencies) -> Edge:
    clock, cache, rates = dependencies.clock, dependencies.cache, dependencies.read_rates
    live = _live_feed(dependencies)
    state = live.state
    authenticator = Authenticator(
        dependencies.api_keys, now=dependencies.clock.now, is_away=lambda: state.is_away
    )
    values = CurrentValues(dependencies.telemetry, clock, cache)
    history = PrefixEndCache(dependencies.stream_log)
    sources = HistorySources(dependencies.telemetry, dependencies.rollups, dependencies.meter_powers)
    return Edge(
        dependencies=dependencies,
        authenticator=authenticator,
        session_authenticator=SessionAuthenticator(
            dependencies.sessions, authenticator, is_away=lambda: state.is_away
        ),
        current_values=values,
        current_reads=RateLimitedCurrentValues(values, cache, every_s=1 / rates.current_per_s),
        facilities=FacilityIdCache(dependencies.read_models.facilities),
        coordinates=CoordinatesCache(dependencies.facility_coordinates, is_away=lambda: state.is_away),
        rates=PerKeyRateLimiter(rates.others_per_s),
        histories=LoadHistories(sources, clock, cache),
        live=live,
        history=history,
        historical_lists=HistoricalLists(history, FoldLimits()),
        audits=AuditDocumentCache(history),
        failures=AuthenticationFailures(dependencies.failed_authentications_per_min),
        planning_queue=PlanningQueueLimit(
            dependencies.read_models.planning_queue,
            most_due=dependencies.queue_depth,
            most_waiting=dependencies.waiting_per_utility,
        ),
    )


def _live_feed(dependencies: WebDependencies) -> LiveFeed:
    replica = dependencies.replica
    return LiveFeed(
        dependencies.live_log,
        dependencies.live_signal,
        dependencies.alerts,
        dependencies.clock,
        max_watchers=dependencies.stream_clients,
        max_per_key=dependencies.stream_clients_per_key,
        # Nothing else reads the replica then: requests are admitted only if it answers.
        while_away=(lambda: None) if replica is None else partial(replica.check_replica, at_once=True),
    )


@asynccontextmanager
async def _running_live_feed(app: Litestar) -> AsyncIterator[None]:
    """Run the live feed while the application runs."""
    feeding = asyncio.create_task(cast("Edge", app.state["edge"]).live.run(), name="live feed")
    try:
        yield
    finally:
        feeding.cancel()
        await asyncio.wait({feeding})
