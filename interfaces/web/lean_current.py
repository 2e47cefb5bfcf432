"""The short way to a current value, which is asked for more than all else: no router, no request object, no guard.

It answers only what is certain to be answered well: a key that may, a facility that is known, a value that is there.
All else goes on to the route in current_value.py, which refuses as every route does; a turn taken here goes with it.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec
from litestar.types import Scope, Send

from application.ports.api_keys import ApiKey, ApiKeysUnavailable
from application.ports.telemetry_store import TelemetryStoreUnavailable
from interfaces.web.access import ACCESS, AS_OF, FACILITY
from interfaces.web.answer_headers import TRACE, UNTOUCHED, source_header
from interfaces.web.collaborators import Edge
from interfaces.web.conditional import KEPT, VARY, header_of, holds
from interfaces.web.current_value import READ_BEFORE, current_document, tag_of
from interfaces.web.metrics import WebMetrics
from interfaces.web.problems import Problem
from interfaces.web.tracing import trace_id_of

PATH = f"{FACILITY}/current"
_BEFORE, _, _AFTER = PATH.partition("{facility_id}")
_AS_OF = AS_OF.encode()
_ROLES = ACCESS[f"GET {PATH}"] or frozenset()
_JSON = (b"content-type", b"application/json")
_HEADERS = (*UNTOUCHED, (b"cache-control", KEPT), (b"vary", VARY))
_encode = msgspec.json.Encoder().encode


class LeanCurrent:
    """Over the same edge as the routes."""

    def __init__(self, edge: Edge, metrics: WebMetrics) -> None:
        self._edge = edge
        self._metrics = metrics

    async def answered(self, scope: Scope, send: Send) -> bool:
        """Whether it was answered; else the route has still to do it."""
        began = time.perf_counter()
        facility_id = _facility_asked(scope)
        api_key = None if facility_id is None else await self._allowed(scope, facility_id)
        if facility_id is None or api_key is None:
            return False
        read: Any
        try:
            read = await self._edge.current_reads.read(api_key.key_id, facility_id)
        except TelemetryStoreUnavailable as error:
            read = error
        if isinstance(read, TelemetryStoreUnavailable) or read.answer is None:
            scope[READ_BEFORE] = read  # type: ignore[literal-required]
            return False
        collaborators = self._edge.collaborators
        document = current_document(facility_id, read.answer, collaborators.clock)
        tag = tag_of(document).encode()
        headers = [
            *_HEADERS,
            (b"etag", tag),
            (TRACE, trace_id_of(scope).encode()),
            *source_header(collaborators.replica),
        ]
        if holds(header_of(scope, b"if-none-match"), tag):
            status, body = 304, b""
        else:
            status, body = 200, _encode(document)
            headers += (_JSON, (b"content-length", b"%d" % len(body)))
        self._metrics.count("GET", PATH, status, time.perf_counter() - began)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})
        return True

    async def _allowed(self, scope: Scope, facility_id: str) -> ApiKey | None:
        """The key, where it may; None where there is more to it than that."""
        edge, authorization = self._edge, header_of(scope, b"authorization").decode("latin-1")
        if not authorization or not edge.facilities.is_remembered(facility_id):
            return None
        api_key = edge.authenticator.remembered(authorization)
        if api_key is None:
            try:
                api_key = await edge.authenticator.principal(authorization, only_reads=True)
            except (Problem, ApiKeysUnavailable):
                return None  # the route says so
        if api_key.role not in _ROLES or api_key.facility_id not in (None, facility_id):
            return None
        return api_key


def _facility_asked(scope: Scope) -> str | None:
    path: str = scope["path"]
    asked = path.startswith(_BEFORE) and path.endswith(_AFTER) and scope.get("method") == "GET"
    asked = asked and _AS_OF not in scope["query_string"]  # of which there is none: the route says so
    return path[len(_BEFORE) : -len(_AFTER)] if asked else None
