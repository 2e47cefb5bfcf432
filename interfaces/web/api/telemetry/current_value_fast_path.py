"""The fast path of current values, the most frequent request: without router, request object and guard.

It answers only requests that succeed: an authorized key, a cached facility id, an existing value. All others go to the
route in current_value.py, which refuses like every route; what was read here is passed on, since the rate limit has
counted it.
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
    PRIOR_READ,
    CurrentDocument,
    current_document,
    tag_of,
)
from interfaces.web.edge import Edge
from interfaces.web.middleware.conditional import REVALIDATE, VARY, tag_matches
from interfaces.web.middleware.metrics import WebMetrics
from interfaces.web.middleware.raw_headers import RawHeaders, header_of, list_header_of
from interfaces.web.middleware.replica_routing import is_away
from interfaces.web.middleware.response_headers import SECURITY_HEADERS, TRACE, source_header
from interfaces.web.middleware.stale_headers import stale_headers_of
from interfaces.web.middleware.tracing import trace_id_of
from interfaces.web.problems import Problem
from interfaces.web.routes import FACILITY, has_as_of

PATH = f"{FACILITY}/current"
_BEFORE, _, _AFTER = PATH.partition("{facility_id}")
_ROLES = CURRENT_VALUE.roles or frozenset()
_JSON = (b"content-type", b"application/json")
_HEADERS = (*SECURITY_HEADERS, (b"cache-control", REVALIDATE), (b"vary", VARY))
MAX_TAGS = 10_000
_encode = msgspec.json.Encoder().encode


class _CachedResponse(NamedTuple):
    """A response that is not sent yet."""

    status: int
    headers: RawHeaders
    body: bytes


class CurrentValueFastPath:
    """Uses the same edge as the routes."""

    def __init__(self, edge: Edge, metrics: WebMetrics) -> None:
        self._edge = edge
        self._metrics = metrics
        self._tags: dict[str, tuple[CachedAnswer[CurrentValue], bool, bytes]] = {}
        """Facility id -> last answer, whether it was stale, and its tag. An unchanged answer is the same object."""

    async def respond(self, scope: Scope, send: Send) -> bool:
        """True if the response was sent; else the route has to answer."""
        facility_id = _facility_id_in(scope)
        if facility_id is None or not self._edge.facilities.is_cached(facility_id):
            return False
        began = time.perf_counter()
        try:
            response = await self._response_to(scope, facility_id)
        except Exception as error:  # noqa: BLE001 - raised again by the route, which handles and logs errors
            scope[PRIOR_READ] = error  # type: ignore[literal-required]
            return False
        if response is None:
            return False
        self._metrics.count("GET", PATH, response.status, time.perf_counter() - began)
        await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
        await send({"type": "http.response.body", "body": response.body, "more_body": False})
        return True

    async def _response_to(self, scope: Scope, facility_id: str) -> _CachedResponse | None:
        """None if the route has to answer."""
        authorization = header_of(scope["headers"], b"authorization")
        api_key = await self._caller(authorization.decode("latin-1"))
        if api_key is None or api_key.role not in _ROLES or api_key.facility_id not in (None, facility_id):
            return None
        answer = await self._read(scope, api_key, facility_id)
        if answer is None:
            return None
        dependencies = self._edge.dependencies
        document = current_document(facility_id, answer, dependencies.clock)
        tag = self._tag(answer, document)
        headers = [*_HEADERS, (b"etag", tag), (TRACE, trace_id_of(scope).encode())]
        stale = stale_headers_of([answer], dependencies.clock)
        headers += [(name.lower().encode(), value.encode()) for name, value in stale.items()]
        if dependencies.replica is not None and not is_away(scope, self._edge.live.state):
            headers += source_header(dependencies.replica)
        if tag_matches(list_header_of(scope["headers"], b"if-none-match"), tag):
            return _CachedResponse(304, headers, b"")
        body = _encode(document)
        return _CachedResponse(200, [*headers, _JSON, (b"content-length", b"%d" % len(body))], body)

    async def _caller(self, authorization: str) -> ApiKey | None:
        """The key in the header, if it is valid. Session cookies are left to the route."""
        authenticator = self._edge.authenticator
        api_key = authenticator.cached(authorization)
        if api_key is not None or not authorization:
            return api_key
        try:
            return await authenticator.principal(authorization, only_reads=True)
        except (Problem, ApiKeysUnavailable):
            return None  # the route refuses it

    async def _read(
        self, scope: Scope, api_key: ApiKey, facility_id: str
    ) -> CachedAnswer[CurrentValue] | None:
        """None if there is no answer; the route responds by what was read here."""
        read: Any
        try:
            read = await self._edge.current_reads.read(api_key.key_id, facility_id)
        except TelemetryStoreUnavailable as error:
            read = error
        else:
            if read.answer is not None:
                answer: CachedAnswer[CurrentValue] = read.answer
                return answer
        scope[PRIOR_READ] = read  # type: ignore[literal-required]
        return None

    def _tag(self, answer: CachedAnswer[CurrentValue], document: CurrentDocument) -> bytes:
        cached = self._tags.get(document.facility_id)
        if cached is not None and cached[0] is answer and cached[1] == document.stale:
            return cached[2]
        tag = tag_of(document).encode()
        if len(self._tags) >= MAX_TAGS:
            self._tags.clear()
        self._tags[document.facility_id] = answer, document.stale, tag
        return tag


def _facility_id_in(scope: Scope) -> str | None:
    path: str = scope["path"]
    matches = path.startswith(_BEFORE) and path.endswith(_AFTER) and scope.get("method") == "GET"
    matches = matches and not has_as_of(scope["query_string"])  # which the route refuses
    return path[len(_BEFORE) : -len(_AFTER)] if matches else None
