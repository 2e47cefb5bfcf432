"""`GET /api/stream`: what happens, as it happens (Server-Sent Events)."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any
from uuid import UUID

from litestar import Controller, Response, get
from litestar.params import FromQuery, HeaderParameter, QueryParameter
from litestar.response.base import ASGIResponse
from litestar.types import HTTPResponseBodyEvent, Receive, Scope, Send

from application.ports.access.api_keys import ApiKeysUnavailable
from interfaces.web.authentication.session_cookie import caller_of
from interfaces.web.broadcast.feed import LiveFeed
from interfaces.web.broadcast.message import Audience
from interfaces.web.broadcast.send_timeout import SendTimeout, send_of
from interfaces.web.broadcast.subscriber import Subscriber
from interfaces.web.edge import edge_of
from interfaces.web.guard.access import ApiRequest
from interfaces.web.middleware.metrics import WebMetrics, metrics_of
from interfaces.web.problems import Problem, try_again
from interfaces.web.requests.paging import Filter
from interfaces.web.route_policy import ALERT_READER, READER, RoutePolicy

MEDIA_TYPE = "text/event-stream"
SEND_WITHIN_S = 10.0
"""Wall seconds that one piece may wait for the connection to take it."""
FULL_RETRY_AFTER_S = 5.0

A_POSITION = {"pattern": "^[0-9]*$"}
Position = Annotated[
    str | None,
    QueryParameter(
        name="last_event_id", max_length=20, schema_extra=A_POSITION, description="As `Last-Event-ID`"
    ),
]
LastEventId = Annotated[
    str | None,
    HeaderParameter(
        name="Last-Event-ID", max_length=20, schema_extra=A_POSITION, description="Goes on after it"
    ),
]


class StreamController(Controller):
    path = "/api/stream"
    tags = ("live",)

    @get(
        "/",
        summary="What happens, as it happens (Server-Sent Events)",
        media_type=MEDIA_TYPE,
        policy=RoutePolicy(
            roles=READER, one_facility=True, needs_store=False, has_etag=False, rate_limit="none"
        ),
    )
    async def watch(
        self,
        request: ApiRequest,
        *,
        dr_event_id: FromQuery[UUID | None] = None,
        facility_id: Filter = None,
        last_event_id: Position = None,
        resumed_after: LastEventId = None,
    ) -> Response[None]:
        """A message says what to read anew. `Last-Event-ID` goes on in the log without a gap or a repeat.

        Alerts are not in it: each stream begins with how many are open, and tells what changes from then on.
        """
        edge = edge_of(request)
        resumed, asked = _position(resumed_after), _position(last_event_id)
        after = asked if resumed is None else resumed
        if edge.live.is_full:
            raise try_again(
                "unavailable",
                "as many watch already as this process bears",
                retry_after_s=FULL_RETRY_AFTER_S,
            )
        if edge.live.has_its_share(request.user.key_id):
            raise try_again(
                "rate-exceeded",
                f"{edge.live.most_of_one} watch with this key already, which is its share of this process; close some, "
                "or give them keys of their own",
                retry_after_s=FULL_RETRY_AFTER_S,
            )
        audience = Audience(
            facility_id=request.user.facility_id,
            asked_facility_id=facility_id,
            asked_dr_event_id=dr_event_id,
            sees_alerts=_sees_alerts(request),
        )

        async def may_stay() -> bool:
            try:
                await caller_of(request, edge.authenticator, edge.signed_in)
            except Problem:
                return False
            except ApiKeysUnavailable:
                return True  # it hears of nothing meanwhile
            return True

        watcher = Subscriber(edge.live, audience, caller=request.user.key_id, after=after, may_stay=may_stay)
        return WatcherResponse(edge.live, watcher, metrics_of(request))


def _position(written: str | None) -> int | None:
    """Raises Problem (400)."""
    if not written:
        return None
    if not (written.isascii() and written.isdigit()):
        raise Problem("invalid-request", "`Last-Event-ID` is the `id` of a message: a position of the log")
    return int(written)


def _sees_alerts(request: ApiRequest) -> bool:
    return request.user.role in ALERT_READER and request.user.facility_id is None


class WatcherResponse(Response[None]):
    """The stream of one watcher."""

    def __init__(self, feed: LiveFeed, watcher: Subscriber, metrics: WebMetrics) -> None:
        super().__init__(None, media_type=MEDIA_TYPE)
        self._feed = feed
        self._watcher = watcher
        self._metrics = metrics

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIResponse:
        return _Stream(self._feed, self._watcher, self._metrics)


class _Stream(ASGIResponse):
    """Sent piece by piece, each only once the connection has room for it."""

    def __init__(self, feed: LiveFeed, watcher: Subscriber, metrics: WebMetrics) -> None:
        super().__init__(media_type=MEDIA_TYPE)
        self._feed = feed
        self._watcher = watcher
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._feed.watchers.add(self._watcher)
        self._metrics.live_watchers.inc()
        leaving = asyncio.create_task(self._until_gone(receive), name="watcher leaves")
        limit = SendTimeout(SEND_WITHIN_S)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _headers()})
            await self._send_pieces(send_of(scope, send), limit)
            if self._watcher.was_too_slow:
                self._metrics.live_dropped.labels("behind").inc()
        except asyncio.CancelledError:
            if not limit.is_over:
                raise
            limit.task.uncancel()  # the server closes the connection, since the answer is not complete
            self._metrics.live_dropped.labels("blocked").inc()
        finally:
            limit.close()
            leaving.cancel()
            self._feed.watchers.discard(self._watcher)
            self._metrics.live_watchers.dec()

    async def _send_pieces(self, send: Send, limit: SendTimeout) -> None:
        """Is cancelled where one is not taken."""
        async for piece in self._watcher.pieces():
            limit.begin()
            await send(_body(piece, more=True))
            limit.end()
        limit.begin()
        await send(_body(b"", more=False))
        limit.end()

    async def _until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._watcher.leave()


def _headers() -> list[tuple[bytes, bytes]]:
    """Nothing between us and the page may keep, gather or change it."""
    return [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-store, no-transform"),
        (b"x-accel-buffering", b"no"),
    ]


def _body(piece: bytes, *, more: bool) -> HTTPResponseBodyEvent:
    return {"type": "http.response.body", "body": piece, "more_body": more}
