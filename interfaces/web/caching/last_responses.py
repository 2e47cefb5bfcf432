"""A cache of the last response to each request, used while the store does not answer (stale-if-error).

Entries belong to one API key. The cache is bounded in bytes.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

MAX_BYTES = 64_000_000
MAX_BODY_BYTES = 8_000_000
"""Larger responses are not cached. 500 facilities take 500 kB, 500 DR events of 50 facilities each 6 MB."""
MAX_AGE_S = 3_600.0
"""Wall seconds; older data is of no use to a viewer of the portfolio."""
ENTRY_OVERHEAD_BYTES = 500


class RequestKey(NamedTuple):
    """Caller and request: two API keys never share a response."""

    key_id: str
    path: str
    query: bytes


class LastResponse(NamedTuple):
    body: bytes
    media_type: bytes
    age_s: float
    """Wall seconds: the age of its content when it was sent."""
    sent_at: float


class _SharedBody:
    """A body that `references` entries use; it is stored once."""

    __slots__ = ("content", "references")

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.references = 0


class StaleIfErrorCache:
    """In one process; evicts the least recently used entry. Equal bodies are stored and counted once."""

    def __init__(
        self, *, max_bytes: int = MAX_BYTES, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._responses: OrderedDict[RequestKey, LastResponse] = OrderedDict()
        self._bodies: dict[bytes, _SharedBody] = {}
        self._max_bytes = max_bytes
        self._bytes = 0
        self._monotonic = monotonic

    def store(self, key: RequestKey, body: bytes, media_type: bytes, *, age_s: float = 0.0) -> None:
        """`age_s`: the age of the content, in wall seconds."""
        self._remove(key)
        if len(body) > MAX_BODY_BYTES:
            return
        self._responses[key] = LastResponse(self._share(body), media_type, age_s, self._monotonic())
        self._bytes += _entry_bytes(key)
        while self._bytes > self._max_bytes:
            self._remove(next(iter(self._responses)))

    def find(self, key: RequestKey) -> tuple[LastResponse, float] | None:
        """The response, and the wall seconds since it was sent."""
        response = self._responses.get(key)
        if response is None:
            return None
        age_s = self._monotonic() - response.sent_at
        if age_s > MAX_AGE_S:
            self._remove(key)
            return None
        self._responses.move_to_end(key)
        return response, age_s

    def _share(self, body: bytes) -> bytes:
        """The stored body that equals `body`, or `body` itself."""
        shared = self._bodies.get(body)
        if shared is None:
            shared = self._bodies[body] = _SharedBody(body)
            self._bytes += len(body)
        shared.references += 1
        return shared.content

    def _remove(self, key: RequestKey) -> None:
        response = self._responses.pop(key, None)
        if response is None:
            return
        self._bytes -= _entry_bytes(key)
        shared = self._bodies[response.body]
        shared.references -= 1
        if not shared.references:
            del self._bodies[response.body]
            self._bytes -= len(response.body)


def _entry_bytes(key: RequestKey) -> int:
    """Without the body."""
    return len(key.path) + len(key.query) + ENTRY_OVERHEAD_BYTES
