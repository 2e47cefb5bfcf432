"""A cache of the last response to each request, used while the store does not answer (stale-if-error).

Entries belong to one API key. The cache is bounded in bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from application.bounded_cache import BoundedCache
from interfaces.web.caching.body_tag import tag_of

MAX_BYTES = 64_000_000
"""Half of it for bodies, each once, and half for the entries and documents."""
MAX_BODY_BYTES = 8_000_000
"""Larger responses are not cached. 500 facilities take 500 kB, 500 DR events of 50 facilities each 6 MB."""
MAX_AGE_S = 3_600.0
"""Wall seconds; older data is of no use to a viewer of the portfolio."""
ENTRY_OVERHEAD_BYTES = 500
DOCUMENT_FACTOR = 4
"""The memory of a document, in sizes of its encoded form."""


class AgingDocument(Protocol):
    """A document that states ages of its own."""

    def aged(self, since_s: float) -> AgingDocument:
        """It as of `since_s` clock seconds later, with what it was as the last that is known."""
        ...


class RequestKey(NamedTuple):
    """Caller and request: two API keys never share a response."""

    key_id: str
    path: str
    query: bytes


class LastResponse(NamedTuple):
    content: bytes | AgingDocument
    media_type: bytes
    age_s: float
    """Wall seconds: the age of its content when it was sent."""


class _StoredResponse(NamedTuple):
    content: bytes | AgingDocument
    """The tag of a body, which is stored by itself, or a document."""
    media_type: bytes
    age_s: float
    sent_at: float
    size: int


class StaleIfErrorCache:
    """In one process. Equal bodies are stored and counted once."""

    def __init__(
        self, *, max_bytes: int = MAX_BYTES, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._monotonic = monotonic
        self._entries = BoundedCache[RequestKey, _StoredResponse](
            "last responses",
            max_size=max_bytes // 2,
            size_of=lambda entry: entry.size,
            ttl_s=MAX_AGE_S,
            monotonic=monotonic,
        )
        self._bodies = BoundedCache[bytes, bytes](
            "bodies of last responses", max_size=max_bytes // 2, size_of=len
        )

    def store(
        self,
        key: RequestKey,
        body: bytes,
        media_type: bytes,
        *,
        age_s: float = 0.0,
        document: AgingDocument | None = None,
    ) -> bytes | None:
        """`age_s`: the age of the content, in wall seconds. `document`: what `body` was encoded from. Returns the tag
        of the body, if it was made."""
        if len(body) > MAX_BODY_BYTES:
            self._entries.pop(key)
            return None
        size = len(key.path) + len(key.query) + ENTRY_OVERHEAD_BYTES
        tag: bytes | None = None
        content: bytes | AgingDocument
        if document is None:
            tag = content = tag_of(body)
            if self._bodies.get(tag) is None:
                self._bodies.put(tag, body)
        else:
            content, size = document, size + DOCUMENT_FACTOR * len(body)
        self._entries.put(key, _StoredResponse(content, media_type, age_s, self._monotonic(), size))
        return tag

    def find(self, key: RequestKey) -> tuple[LastResponse, float] | None:
        """The response, and the wall seconds since it was sent."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        content = self._bodies.get(entry.content) if isinstance(entry.content, bytes) else entry.content
        if content is None:
            return None
        return LastResponse(content, entry.media_type, entry.age_s), self._monotonic() - entry.sent_at
