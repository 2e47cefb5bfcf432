"""What stands in every answer: the trace id, where it was read, and that nothing is sniffed, framed or kept."""

from __future__ import annotations

from litestar.types import Message, Scope

from interfaces.web.middleware.raw_headers import RawHeaders
from interfaces.web.middleware.replica_routing import is_away
from interfaces.web.middleware.tracing import TRACE_HEADER, trace_id_of
from projections.queries.replica import ReplicatedReadModels

SOURCE = b"x-read-models"
"""Where what people read comes from now, and how far behind that is at most."""
TRACE = TRACE_HEADER.lower().encode()
NOT_KEPT = (b"cache-control", b"no-store")
UNTOUCHED = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


def source_header(replica: ReplicatedReadModels | None) -> RawHeaders:
    """None where there is only the primary."""
    if replica is None:
        return []
    source = replica.source()
    return [(SOURCE, f"{source.name}; lag_s={source.lag_s:.3f}".encode())]


async def complete_headers(message: Message, scope: Scope) -> None:
    """Before an answer of the framework is sent; what it says itself stays."""
    if message["type"] != "http.response.start":
        return
    headers = message["headers"] = list(message["headers"])
    given = {name.lower() for name, _ in headers}
    headers.append((TRACE, trace_id_of(scope).encode()))
    headers.extend(header for header in (*UNTOUCHED, NOT_KEPT) if header[0] not in given)
    edge = scope["app"].state["edge"]
    if scope["path"].startswith("/api/") and not is_away(scope, edge.live.state):
        headers.extend(source_header(edge.collaborators.replica))
