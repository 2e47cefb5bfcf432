"""Route of the live stream: `GET /api/stream` (Server-Sent Events)."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any
from uuid import UUID

from litestar import Controller, Response, get
from litestar.params import FromQuery, HeaderParameter, QueryParameter
from litestar.response.base import ASGIResponse
from litestar.types import HTTPResponseBodyEvent, Receive, Scope, Send

from application.ports.access.api_keys import ApiKeysUnavailable
from interfaces.web.broadcast.feed import LiveFeed
from interfaces.web.broadcast.message import Audience
from interfaces.web.broadcast.send_timeout import SendTimeout
from interfaces.web.broadcast.subscriber import Subscriber
from interfaces.web.edge import Web
from interfaces.web.guard.access import ApiRequest, caller_of
from interfaces.web.middleware.metrics import WebMetrics
from interfaces.web.problems import Problem, try_again
from interfaces.web.requests.paging import Filter
from interfaces.web.route_policy import ALERT_READER, FACILITY_READER, RoutePolicy

MEDIA_TYPE = "text/event-stream"
SEND_TIMEOUT_S = 10.0
"""Wall seconds for sending one chunk."""
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
        name="Last-Event-ID", max_length=20, schema_extra=A_POSITION, description="Resumes after it"
    ),
]


class StreamController(Controller):
    path = "/api/stream"
    tags = ("live",)

    @get(
        "/",
        summary="Domain events as they are recorded (Server-Sent Events)",
        media_type=MEDIA_TYPE,
        policy=RoutePolicy(
            roles=FACILITY_READER, one_facility=True, needs_store=False, has_etag=False, rate_limit="none"
        ),
    )
    async def watch(
        self,
        request: ApiRequest,
        web: Web,
        *,
        dr_event_id: FromQuery[UUID | None] = None,
        facility_id: Filter = None,
        last_event_id: Position = None,
        resumed_after: LastEventId = None,
    ) -> Response[None]:
        """A message says what to read again. `Last-Event-ID` resumes in the log without a gap or a repeat.

        Alerts are not in the log: each stream begins with the number of open ones, and reports changes from then on.
        """
        by_header, by_query = _position(resumed_after), _position(last_event_id)
        after = by_query if by_header is None else by_header
        if web.live.is_full:
            raise try_again(
                "unavailable",
                "as many watch already as this process bears",
                retry_after_s=FULL_RETRY_AFTER_S,
            )
        if web.live.is_at_limit(request.user.key_id):
            raise try_again(
                "rate-exceeded",
                f"{web.live.max_per_key} watch with this key already, which is its share of this process; close some, "
                "or give them keys of their own",
                retry_after_s=FULL_RETRY_AFTER_S,
            )
        audience = Audience(
            facility_id=request.user.facility_id,
            only_facility_id=facility_id,
            only_dr_event_id=dr_event_id,
            sees_alerts=_sees_alerts(request),
        )

        async def may_stay() -> bool:
            try:
                await caller_of(web, request)
            except Problem:
                return False
            except ApiKeysUnavailable:
                return True  # no messages are sent meanwhile
            return True

        watcher = Subscriber(web.live, audience, caller=request.user.key_id, after=after, may_stay=may_stay)
        return SubscriberResponse(web.live, watcher, web.metrics)


def _position(written: str | None) -> int | None:
    """Raises Problem (400)."""
    if not written:
        return None
    if not (written.isascii() and written.isdigit()):
        raise Problem("invalid-request", "`Last-Event-ID` is the `id` of a message: a position of the log")
    return int(written)


def _sees_alerts(request: ApiRequest) -> bool:
    return request.user.role in ALERT_READER and request.user.facility_id is None


class SubscriberResponse(Response[None]):
    """The response with the stream of one subscriber."""

    def __init__(self, feed: LiveFeed, watcher: Subscriber, metrics: WebMetrics) -> None:
        super().__init__(None, media_type=MEDIA_TYPE)
        self._feed = feed
        self._watcher = watcher
        self._metrics = metrics

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIResponse:
        return _Stream(self._feed, self._watcher, self._metrics)


class _Stream(ASGIResponse):
    """Sends chunks, each only once the connection can take it."""

    def __init__(self, feed: LiveFeed, watcher: Subscriber, metrics: WebMetrics) -> None:
        super().__init__(media_type=MEDIA_TYPE)
        self._feed = feed
        self._watcher = watcher
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._feed.watchers.add(self._watcher)
        self._metrics.live_watchers.inc()
        leaving = asyncio.create_task(self._until_disconnected(receive), name="watcher leaves")
        limit = SendTimeout(SEND_TIMEOUT_S)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _headers()})
            await self._send_chunks(send, limit)
            if self._watcher.was_too_slow:
                self._metrics.live_dropped.labels("behind").inc()
        except asyncio.CancelledError:
            if not limit.is_over:
                raise
            limit.task.uncancel()  # the server closes the connection, since the response is incomplete
            self._metrics.live_dropped.labels("blocked").inc()
        finally:
            limit.close()
            leaving.cancel()
            self._feed.watchers.discard(self._watcher)
            self._metrics.live_watchers.dec()

    async def _send_chunks(self, send: Send, limit: SendTimeout) -> None:
        """Cancelled if a chunk is not sent in time."""
        async for piece in self._watcher.pieces():
            limit.begin()
            await send(_body(piece, more=True))
            limit.end()
        limit.begin()
        await send(_body(b"", more=False))
        limit.end()

    async def _until_disconnected(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._watcher.leave()


def _headers() -> list[tuple[bytes, bytes]]:
    """Proxies must not store, buffer or change the stream."""
    return [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-store, no-transform"),
        (b"x-accel-buffering", b"no"),
    ]


def _body(piece: bytes, *, more: bool) -> HTTPResponseBodyEvent:
    return {"type": "http.response.body", "body": piece, "more_body": more}
