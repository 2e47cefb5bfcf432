"""The short way to a current value, which is asked for more than all else: no router, no request object, no guard.

It answers only what is certain to be answered well: a key that may, a facility that is known, a value that is there.
All else goes on to the route in current_value.py, which refuses as every route does; a turn taken here goes with it.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import msgspec
from litestar.types import Scope, Send

from application.ports.access.api_keys import ApiKey, ApiKeysUnavailable
from application.ports.telemetry.store import CurrentValue, TelemetryStoreUnavailable
from application.telemetry.cached_reader import CachedAnswer
from interfaces.web.api.telemetry.current_value import (
    CURRENT_VALUE,
    READ_BEFORE,
    CurrentDocument,
    current_document,
    tag_of,
)
from interfaces.web.edge import Edge
from interfaces.web.middleware.conditional import KEPT, VARY, holds
from interfaces.web.middleware.metrics import WebMetrics
from interfaces.web.middleware.raw_headers import RawHeaders, header_of, list_header_of
from interfaces.web.middleware.replica_routing import is_away
from interfaces.web.middleware.response_headers import TRACE, UNTOUCHED, source_header
from interfaces.web.middleware.stale_headers import headers_of
from interfaces.web.middleware.tracing import trace_id_of
from interfaces.web.problems import Problem
from interfaces.web.routes import FACILITY, names_a_past

PATH = f"{FACILITY}/current"
_BEFORE, _, _AFTER = PATH.partition("{facility_id}")
_ROLES = CURRENT_VALUE.roles or frozenset()
_JSON = (b"content-type", b"application/json")
_HEADERS = (*UNTOUCHED, (b"cache-control", KEPT), (b"vary", VARY))
MOST_TAGS = 10_000
_encode = msgspec.json.Encoder().encode


class _Made(NamedTuple):
    """An answer that is still to be sent."""

    status: int
    headers: RawHeaders
    body: bytes


class CurrentValueFastPath:
    """Over the same edge as the routes."""

    def __init__(self, edge: Edge, metrics: WebMetrics) -> None:
        self._edge = edge
        self._metrics = metrics
        self._tags: dict[str, tuple[CachedAnswer[CurrentValue], bool, bytes]] = {}
        """Of each facility's last answer, and whether it was stale: it is the same object until it is another value."""

    async def answered(self, scope: Scope, send: Send) -> bool:
        """Whether it was answered; else the route has still to do it."""
        facility_id = _facility_asked(scope)
        if facility_id is None or not self._edge.facilities.is_remembered(facility_id):
            return False
        began = time.perf_counter()
        try:
            made = await self._made(scope, facility_id)
        except Exception as error:  # noqa: BLE001 - raised again by the route, where errors are answered and logged
            scope[READ_BEFORE] = error  # type: ignore[literal-required]
            return False
        if made is None:
            return False
        self._metrics.count("GET", PATH, made.status, time.perf_counter() - began)
        await send({"type": "http.response.start", "status": made.status, "headers": made.headers})
        await send({"type": "http.response.body", "body": made.body, "more_body": False})
        return True

    async def _made(self, scope: Scope, facility_id: str) -> _Made | None:
        """None where it is left to the route."""
        authorization = header_of(scope["headers"], b"authorization")
        api_key = await self._caller(authorization.decode("latin-1"))
        if api_key is None or api_key.role not in _ROLES or api_key.facility_id not in (None, facility_id):
            return None
        answer = await self._read(scope, api_key, facility_id)
        if answer is None:
            return None
        collaborators = self._edge.collaborators
        document = current_document(facility_id, answer, collaborators.clock)
        tag = self._tag(answer, document)
        headers = [*_HEADERS, (b"etag", tag), (TRACE, trace_id_of(scope).encode())]
        told = headers_of([answer], collaborators.clock)
        headers += [(name.lower().encode(), value.encode()) for name, value in told.items()]
        if collaborators.replica is not None and not is_away(scope, self._edge.live.state):
            headers += source_header(collaborators.replica)
        if holds(list_header_of(scope["headers"], b"if-none-match"), tag):
            return _Made(304, headers, b"")
        body = _encode(document)
        return _Made(200, [*headers, _JSON, (b"content-length", b"%d" % len(body))], body)

    async def _caller(self, authorization: str) -> ApiKey | None:
        """The key in the header, if it is one; who comes with a cookie goes the long way."""
        authenticator = self._edge.authenticator
        api_key = authenticator.remembered(authorization)
        if api_key is not None or not authorization:
            return api_key
        try:
            return await authenticator.principal(authorization, only_reads=True)
        except (Problem, ApiKeysUnavailable):
            return None  # the route says so

    async def _read(
        self, scope: Scope, api_key: ApiKey, facility_id: str
    ) -> CachedAnswer[CurrentValue] | None:
        """None where it is left to the route to say why there is none, by what was read here."""
        read: Any
        try:
            read = await self._edge.current_reads.read(api_key.key_id, facility_id)
        except TelemetryStoreUnavailable as error:
            read = error
        else:
            if read.answer is not None:
                answer: CachedAnswer[CurrentValue] = read.answer
                return answer
        scope[READ_BEFORE] = read  # type: ignore[literal-required]
        return None

    def _tag(self, answer: CachedAnswer[CurrentValue], document: CurrentDocument) -> bytes:
        known = self._tags.get(document.facility_id)
        if known is not None and known[0] is answer and known[1] == document.stale:
            return known[2]
        tag = tag_of(document).encode()
        if len(self._tags) >= MOST_TAGS:
            self._tags.clear()
        self._tags[document.facility_id] = answer, document.stale, tag
        return tag


def _facility_asked(scope: Scope) -> str | None:
    path: str = scope["path"]
    asked = path.startswith(_BEFORE) and path.endswith(_AFTER) and scope.get("method") == "GET"
    asked = asked and not names_a_past(scope["query_string"])  # of which there is none: the route says so
    return path[len(_BEFORE) : -len(_AFTER)] if asked else None
