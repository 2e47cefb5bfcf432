"""Headers of every response: trace id, source of the read models, and protection against sniffing, framing, caching."""

from __future__ import annotations

from litestar.types import Message, Scope

from interfaces.web.middleware.raw_headers import RawHeaders
from interfaces.web.middleware.replica_routing import is_away
from interfaces.web.middleware.tracing import TRACE_HEADER, trace_id_of
from projections.queries.replica import ReplicatedReadModels

SOURCE = b"x-read-models"
"""The source of the read models, and its maximum lag."""
TRACE = TRACE_HEADER.lower().encode()
NO_STORE = (b"cache-control", b"no-store")
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
HSTS = (b"strict-transport-security", b"max-age=31536000")
"""For a browser that came over https: a year in which it does not come over http."""


def source_header(replica: ReplicatedReadModels | None) -> RawHeaders:
    """Empty if there is only the primary."""
    if replica is None:
        return []
    source = replica.source()
    return [(SOURCE, f"{source.name}; lag_s={source.lag_s:.3f}".encode())]


async def complete_headers(message: Message, scope: Scope) -> None:
    """Called before a response of the framework is sent; does not replace headers that it has."""
    if message["type"] != "http.response.start":
        return
    headers = message["headers"] = list(message["headers"])
    given = {name.lower() for name, _ in headers}
    headers.append((TRACE, trace_id_of(scope).encode()))
    headers.extend(header for header in (*SECURITY_HEADERS, NO_STORE) if header[0] not in given)
    if scope.get("scheme") == "https":
        headers.append(HSTS)
    web = scope["app"].state["web"]
    if scope["path"].startswith("/api/") and not is_away(scope, web.live.state):
        headers.extend(source_header(web.replica))
