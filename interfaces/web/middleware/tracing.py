"""The trace of a request: the caller's (W3C traceparent) or a new one. Every response names it."""

import secrets
from collections.abc import Mapping
from typing import Any, cast

from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from application.command_bus.spans import OpenSpan, traced
from application.command_bus.trace_context import parse_traceparent
from interfaces.web.middleware.raw_headers import header_of

TRACE_HEADER = "X-Trace-Id"
_STATE = "gridproof_trace_id"
_TRACEPARENT = b"traceparent"
READING = frozenset({"GET", "HEAD", "OPTIONS"})
TURNED_AWAY = frozenset({401, 403, 404, 405, 429})
"""Status codes of requests that come from anybody: a flood of them must not push other spans out of the queue."""


def trace_id_of(scope: Mapping[str, Any]) -> str:
    """32 hex digits; the same for every call within a request."""
    return _trace_of(scope)[0]


def _trace_of(scope: Mapping[str, Any]) -> tuple[str, str | None]:
    """The trace id of the request, and the caller's span."""
    state = cast("dict[str, Any]", scope.setdefault("state", {}) if isinstance(scope, dict) else {})
    found: tuple[str, str | None] | None = state.get(_STATE)
    if found is None:
        header = header_of(scope["headers"], _TRACEPARENT).decode("latin-1").strip()
        parent = parse_traceparent(header) if header else None
        found = state[_STATE] = parent or (secrets.token_hex(16), None)
    return found


class TracingMiddleware(ASGIMiddleware):
    """Requests that may change something are traced work: log lines name their trace, and they have a span.

    Reads have none: there are thousands a second, and they cause nothing.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        method = str(scope.get("method", "?"))
        if method in READING:
            await next_app(scope, receive, send)
            return
        trace_id, caller = _trace_of(scope)
        name = f"{method} {scope.get('path_template', '?')}"
        with traced(name, trace_id, parent_id=caller, kind="server") as span:
            await next_app(scope, receive, send if span is None else _noting_status(send, span))


def _noting_status(send: Send, span: OpenSpan) -> Send:
    async def noting(message: Message) -> None:
        if message["type"] == "http.response.start":
            if message["status"] in TURNED_AWAY:
                span.drop()
            span.note(status=message["status"])
        await send(message)

    return noting
