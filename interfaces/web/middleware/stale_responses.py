"""Stale reads: they are labelled, and answered from the last response while the store is down.

The document then contains `stale`, `age_s` (clock seconds) and `source`: `read_models` if they are behind the log,
`replica` if it is behind the primary or serves in its place, `last_known` for the last response.
"""

from __future__ import annotations

import time
from typing import NamedTuple, TypeVar, cast

import msgspec
from litestar.types import HTTPResponseStartEvent, Scope

from application.ports.access.api_keys import ApiKey
from application.ports.clock import Clock
from interfaces.web.broadcast.freshness import BEHIND_S, LiveState
from interfaces.web.caching.last_responses import AgingDocument, RequestKey, StaleIfErrorCache
from interfaces.web.middleware.replica_routing import prefers_newest, replica_age_s
from interfaces.web.middleware.stale_headers import stale_headers
from interfaces.web.route_policy import RoutePolicy
from interfaces.web.routes import READS_PAST
from projections.queries.replica import ReplicatedReadModels

_DOCUMENT = "gridproof.document"
TDocument = TypeVar("TDocument", bound=AgingDocument)


class PlainResponse(NamedTuple):
    """A response as the handler wrote it."""

    policy: RoutePolicy
    began: float
    """When the request began, on the monotonic clock."""
    start: HTTPResponseStartEvent
    body: bytes


class _Lag(NamedTuple):
    """How far a response that counts as current may be behind."""

    behind_s: float
    """Clock seconds that its read models are behind the log; 0 for the usual delay."""
    replica_s: float
    """Wall seconds that the replica, if it was read, is behind the primary."""


class StaleResponses:
    """Labels stale responses, and stores the last ones for outages; of routes with another `cache` than "now"."""

    def __init__(
        self,
        state: LiveState,
        responses: StaleIfErrorCache,
        clock: Clock,
        replica: ReplicatedReadModels | None = None,
    ) -> None:
        self._state = state
        self._replica = replica
        self._responses = responses
        self._clock = clock

    def completed(self, scope: Scope, response: PlainResponse) -> bytes:
        """The body to send; status and headers are completed in place. Only a caller that was admitted gets another
        one than that of the response."""
        key, status = _request_key(scope), response.start["status"]
        if key is not None and status == 200:
            return self._label_and_store(scope, response, key)
        if key is not None and status == 503:
            return self._last_response(response, key)
        return response.body

    def _label_and_store(self, scope: Scope, response: PlainResponse, key: RequestKey) -> bytes:
        policy, began, start, body = response
        replica_s, tag = None if self._replica is None else replica_age_s(scope, self._clock), None
        if replica_s is None:
            lag = self._lag(scope, policy)
            # The rows were read some time after the request began; that time counts as age.
            age_wall_s = self._age_wall_s(start, lag) + time.monotonic() - began
            tag = self._responses.store(
                key,
                body,
                _header(start, b"content-type"),
                age_s=age_wall_s,
                document=cast("dict[str, AgingDocument]", scope).get(_DOCUMENT),
            )
            age_s, source = self._staleness(lag)
        else:
            age_s, source = replica_s, "replica"
        if age_s or replica_s is not None:
            body = with_label(body, age_s, source)
            start["headers"] = _with_stale_headers(start, body, self._clock.wall_seconds(age_s))
        elif tag is not None and policy.has_etag and not _header(start, b"etag"):
            start["headers"] = [*start["headers"], (b"etag", tag)]  # a page of megabytes is hashed once
        return body

    def _last_response(self, response: PlainResponse, key: RequestKey) -> bytes:
        """The last response in place of a 503, with its age; the 503 itself if there is none."""
        start = response.start
        cached = self._responses.find(key)
        if cached is None:
            return response.body
        last, since_wall_s = cached
        wall_s = max(self._clock.wall_seconds(1.0), 1e-9)
        age_wall_s = last.age_s + since_wall_s
        body = with_age(last.content, since_wall_s / wall_s, content_age_s=age_wall_s / wall_s)
        start["status"] = 200
        start["headers"] = [(b"content-type", last.media_type)]
        start["headers"] = _with_stale_headers(start, body, age_wall_s)
        return body

    def _lag(self, scope: Scope, policy: RoutePolicy) -> _Lag:
        projections, replica_s = _projections_of(scope, policy), 0.0
        is_of_replica = bool(projections) or (policy.reads_replica and READS_PAST not in scope)
        may_be_of_replica = is_of_replica and policy.cache != "primary" and not prefers_newest(scope)
        if self._replica is not None and may_be_of_replica:
            replica_s = self._replica.source().lag_s
        return _Lag(self._state.behind_s(*projections), replica_s)

    def _staleness(self, lag: _Lag) -> tuple[float, str]:
        """Clock seconds (0 for the usual delay), and what is behind."""
        if not lag.behind_s and lag.replica_s <= BEHIND_S:
            return 0.0, ""
        age_s = lag.behind_s + lag.replica_s / max(self._clock.wall_seconds(1.0), 1e-9)
        return age_s, "read_models" if lag.behind_s else "replica"

    def _age_wall_s(self, start: HTTPResponseStartEvent, lag: _Lag) -> float:
        """The age of a response: as it says itself in `Age`, and what it may lack."""
        stated = _header(start, b"age")
        return (
            (int(stated) if stated.isdigit() else 0) + self._clock.wall_seconds(lag.behind_s) + lag.replica_s
        )


def aging(scope: Scope, document: TDocument) -> TDocument:
    """`document`, noted as what the response to this request is encoded from."""
    scope[_DOCUMENT] = document  # type: ignore[literal-required]
    return document


def with_label(body: bytes, age_s: float, source: str) -> bytes:
    """The document with `stale`, `age_s` and `source` as its last members. What is no object stays as it is."""
    if not body.startswith(b"{"):
        return body
    label = msgspec.json.encode({"stale": True, "age_s": round(age_s, 1), "source": source})
    return body[:-1] + (b"," if len(body) > len(b"{}") else b"") + label[1:]


def with_age(content: bytes | AgingDocument, since_s: float, *, content_age_s: float) -> bytes:
    """A response of `since_s` ago, labelled as `last_known`. One without an age of its own is `content_age_s` old.

    Clock seconds.
    """
    if isinstance(content, bytes):
        return with_label(content, content_age_s, "last_known")
    body = msgspec.json.encode(content.aged(since_s))
    return body if hasattr(content, "age_s") else with_label(body, content_age_s, "last_known")


def _projections_of(scope: Scope, policy: RoutePolicy) -> tuple[str, ...]:
    """Empty for a past state, which no unfolded domain event can change."""
    if not policy.ignores_as_of and READS_PAST in scope:
        return ()
    return policy.projections


def _request_key(scope: Scope) -> RequestKey | None:
    """None for a caller that was not admitted."""
    caller = scope.get("user")
    if not isinstance(caller, ApiKey):
        return None
    return RequestKey(caller.key_id, str(scope["path"]), scope.get("query_string", b""))


def _header(start: HTTPResponseStartEvent, name: bytes) -> bytes:
    return next((value for given, value in start["headers"] if given.lower() == name), b"")


def _with_stale_headers(
    start: HTTPResponseStartEvent, body: bytes, age_wall_s: float
) -> list[tuple[bytes, bytes]]:
    added = [(name.lower().encode(), value.encode()) for name, value in stale_headers(age_wall_s).items()]
    replaced = {b"content-length", b"etag", b"retry-after", *(name for name, _ in added)}
    unchanged = [(name, value) for name, value in start["headers"] if name.lower() not in replaced]
    return [*unchanged, (b"content-length", b"%d" % len(body)), *added]
