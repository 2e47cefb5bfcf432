"""A cache of responses to accepted notifications, which never change once they are recorded.

A byte-for-byte repeat is answered without a thread and without a query to PostgreSQL. Each process has its own cache; a
response that is not cached is looked up in the event store.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256

MAX_ENTRIES = 4_096
UNSIGNED_S = 5.0
"""For how long a utility that did not sign its calls is assumed not to sign them; as long as a key is cached."""


class IdempotentResponseCache:
    """Used on the event loop only."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._responses: OrderedDict[bytes, tuple[bytes, str]] = OrderedDict()
        self._unsigned_until: dict[str, float] = {}

    def find(self, utility_id: str, key: str | None, body: bytes) -> tuple[bytes, str] | None:
        """The body and its `Location`; None if it is not cached, or the signature has to be checked first."""
        if self._monotonic() >= self._unsigned_until.get(utility_id, 0.0):
            return None
        return self._responses.get(_name(utility_id, key, body))

    def store(self, utility_id: str, key: str | None, body: bytes, response: bytes, location: str) -> None:
        """Call it only for a response that is recorded under that key and body."""
        self._responses[_name(utility_id, key, body)] = response, location
        if len(self._responses) > MAX_ENTRIES:
            self._responses.popitem(last=False)

    def note_unsigned(self, utility_id: str) -> None:
        """Record that the utility signs no calls."""
        if len(self._unsigned_until) >= MAX_ENTRIES:
            self._unsigned_until.clear()
        self._unsigned_until[utility_id] = self._monotonic() + UNSIGNED_S


def _name(utility_id: str, key: str | None, body: bytes) -> bytes:
    """The lengths separate the parts, and distinguish an empty key from a missing one."""
    parts = f"{len(utility_id)}:{utility_id}:{-1 if key is None else len(key)}:{key}".encode()
    return sha256(parts + b"\n" + body).digest()
