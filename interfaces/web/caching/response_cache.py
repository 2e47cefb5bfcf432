"""Answers that are on record, kept at hand: a notification once accepted is answered the same for ever.

So a repeat, byte for byte, costs neither a thread nor a look into PostgreSQL. Every process remembers for itself and
forgets when it likes: what is not at hand is looked up in the record.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256

MOST_REMEMBERED = 4_096
UNSIGNED_S = 5.0
"""How long a utility that did not sign its calls is taken not to sign them; as long as a key is remembered."""


class IdempotentResponseCache:
    """Of accepted notifications. Used on the event loop alone."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._answers: OrderedDict[bytes, tuple[bytes, str]] = OrderedDict()
        self._unsigned_until: dict[str, float] = {}

    def find(self, utility_id: str, key: str | None, body: bytes) -> tuple[bytes, str] | None:
        """The answer and its `Location`; None where it is not at hand, or the signature is to be checked first."""
        if self._monotonic() >= self._unsigned_until.get(utility_id, 0.0):
            return None
        return self._answers.get(_name(utility_id, key, body))

    def keep(self, utility_id: str, key: str | None, body: bytes, answer: bytes, location: str) -> None:
        """Only what is on record under that key and body."""
        self._answers[_name(utility_id, key, body)] = answer, location
        if len(self._answers) > MOST_REMEMBERED:
            self._answers.popitem(last=False)

    def note_unsigned(self, utility_id: str) -> None:
        """That utility was just found to sign no calls."""
        if len(self._unsigned_until) >= MOST_REMEMBERED:
            self._unsigned_until.clear()
        self._unsigned_until[utility_id] = self._monotonic() + UNSIGNED_S


def _name(utility_id: str, key: str | None, body: bytes) -> bytes:
    """The lengths keep the parts apart, and a key from no key."""
    parts = f"{len(utility_id)}:{utility_id}:{-1 if key is None else len(key)}:{key}".encode()
    return sha256(parts + b"\n" + body).digest()
