"""A cache of responses to accepted notifications, which never change once they are recorded.

A byte-for-byte repeat is answered without a thread and without a query to PostgreSQL. Each process has its own cache; a
response that is not cached is looked up in the event store.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import sha256

from application.bounded_cache import BoundedCache

MAX_ENTRIES = 4_096
UNSIGNED_S = 5.0
"""For how long a utility that did not sign its calls is assumed not to sign them; as long as a key is cached."""


class IdempotentResponseCache:
    """Used on the event loop only."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._responses = BoundedCache[bytes, tuple[bytes, str]](
            "notification responses", max_size=MAX_ENTRIES
        )
        self._unsigned = BoundedCache[str, None](
            "unsigned utilities", max_size=MAX_ENTRIES, ttl_s=UNSIGNED_S, monotonic=monotonic
        )

    def find(self, utility_id: str, key: str | None, body: bytes) -> tuple[bytes, str] | None:
        """The body and its `Location`; None if it is not cached, or the signature has to be checked first."""
        if utility_id not in self._unsigned:
            return None
        return self._responses.get(_name(utility_id, key, body))

    def store(self, utility_id: str, key: str | None, body: bytes, response: bytes, location: str) -> None:
        """Call it only for a response that is recorded under that key and body, of a utility that signs no calls."""
        self._unsigned.put(utility_id, None)
        self._responses.put(_name(utility_id, key, body), (response, location))


def _name(utility_id: str, key: str | None, body: bytes) -> bytes:
    """The lengths separate the parts, and distinguish an empty key from a missing one."""
    parts = f"{len(utility_id)}:{utility_id}:{-1 if key is None else len(key)}:{key}".encode()
    return sha256(parts + b"\n" + body).digest()
