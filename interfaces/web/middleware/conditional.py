"""Whole responses to reads: labelled where they are stale, conditional (`ETag`, 304) and compressed (gzip).

The tag is a hash of the content, whoever the caller is and whatever `as_of` says. It is weak, since the compressed and
the plain form have the same one.
"""

from __future__ import annotations

import asyncio
import re
import time
import zlib
from collections.abc import Callable
from functools import lru_cache

from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, HTTPResponseStartEvent, Message, Receive, Scope, Send

from interfaces.web.caching.body_tag import tag_of
from interfaces.web.middleware.raw_headers import RawHeaders, header_of, list_header_of
from interfaces.web.middleware.stale_responses import PlainResponse, StaleResponses
from interfaces.web.route_policy import RoutePolicy, policy_in

MIN_GZIP_BYTES = 1_024
"""Shorter responses fit into a packet or two without compression."""
THREAD_BYTES = 64 * 1_024
"""Longer responses are compressed in a thread, so that the event loop is not blocked."""
MAX_CODINGS = 32
"""Codings in `Accept-Encoding` that are read; further ones are ignored."""
_QUALITY = re.compile(rb"0(\.\d{0,3})?|1(\.0{0,3})?")
LEVEL = 3
VARY = b"Authorization, Cookie, Accept-Encoding"
REVALIDATE = b"private, no-cache"
"""`Cache-Control`: a caller may store a response, and revalidates it each time."""
_CONTENT = (
    b"application/json",
    b"application/vnd.oai.openapi+json",
    b"text/html",
    b"text/csv",
    b"text/css",
    b"text/javascript",
)


class WholeResponseMiddleware(ASGIMiddleware):
    """The innermost middleware: it sees responses as handlers write them, and sends each read in one piece.

    A response of a route with another `cache` than "now" is completed by StaleResponses; one with content, to a GET of
    a route with `ETag`, gets that, or becomes a 304. Everything else passes unchanged, as do streams.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        policy = policy_in(scope)
        may_be_stale = policy.cache != "now"
        if not may_be_stale and not _is_conditional(scope, policy):
            await next_app(scope, receive, send)
            return
        began = time.monotonic()
        start: HTTPResponseStartEvent | None = None
        pieces: list[bytes] = []

        async def collect(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and (may_be_stale or _is_content(message)):
                start = message
                return
            if start is None or message["type"] != "http.response.body":
                await send(message)
                return
            more = message.get("more_body", False)
            if more and not may_be_stale:  # a stream
                first, start = start, None
                await send(first)
                await send(message)
                return
            pieces.append(message["body"])
            if not more:
                body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
                await _send_completed(scope, PlainResponse(policy, began, start, body), send)

        await next_app(scope, receive, collect)


async def _send_completed(scope: Scope, response: PlainResponse, send: Send) -> None:
    policy, start, body = response.policy, response.start, response.body
    if policy.cache != "now":
        stale: StaleResponses = scope["app"].state["web"].stale_responses
        body = stale.completed(scope, response)
    if _is_conditional(scope, policy) and _is_content(start):
        body = await _with_tag(scope, start, body, packed=_packed_once if policy.is_constant else _gzip)
    await send(start)
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _is_conditional(scope: Scope, policy: RoutePolicy) -> bool:
    return policy.has_etag and scope.get("method") == "GET"


def tag_matches(if_none_match: bytes, tag: bytes) -> bool:
    """True if `If-None-Match` names the tag (RFC 9110, weak comparison)."""
    if not if_none_match:
        return False
    tags = [one.strip().removeprefix(b"W/") for one in if_none_match.split(b",")]
    return b"*" in tags or tag.removeprefix(b"W/") in tags


def _is_content(start: HTTPResponseStartEvent) -> bool:
    if start["status"] != 200:
        return False
    headers = list(start["headers"])
    return header_of(headers, b"content-type").startswith(_CONTENT) and not header_of(
        headers, b"content-encoding"
    )


async def _with_tag(
    scope: Scope, start: HTTPResponseStartEvent, body: bytes, *, packed: Callable[[bytes], bytes]
) -> bytes:
    """The body to send; status and headers are completed in place."""
    headers: RawHeaders = [(name.lower(), value) for name, value in start["headers"]]
    tag = header_of(headers, b"etag")
    if not tag:
        tag = tag_of(body)
        headers.append((b"etag", tag))
    headers.append((b"vary", VARY))
    if not header_of(headers, b"cache-control"):
        headers.append((b"cache-control", REVALIDATE))
    if tag_matches(list_header_of(scope["headers"], b"if-none-match"), tag):
        start["status"] = 304
        start["headers"] = [(name, value) for name, value in headers if not name.startswith(b"content-")]
        return b""
    if wants_gzip(list_header_of(scope["headers"], b"accept-encoding"), len(body)):
        body = packed(body) if len(body) < THREAD_BYTES else await asyncio.to_thread(packed, body)
        headers = [(name, value) for name, value in headers if name != b"content-length"]
        headers += [(b"content-encoding", b"gzip"), (b"content-length", str(len(body)).encode())]
    start["headers"] = headers
    return body


def wants_gzip(accept_encoding: bytes, size: int) -> bool:
    """True if a response of `size` bytes is sent in gzip (RFC 9110, 12.5.3).

    If gzip is accepted and the plain form not preferred; a short response only if the plain form is refused.
    """
    weights: dict[bytes, float] = {}
    for one in accept_encoding.lower().split(b",", MAX_CODINGS)[:MAX_CODINGS]:
        coding, *parameters = (part.strip() for part in one.split(b";"))
        weights[coding] = _quality_of(parameters)
    others = weights.get(b"*", 0.0)
    packed = weights.get(b"gzip", others)
    # `*` alone can refuse the plain form, but never prefer it.
    plain = weights.get(b"identity", 0.0 if b"*" in weights and not others else None)
    if packed <= 0 or (plain is not None and plain > packed):
        return False
    return size >= MIN_GZIP_BYTES or plain == 0


def _quality_of(parameters: list[bytes]) -> float:
    """1 if none is given, 0 if it is invalid (RFC 9110, 12.4.2)."""
    for parameter in parameters:
        name, _, value = parameter.partition(b"=")
        if name.strip() == b"q":
            return float(value) if _QUALITY.fullmatch(value) else 0.0
    return 1.0


def _gzip(body: bytes) -> bytes:
    """Without a timestamp, so that equal bodies are compressed to equal bytes."""
    compressor = zlib.compressobj(LEVEL, wbits=31)
    return compressor.compress(body) + compressor.flush()


_packed_once = lru_cache(maxsize=1)(_gzip)
