"""The short way to a current value, which is asked for more than all else: no router, no request object, no guard.

It answers only what is certain to be answered well: a key that is remembered and may, a facility that is known, a value
that is there. All else goes on to the route in current_value.py, which refuses as every route does; a turn that was
taken here goes with it.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec
from litestar.types import ASGIApp, Receive, Scope, Send

from application.ports.api_keys import ApiKey
from application.ports.telemetry_store import TelemetryStoreUnavailable
from interfaces.web.access import ACCESS, AS_OF, FACILITY
from interfaces.web.collaborators import Edge
from interfaces.web.conditional import KEPT, VARY, header_of, holds
from interfaces.web.current_value import READ_BEFORE, current_document, tag_of
from interfaces.web.metrics import WebMetrics

PATH = f"{FACILITY}/current"
_BEFORE, _, _AFTER = PATH.partition("{facility_id}")
_AS_OF = AS_OF.encode()
_ROLES = ACCESS[f"GET {PATH}"] or frozenset()
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"cache-control", KEPT),
    (b"vary", VARY),
]
_encode = msgspec.json.Encoder().encode


class LeanCurrent:
    """Before `app`, over the same edge."""

    def __init__(self, app: ASGIApp, edge: Edge, metrics: WebMetrics) -> None:
        self._app = app
        self._edge = edge
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        facility_id = _facility_asked(scope)
        api_key = None if facility_id is None else self._allowed(scope, facility_id)
        if facility_id is None or api_key is None:
            await self._app(scope, receive, send)
            return
        read: Any
        try:
            read = await self._edge.current_reads.read(api_key.key_id, facility_id)
        except TelemetryStoreUnavailable as error:
            read = error
        if isinstance(read, TelemetryStoreUnavailable) or read.answer is None:
            scope[READ_BEFORE] = read  # type: ignore[literal-required]
            await self._app(scope, receive, send)
            return
        document = current_document(facility_id, read.answer, self._edge.collaborators.clock)
        tag = tag_of(document).encode()
        if holds(header_of(scope, b"if-none-match"), tag):
            status, body = 304, b""
            headers = [*_HEADERS[1:], (b"etag", tag)]
        else:
            status, body = 200, _encode(document)
            headers = [*_HEADERS, (b"etag", tag), (b"content-length", str(len(body)).encode())]
        self._metrics.count("GET", PATH, status, time.perf_counter() - began)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    def _allowed(self, scope: Scope, facility_id: str) -> ApiKey | None:
        """The key, where nothing has to be looked up to know that it may."""
        edge = self._edge
        if not edge.facilities.is_remembered(facility_id):
            return None
        api_key = edge.authenticator.remembered(header_of(scope, b"authorization").decode("latin-1"))
        if api_key is None or api_key.role not in _ROLES:
            return None
        return api_key if api_key.facility_id in (None, facility_id) else None


def _facility_asked(scope: Scope) -> str | None:
    path = scope["path"]
    asked = path.startswith(_BEFORE) and path.endswith(_AFTER) and scope.get("method") == "GET"
    asked = asked and _AS_OF not in scope["query_string"]  # of which there is none: the route says so
    if not asked:
        return None
    return path[len(_BEFORE) : -len(_AFTER)]
