"""Reads that are not of now say so, and a read is answered with what was known last rather than not at all.

`stale`, `age_s` (clock seconds) and `source` stand in the document then: `read_models` are behind the log, or the
`replica` is behind the primary; or PostgreSQL does not answer, and it is what the replica has, else the answer of
before (`last_known`).
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import msgspec
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, HTTPResponseStartEvent, Message, Receive, Scope, Send

from application.ports.access.api_keys import ApiKey
from application.ports.clock import Clock
from interfaces.web.broadcast.freshness import BEHIND_S, LiveState
from interfaces.web.caching.last_responses import Asked, StaleIfErrorCache
from interfaces.web.middleware.replica_routing import age_alone_s, prefers_newest
from interfaces.web.middleware.stale_headers import stale_headers
from interfaces.web.route_policy import RoutePolicy, policy_in
from interfaces.web.routes import names_a_past
from projections.queries.replica import ReplicatedReadModels

_decode_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class _Answered(NamedTuple):
    policy: RoutePolicy
    began: float
    """Of the monotonic clock."""
    start: HTTPResponseStartEvent
    body: bytes


class _Late(NamedTuple):
    """What an answer may lack that counts as of now."""

    behind_s: float
    """Clock seconds that its read models are behind the log; 0 where they are late as usual."""
    lag_s: float
    """Wall seconds that the replica it may be of was behind the primary."""


class StaleReads(ASGIMiddleware):
    """Closest to the routes, so that it sees answers as they are written. Other routes pass it untouched."""

    def __init__(
        self,
        state: LiveState,
        answers: StaleIfErrorCache,
        clock: Clock,
        replica: ReplicatedReadModels | None = None,
    ) -> None:
        self._state = state
        self._replica = replica
        self._answers = answers
        self._clock = clock

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        policy = policy_in(scope)
        if policy.cache == "now":
            await next_app(scope, receive, send)
            return
        began = time.monotonic()
        start: list[HTTPResponseStartEvent] = []
        pieces: list[bytes] = []

        async def held(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.append(message)
                return
            if message["type"] != "http.response.body":
                await send(message)
                return
            pieces.append(message["body"])
            if not message["more_body"]:
                body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
                await self._answer(scope, _Answered(policy, began, start[0], body), send)

        await next_app(scope, receive, held)

    async def _answer(self, scope: Scope, answered: _Answered, send: Send) -> None:
        policy, began, start, body = answered
        asked = _asked(scope)
        alone_s = age_alone_s(scope, self._clock)
        if asked is not None and start["status"] == 200:
            if alone_s is None:
                late = self._late(scope, policy)
                # It was read after that, and nobody here knows when.
                kept_age_s = self._age_wall_s(start, late) + time.monotonic() - began
                self._answers.keep(asked, body, _header(start, b"content-type"), age_s=kept_age_s)
                age_s, source = self._told(late)
            else:
                age_s, source = alone_s, "replica"
            if age_s or alone_s is not None:
                body = labelled(body, age_s, source)
                start["headers"] = _stale(start, body, self._clock.wall_seconds(age_s))
        elif asked is not None and start["status"] == 503:
            found = self._answers.find(asked)
            if found is not None:
                answer, since_wall_s = found
                wall_s = max(self._clock.wall_seconds(1.0), 1e-9)
                age_wall_s = answer.age_s + since_wall_s
                body = aged(answer.body, since_wall_s / wall_s, content_age_s=age_wall_s / wall_s)
                start["status"] = 200
                start["headers"] = [(b"content-type", answer.media_type)]
                start["headers"] = _stale(start, body, age_wall_s)
        await send(start)
        await send({"type": "http.response.body", "body": body, "more_body": False})

    def _late(self, scope: Scope, policy: RoutePolicy) -> _Late:
        projections, lag_s = _projections_of(scope, policy), 0.0
        may_be_of_replica = projections and policy.cache != "primary" and not prefers_newest(scope)
        if self._replica is not None and may_be_of_replica:
            lag_s = self._replica.source().lag_s
        return _Late(self._state.behind_s(*projections), lag_s)

    def _told(self, late: _Late) -> tuple[float, str]:
        """Clock seconds (0 where it is late as usual), and what is behind."""
        if not late.behind_s and late.lag_s <= BEHIND_S:
            return 0.0, ""
        age_s = late.behind_s + late.lag_s / max(self._clock.wall_seconds(1.0), 1e-9)
        return age_s, "read_models" if late.behind_s else "replica"

    def _age_wall_s(self, start: HTTPResponseStartEvent, late: _Late) -> float:
        """How old an answer is that counts as of now, or says itself that it is not."""
        said = _header(start, b"age")
        return (int(said) if said.isdigit() else 0) + self._clock.wall_seconds(late.behind_s) + late.lag_s


def labelled(body: bytes, age_s: float, source: str) -> bytes:
    """The document with `stale`, `age_s` and `source`."""
    parts = _parts_of(body)
    return body if parts is None else _labelled(parts, age_s, source)


def aged(body: bytes, since_s: float, *, content_age_s: float) -> bytes:
    """An answer of `since_s` ago as `last_known`: what has an age of its own, it or its items, is older by as much.

    What has none is `content_age_s` old. Clock seconds.
    """
    parts = _parts_of(body)
    if parts is None:
        return body
    before = msgspec.json.decode(parts.get("age_s", b"null"))
    age_s = before + since_s if isinstance(before, int | float) else content_age_s
    items = bytes(parts.get("items", b""))
    if items.startswith(b"[") and b'"age_s"' in items:
        parts["items"] = msgspec.Raw(
            msgspec.json.encode([_older(item, since_s) for item in msgspec.json.decode(items)])
        )
    return _labelled(parts, age_s, "last_known")


def _parts_of(body: bytes) -> dict[str, msgspec.Raw] | None:
    """What stands in the document, as it is written there: it may be some MB. None where it is no object."""
    try:
        return _decode_parts(body)
    except msgspec.ValidationError:
        return None


def _labelled(parts: dict[str, msgspec.Raw], age_s: float, source: str) -> bytes:
    return msgspec.json.encode({**parts, "stale": True, "age_s": round(age_s, 1), "source": source})


def _older(item: Any, since_s: float) -> Any:
    if not isinstance(item, dict) or not isinstance(item.get("age_s"), int | float):
        return item
    return {**item, "age_s": item["age_s"] + since_s, "stale": True, "source": "last_known"}


def _projections_of(scope: Scope, policy: RoutePolicy) -> tuple[str, ...]:
    """None of a past state: it lacks nothing that any of them has yet to fold."""
    if not policy.ignores_as_of and names_a_past(scope.get("query_string", b"")):
        return ()
    return policy.projections


def _asked(scope: Scope) -> Asked | None:
    """None for one who was not let in."""
    caller = scope.get("user")
    if not isinstance(caller, ApiKey):
        return None
    return Asked(caller.key_id, str(scope["path"]), scope.get("query_string", b""))


def _header(start: HTTPResponseStartEvent, name: bytes) -> bytes:
    return next((value for found, value in start["headers"] if found.lower() == name), b"")


def _stale(start: HTTPResponseStartEvent, body: bytes, age_wall_s: float) -> list[tuple[bytes, bytes]]:
    told = [(name.lower().encode(), value.encode()) for name, value in stale_headers(age_wall_s).items()]
    replaced = {b"content-length", b"etag", b"retry-after", *(name for name, _ in told)}
    kept = [(name, value) for name, value in start["headers"] if name.lower() not in replaced]
    return [*kept, (b"content-length", b"%d" % len(body)), *told]
