"""The HTTP application: every controller, the guard, and what surrounds each request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from litestar.datastructures import State
from litestar.types import ControllerRouterHandler

from application.telemetry.current_values import CurrentValues
from application.telemetry.load_history import HistorySources, LoadHistories
from application.telemetry.rate_limited_reads import RateLimitedCurrentValues
from interfaces.web.api.audit.controller import AuditController
from interfaces.web.api.dashboard import DashboardController
from interfaces.web.api.dr_event.callbacks import CallbackController
from interfaces.web.api.dr_event.controller import DREventController
from interfaces.web.api.dr_event.performance import PerformanceController
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
from interfaces.web.api.telemetry.current_value import CurrentController, CurrentOfAllController
from interfaces.web.api.telemetry.current_value_fast_path import CurrentValueFastPath
from interfaces.web.api.telemetry.load_history import LoadHistoryController
from interfaces.web.api.telemetry.load_sum import DREventLoadController, PortfolioLoadController
from interfaces.web.api.webhook.controller import NotificationController
from interfaces.web.asgi import EdgeApplication
from interfaces.web.authentication.api_key import Authenticator
from interfaces.web.authentication.rate_limit import PerKeyRateLimiter
from interfaces.web.authentication.session_cookie import SignedIn
from interfaces.web.broadcast.feed import LiveFeed
from interfaces.web.caching.audit_cache import AuditDocumentCache
from interfaces.web.caching.facility_cache import FacilityIdCache
from interfaces.web.caching.last_responses import StaleIfErrorCache
from interfaces.web.edge import Edge, WebCollaborators
from interfaces.web.guard.access import MAX_BODY_BYTES, admit
from interfaces.web.middleware.conditional import ConditionalMiddleware
from interfaces.web.middleware.error_responses import EXCEPTION_HANDLERS
from interfaces.web.middleware.metrics import MetricsMiddleware, WebMetrics
from interfaces.web.middleware.response_headers import complete_headers
from interfaces.web.middleware.stale_responses import StaleReads
from interfaces.web.openapi.document import openapi_config
from projections.as_of.lists import FoldLimits, HistoricalLists

CONTROLLERS: list[ControllerRouterHandler] = [
    NotificationController,
    DREventController,
    PerformanceController,
    CallbackController,
    FacilityController,
    LoadHistoryController,
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


def create_app(collaborators: WebCollaborators) -> EdgeApplication:
    """The edge over `collaborators`. Building it connects to nothing, so `/health` depends on nothing."""
    edge, metrics = _edge_over(collaborators), WebMetrics()
    live = edge.live
    app = EdgeApplication(
        CONTROLLERS,
        guards=[admit],
        exception_handlers=EXCEPTION_HANDLERS,
        middleware=[
            MetricsMiddleware(metrics),
            ConditionalMiddleware(),
            StaleReads(live.state, StaleIfErrorCache(), collaborators.clock, collaborators.replica),
        ],
        before_send=[complete_headers],
        lifespan=[lambda _: _following(live)],
        state=State({"edge": edge, "metrics": metrics, "end_streams": live.end}),
        openapi_config=openapi_config(),
        request_max_body_size=MAX_BODY_BYTES,
        logging_config=None,
        debug=False,
    )
    app.lean_current = CurrentValueFastPath(edge, metrics)
    return app


def _edge_over(collaborators: WebCollaborators) -> Edge:
    clock, cache, rates = collaborators.clock, collaborators.cache, collaborators.read_rates
    live = _live_feed(collaborators)
    state = live.state
    authenticator = Authenticator(collaborators.api_keys, is_away=lambda: state.is_away)
    values = CurrentValues(collaborators.telemetry, clock, cache)
    sources = HistorySources(collaborators.telemetry, collaborators.rollups, collaborators.meter_powers)
    return Edge(
        collaborators=collaborators,
        authenticator=authenticator,
        signed_in=SignedIn(collaborators.sessions, authenticator, is_away=lambda: state.is_away),
        current_values=values,
        current_reads=RateLimitedCurrentValues(values, cache, every_s=1 / rates.current_per_s),
        facilities=FacilityIdCache(collaborators.read_models.facilities),
        rates=PerKeyRateLimiter(rates.others_per_s),
        histories=LoadHistories(sources, clock, cache),
        live=live,
        past_lists=HistoricalLists(collaborators.story_log, FoldLimits()),
        audits=AuditDocumentCache(collaborators.story_log),
    )


def _live_feed(collaborators: WebCollaborators) -> LiveFeed:
    replica = collaborators.replica
    return LiveFeed(
        collaborators.live_log,
        collaborators.live_signal,
        collaborators.alerts,
        collaborators.clock,
        most_watchers=collaborators.stream_clients,
        most_of_one=collaborators.stream_clients_per_key,
        # Nobody else does then: who would read it is let in only where it is known to answer.
        while_away=(lambda: None) if replica is None else partial(replica.check_replica, at_once=True),
    )


@asynccontextmanager
async def _following(live: LiveFeed) -> AsyncIterator[None]:
    """The live feed runs as long as the application does."""
    feeding = asyncio.create_task(live.run(), name="live feed")
    try:
        yield
    finally:
        feeding.cancel()
        await asyncio.wait({feeding})
