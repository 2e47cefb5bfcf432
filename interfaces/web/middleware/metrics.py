"""Prometheus metrics of the HTTP edge: requests by route and status, and their duration."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from application.operations.alert_catalogue import ALERTS
from projections.queries.views import ProjectionPosition

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass
class WebMetrics:
    """Metrics of one application, in a registry of its own: several applications can run in one process."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self._counted: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        labels = ("method", "route")
        self.requests = Counter(
            "gridproof_http_requests", "Requests answered", (*labels, "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "gridproof_http_request_seconds",
            "From the first byte of the request to the first of the answer",
            labels,
            buckets=_BUCKETS_S,
            registry=self.registry,
        )

        self.lag_events = Gauge(
            "gridproof_projection_lag_events",
            "Positions of the log not yet folded",
            ("projection",),
            registry=self.registry,
        )
        self.lag_seconds = Gauge(
            "gridproof_projection_lag_seconds",
            "Age of the oldest domain event not yet folded",
            ("projection",),
            registry=self.registry,
        )

        self.alerts_open = Gauge(
            "gridproof_alerts_open",
            "Open alerts by name; no series while the register is away",
            ("name", "severity"),
            registry=self.registry,
        )

        self.rate_limit_degraded = Gauge(
            "gridproof_rate_limit_degraded",
            "1 while the cache is down and each process counts calls for itself",
            registry=self.registry,
        )

        self.authentication_failures = Counter(
            "gridproof_authentication_failures",
            "Requests with a wrong API key, session or signature",
            ("kind",),
            registry=self.registry,
        )

        self.live_watchers = Gauge(
            "gridproof_live_watchers", "Open streams of /api/stream in this process", registry=self.registry
        )
        self.live_dropped = Counter(
            "gridproof_live_dropped",
            "Streams ended because they were not read fast enough: `behind`, or `blocked` altogether",
            ("reason",),
            registry=self.registry,
        )

    def note_positions(self, positions: Iterable[ProjectionPosition], now: datetime) -> None:
        for position in positions:
            self.lag_events.labels(position.name).set(position.lag)
            self.lag_seconds.labels(position.name).set(position.lag_s(now))

    def note_alerts(self, open_by_name: Mapping[str, int]) -> None:
        for name, definition in ALERTS.items():
            self.alerts_open.labels(name, definition.severity).set(open_by_name.get(name, 0))

    def clear_alerts(self) -> None:
        self.alerts_open.clear()

    def clear_positions(self) -> None:
        """Remove the series: an outdated lag would be misleading."""
        self.lag_events.clear()
        self.lag_seconds.clear()

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        counted = self._counted.get((method, route, status))
        if counted is None:
            counted = self.requests.labels(method, route, str(status)), self.seconds.labels(method, route)
            self._counted[method, route, status] = counted
        counted[0].inc()
        counted[1].observe(seconds)


class MetricsMiddleware(ASGIMiddleware):
    """Measures every routed request; labels are path templates, so their number is bounded."""

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        began = time.perf_counter()
        metrics: WebMetrics = scope["app"].state["web"].metrics

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = str(scope.get("path_template", "?"))
                method = str(scope.get("method", "?"))
                metrics.count(method, route, message["status"], time.perf_counter() - began)
            await send(message)

        await next_app(scope, receive, counting)
