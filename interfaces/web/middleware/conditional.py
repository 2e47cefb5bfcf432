"""What a caller has already is not sent again, and what is long is sent compressed.

The tag of an answer is that of its content, whoever asked and as of when: another content, another tag. It is weak,
since the compressed and the plain form carry the same one.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from base64 import urlsafe_b64encode
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from interfaces.web.middleware.raw_headers import RawHeaders, header_of, list_header_of
from interfaces.web.route_policy import policy_in

LEAST_BYTES = 1_024
"""Shorter answers fit into a packet or two as they are."""
BESIDE_BYTES = 64 * 1_024
"""Longer ones are compressed in a thread: the event loop has others to answer."""
MOST_CODINGS = 32
"""That a caller may weigh; what stands behind them is not read."""
_QUALITY = re.compile(rb"0(\.\d{0,3})?|1(\.0{0,3})?")
LEVEL = 3
MOST_TAGS = 16
MOST_TAGGED_BYTES = 1_000_000
"""The tag of a longer answer is not remembered: that would keep the whole answer."""
VARY = b"Authorization, Cookie, Accept-Encoding"
KEPT = b"private, no-cache"
"""A caller may keep an answer, and asks each time whether it still holds."""
_CONTENT = (
    b"application/json",
    b"application/vnd.oai.openapi+json",
    b"text/html",
    b"text/css",
    b"text/javascript",
)


class ConditionalMiddleware(ASGIMiddleware):
    """Of whole answers to GET; what is streamed, and what is no 200, passes as it is."""

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        if scope.get("method") != "GET" or not policy_in(scope).has_etag:
            await next_app(scope, receive, send)
            return
        held: Message | None = None

        async def sending(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and _is_content(message):
                held = message
                return
            if held is not None and message["type"] == "http.response.body":
                start, held = held, None
                if not message.get("more_body", False):
                    await _send_whole(scope, start, message["body"], send)
                    return
                await send(start)
            await send(message)

        await next_app(scope, receive, sending)


def holds(if_none_match: bytes, tag: bytes) -> bool:
    """Whether the caller has that very answer (RFC 9110, weak comparison)."""
    if not if_none_match:
        return False
    known = [one.strip().removeprefix(b"W/") for one in if_none_match.split(b",")]
    return b"*" in known or tag.removeprefix(b"W/") in known


def _is_content(message: Message) -> bool:
    if message["type"] != "http.response.start" or message["status"] != 200:
        return False
    headers = list(message["headers"])
    return header_of(headers, b"content-type").startswith(_CONTENT) and not header_of(
        headers, b"content-encoding"
    )


async def _send_whole(scope: Scope, start: Any, body: bytes, send: Send) -> None:
    headers: RawHeaders = [(name.lower(), value) for name, value in start["headers"]]
    tag = header_of(headers, b"etag")
    if not tag:
        tag = _known_tag_of(body) if len(body) <= MOST_TAGGED_BYTES else _tag_of(body)
        headers.append((b"etag", tag))
    headers.append((b"vary", VARY))
    if not header_of(headers, b"cache-control"):
        headers.append((b"cache-control", KEPT))
    if holds(list_header_of(scope["headers"], b"if-none-match"), tag):
        kept = [(name, value) for name, value in headers if not name.startswith(b"content-")]
        await send({"type": "http.response.start", "status": 304, "headers": kept})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return
    if wants_gzip(list_header_of(scope["headers"], b"accept-encoding"), len(body)):
        body = await _compressed(body)
        headers = [(name, value) for name, value in headers if name != b"content-length"]
        headers += [(b"content-encoding", b"gzip"), (b"content-length", str(len(body)).encode())]
    start["headers"] = headers
    await send(start)
    await send({"type": "http.response.body", "body": body, "more_body": False})


@lru_cache(maxsize=MOST_TAGS)
def _known_tag_of(body: bytes) -> bytes:
    """By the object, whose hash Python keeps: an answer that many are given has one."""
    return _tag_of(body)


def _tag_of(body: bytes) -> bytes:
    return b'W/"' + urlsafe_b64encode(blake2b(body, digest_size=15).digest()) + b'"'


def wants_gzip(accept_encoding: bytes, size: int) -> bool:
    """Whether an answer of so many bytes goes out in gzip (RFC 9110, 12.5.3).

    Where it is taken and the plain form not preferred; a short one only where the plain form is refused.
    """
    said: dict[bytes, float] = {}
    for one in accept_encoding.lower().split(b",", MOST_CODINGS)[:MOST_CODINGS]:
        coding, *parameters = (part.strip() for part in one.split(b";"))
        said[coding] = _quality_of(parameters)
    others = said.get(b"*", 0.0)
    packed = said.get(b"gzip", others)
    # By `*` alone the plain form is refused, and never preferred.
    plain = said.get(b"identity", 0.0 if b"*" in said and not others else None)
    if packed <= 0 or (plain is not None and plain > packed):
        return False
    return size >= LEAST_BYTES or plain == 0


def _quality_of(parameters: list[bytes]) -> float:
    """1 where none is given, 0 where it cannot be read (RFC 9110, 12.4.2)."""
    for parameter in parameters:
        name, _, value = parameter.partition(b"=")
        if name.strip() == b"q":
            return float(value) if _QUALITY.fullmatch(value) else 0.0
    return 1.0


async def _compressed(body: bytes) -> bytes:
    return _gzip(body) if len(body) < BESIDE_BYTES else await asyncio.to_thread(_gzip, body)


def _gzip(body: bytes) -> bytes:
    """Without a time in it, so that the same is compressed to the same."""
    compressor = zlib.compressobj(LEVEL, wbits=31)
    return compressor.compress(body) + compressor.flush()
