"""The trace id of a request: the caller's (W3C traceparent) or a new one; it stands in every answer."""

import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Any, cast

TRACE_HEADER = "X-Trace-Id"
_STATE = "gridproof_trace_id"
_TRACEPARENT = re.compile(r"^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$")


def trace_id_of(scope: Mapping[str, Any]) -> str:
    """32 hex digits; the same one however often it is asked for within a request."""
    state = cast("dict[str, Any]", scope.setdefault("state", {}) if isinstance(scope, dict) else {})
    found = state.get(_STATE)
    if found is None:
        found = state[_STATE] = parsed_trace_id(_traceparent(scope["headers"])) or secrets.token_hex(16)
    return str(found)


def parsed_trace_id(traceparent: str) -> str | None:
    """The trace id of a well-formed traceparent; None otherwise (all zeros are no id)."""
    match = _TRACEPARENT.match(traceparent.strip())
    if match is None or set(match[1]) == {"0"} or set(match[2]) == {"0"}:
        return None
    return match[1]


def _traceparent(headers: Iterable[tuple[bytes, bytes]]) -> str:
    return next((value.decode("latin-1") for name, value in headers if name.lower() == b"traceparent"), "")
