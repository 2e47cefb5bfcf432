"""The trace id of a request: the caller's (W3C traceparent) or a new one; every response contains it."""

import secrets
from collections.abc import Mapping
from typing import Any, cast

from application.command_bus.trace_context import trace_id_in
from interfaces.web.middleware.raw_headers import header_of

TRACE_HEADER = "X-Trace-Id"
_STATE = "gridproof_trace_id"
_TRACEPARENT = b"traceparent"


def trace_id_of(scope: Mapping[str, Any]) -> str:
    """32 hex digits; the same for every call within a request."""
    state = cast("dict[str, Any]", scope.setdefault("state", {}) if isinstance(scope, dict) else {})
    found = state.get(_STATE)
    if found is None:
        parent = header_of(scope["headers"], _TRACEPARENT).decode("latin-1").strip()
        found = state[_STATE] = (parent and trace_id_in(parent)) or secrets.token_hex(16)
    return str(found)
