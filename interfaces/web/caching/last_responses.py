"""What each caller was answered last, for the time when the store cannot answer: never across keys, and bounded."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

MOST_BYTES = 64_000_000
MOST_OF_ONE = 8_000_000
"""A larger answer is not remembered. 500 facilities have 500 kB, 500 DR events of 50 facilities each 6 MB."""
KEPT_S = 3_600.0
"""Wall seconds; what is older helps nobody who looks at a portfolio."""
OVERHEAD = 500


class Asked(NamedTuple):
    """Who asked what: two keys never share an answer."""

    key_id: str
    path: str
    query: bytes


class LastAnswer(NamedTuple):
    body: bytes
    media_type: bytes
    age_s: float
    """Wall seconds: how old its content was already when it was said."""
    said_at: float


class _Body:
    """One that was said to `said` callers, kept once for all of them."""

    __slots__ = ("content", "said")

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.said = 0


class StaleIfErrorCache:
    """Of one process. The least recently asked for is forgotten first.

    A thousand dashboards are given the same list: it is kept, and counted, once.
    """

    def __init__(
        self, *, most_bytes: int = MOST_BYTES, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._answers: OrderedDict[Asked, LastAnswer] = OrderedDict()
        self._bodies: dict[bytes, _Body] = {}
        self._most_bytes = most_bytes
        self._bytes = 0
        self._monotonic = monotonic

    def keep(self, asked: Asked, body: bytes, media_type: bytes, *, age_s: float = 0.0) -> None:
        """`age_s`: of what it says, in wall seconds."""
        self._forget(asked)
        if len(body) > MOST_OF_ONE:
            return
        self._answers[asked] = LastAnswer(self._shared(body), media_type, age_s, self._monotonic())
        self._bytes += _size(asked)
        while self._bytes > self._most_bytes:
            self._forget(next(iter(self._answers)))

    def find(self, asked: Asked) -> tuple[LastAnswer, float] | None:
        """The answer, and for how many wall seconds it has been said."""
        answer = self._answers.get(asked)
        if answer is None:
            return None
        age_s = self._monotonic() - answer.said_at
        if age_s > KEPT_S:
            self._forget(asked)
            return None
        self._answers.move_to_end(asked)
        return answer, age_s

    def _shared(self, body: bytes) -> bytes:
        """The one that is kept already, if there is an equal one."""
        kept = self._bodies.get(body)
        if kept is None:
            kept = self._bodies[body] = _Body(body)
            self._bytes += len(body)
        kept.said += 1
        return kept.content

    def _forget(self, asked: Asked) -> None:
        answer = self._answers.pop(asked, None)
        if answer is None:
            return
        self._bytes -= _size(asked)
        kept = self._bodies[answer.body]
        kept.said -= 1
        if not kept.said:
            del self._bodies[answer.body]
            self._bytes -= len(answer.body)


def _size(asked: Asked) -> int:
    """Of what is kept besides the body."""
    return len(asked.path) + len(asked.query) + OVERHEAD
