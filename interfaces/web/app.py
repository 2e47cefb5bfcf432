"""The HTTP application: every controller, the guard, and what surrounds each request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from litestar.datastructures import State
from litestar.types import ControllerRouterHandler

from application.telemetry.current_values import CurrentValues
from application.telemetry.load_history import HistorySources, LoadHistories
from application.telemetry.rate_limited_reads import CurrentReads
from interfaces.web.access import MAX_BODY_BYTES, admit
from interfaces.web.alert import AlertController
from interfaces.web.answer_headers import complete_headers
from interfaces.web.application import EdgeApplication
from interfaces.web.audit import AuditController
from interfaces.web.audit_answers import AuditAnswers
from interfaces.web.authentication import Authenticator
from interfaces.web.callback import CallbackController
from interfaces.web.collaborators import Edge, WebCollaborators
from interfaces.web.conditional import ConditionalMiddleware
from interfaces.web.current_value import CurrentController, CurrentOfAllController
from interfaces.web.dashboard import DashboardController
from interfaces.web.dead_letter import DeadLetterController
from interfaces.web.dr_event import DREventController
from interfaces.web.dr_notification import NotificationController
from interfaces.web.error_responses import EXCEPTION_HANDLERS
from interfaces.web.facility import FacilityController
from interfaces.web.facility_commands import FacilityCommandController
from interfaces.web.facility_health import FacilityHealthController
from interfaces.web.forecast import ForecastController
from interfaces.web.forecast_accuracy import ForecastAccuracyController
from interfaces.web.key_rates import KeyRates
from interfaces.web.known_facilities import KnownFacilities
from interfaces.web.last_answers import LastAnswers
from interfaces.web.lean_current import LeanCurrent
from interfaces.web.live_feed import LiveFeed
from interfaces.web.live_stream import StreamController
from interfaces.web.metrics import MetricsMiddleware, WebMetrics
from interfaces.web.openapi import openapi_config
from interfaces.web.operations import OperationsController
from interfaces.web.performance import PerformanceController
from interfaces.web.platform import PlatformController
from interfaces.web.portfolio import PortfolioController
from interfaces.web.projection import ProjectionController
from interfaces.web.runbook import RunbookController
from interfaces.web.session import SessionController
from interfaces.web.signed_in import SignedIn
from interfaces.web.stale_reads import StaleReads
from interfaces.web.summed_load import DREventLoadController, PortfolioLoadController
from projections.as_of.lists import FoldLimits, PastLists

CONTROLLERS: list[ControllerRouterHandler] = [
    NotificationController,
    DREventController,
    PerformanceController,
    CallbackController,
    FacilityController,
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
            StaleReads(live.state, LastAnswers(), collaborators.clock, collaborators.replica),
        ],
        before_send=[complete_headers],
        lifespan=[lambda _: _following(live)],
        state=State({"edge": edge, "metrics": metrics, "end_streams": live.end}),
        openapi_config=openapi_config(),
        request_max_body_size=MAX_BODY_BYTES,
        logging_config=None,
        debug=False,
    )
    app.lean_current = LeanCurrent(edge, metrics)
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
        current_reads=CurrentReads(values, cache, every_s=1 / rates.current_per_s),
        facilities=KnownFacilities(collaborators.read_models.facilities),
        rates=KeyRates(rates.others_per_s),
        histories=LoadHistories(sources, clock, cache),
        live=live,
        past_lists=PastLists(collaborators.story_log, FoldLimits()),
        audits=AuditAnswers(collaborators.story_log),
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
        while_away=(lambda: None) if replica is None else partial(replica.look, at_once=True),
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
