"""The newest messages, kept once for everybody: who watches is a place in them, not a queue of its own.

So memory does not grow with those who are slow: whoever falls behind what is kept has to go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from interfaces.web.broadcast.message import Audience, LiveMessage

MOST_KEPT = 10_000
"""Some 2 MB. Whoever is further behind is sent away; it comes back, and goes on from where it was."""
MOST_AT_ONCE = 200
"""Messages in one write, some 40 kB: what a connection may hold that nobody reads from."""
MOST_JOINED = 64
"""Pieces kept for others who are at the same place."""


class _Kept(NamedTuple):
    at: int
    """How far the log had been told, this message included."""
    message: LiveMessage


class RingBuffer:
    """Messages are numbered as they come; a cursor is the number of the last one that somebody was sent."""

    def __init__(self, position: int, *, most: int = MOST_KEPT) -> None:
        self.position = position
        """The log has been told up to there."""
        self.last = 0
        self._kept: deque[_Kept] = deque()
        self._most = most
        self._covered_after = position
        """What lies after it in the log is kept here."""
        self._joined: dict[tuple[Audience, int], tuple[bytes, int]] = {}

    def publish(self, messages: Sequence[LiveMessage], position: int) -> None:
        """Append them, the log being told up to `position` with them."""
        for message in messages:
            if message.kind == "log" and message.position is not None:
                self.position = message.position
            self._kept.append(_Kept(self.position, message))
            self.last += 1
        self.position = max(self.position, position)
        while len(self._kept) > self._most:
            self._covered_after = self._kept.popleft().at
        self._joined.clear()

    def restart(self, position: int, message: LiveMessage) -> None:
        """The log is another one now: what was kept of the old one is let go of."""
        self._kept.clear()
        self.position = self._covered_after = position
        self.publish([message], position)

    def has(self, cursor: int) -> bool:
        """Whether everything after `cursor` is still kept."""
        return cursor >= self.last - len(self._kept)

    def after(self, cursor: int, audience: Audience) -> tuple[bytes, int]:
        """What comes next for that audience (perhaps nothing of it), and the cursor after it.

        The same bytes for everybody who is at the same place.
        """
        found = self._joined.get((audience, cursor))
        if found is None:
            end = min(self.last, cursor + MOST_AT_ONCE)
            first = cursor - self.last + len(self._kept)
            following = (self._kept[first + step].message for step in range(end - cursor))
            found = b"".join(message.data for message in following if message.concerns(audience)), end
            if len(self._joined) >= MOST_JOINED:
                self._joined.clear()
            self._joined[audience, cursor] = found
        return found

    def cursor_at(self, position: int) -> int | None:
        """Where to go on for one who knows the log up to `position`; None where that is no longer kept."""
        if position < self._covered_after:
            return None
        low, high = 0, len(self._kept)
        while low < high:
            middle = (low + high) // 2
            if self._kept[middle].at > position:
                high = middle
            else:
                low = middle + 1
        return self.last - len(self._kept) + low
