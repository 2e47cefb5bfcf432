"""The HTTP application: its controllers, guard, middlewares and exception handlers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.types import ControllerRouterHandler

from interfaces.web.api.administration.entries import PortfolioEntryController
from interfaces.web.api.administration.history import HistoryController
from interfaces.web.api.administration.keys import KeyController
from interfaces.web.api.administration.meter_logins import MeterLoginController
from interfaces.web.api.administration.portfolio_file import PortfolioFileController
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
from interfaces.web.api.program import ProgramController
from interfaces.web.api.session import SessionController
from interfaces.web.api.settlement.controller import SettlementController
from interfaces.web.api.settlement.statements import FacilityStatementController, ProgramStatementController
from interfaces.web.api.telemetry.current_value import CurrentController, CurrentOfAllController
from interfaces.web.api.telemetry.load_history import LoadHistoryController
from interfaces.web.api.telemetry.load_sum import PortfolioLoadController
from interfaces.web.api.telemetry.reading_gaps import ReadingGapsController
from interfaces.web.api.webhook.controller import NotificationController
from interfaces.web.edge import WebDependencies
from interfaces.web.guard.access import MAX_BODY_BYTES, admit, count_wrong_signature
from interfaces.web.middleware.conditional import WholeResponseMiddleware
from interfaces.web.middleware.error_responses import EXCEPTION_HANDLERS
from interfaces.web.middleware.metrics import MetricsMiddleware
from interfaces.web.middleware.response_headers import complete_headers
from interfaces.web.middleware.tracing import TracingMiddleware
from interfaces.web.openapi.document import openapi_config
from interfaces.web.requests.bounded_request import BoundedRequest

CONTROLLERS: list[ControllerRouterHandler] = [
    NotificationController,
    DREventController,
    PerformanceController,
    MeasurementsController,
    CallbackController,
    SettlementController,
    ProgramController,
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
    PortfolioEntryController,
    PortfolioFileController,
    KeyController,
    MeterLoginController,
    HistoryController,
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


def create_app(web: WebDependencies) -> Litestar:
    """The application over `web`. Building it opens no connection, so `/health` depends on nothing."""
    app = unconnected_app()
    connect(app, web)
    return app


def unconnected_app() -> Litestar:
    """The routes, guard and middlewares; they find what they depend on in the state of the application."""

    def connected() -> WebDependencies:
        web: WebDependencies = app.state["web"]
        return web

    app = Litestar(
        CONTROLLERS,
        dependencies={"web": Provide(connected, sync_to_thread=False)},
        guards=[admit],
        exception_handlers=EXCEPTION_HANDLERS,
        after_exception=[count_wrong_signature],
        middleware=[MetricsMiddleware(), TracingMiddleware(), WholeResponseMiddleware()],
        before_send=[complete_headers],
        lifespan=[_running_live_feed],
        openapi_config=openapi_config(),
        request_class=BoundedRequest,
        request_max_body_size=MAX_BODY_BYTES,
        logging_config=None,
        debug=False,
    )
    return app


def connect(app: Litestar, web: WebDependencies) -> None:
    """Serve `web` from now on. Not while `app` runs."""
    app.state = State({"web": web})


@asynccontextmanager
async def _running_live_feed(app: Litestar) -> AsyncIterator[None]:
    """Run the live feed while the application runs."""
    feeding = asyncio.create_task(app.state["web"].live.run(), name="live feed")
    try:
        yield
    finally:
        feeding.cancel()
        await asyncio.wait({feeding})
