"""A ring buffer of the newest messages, shared by all subscribers; each subscriber is a cursor.

Memory does not grow with slow subscribers: one that falls behind the oldest message is dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from interfaces.web.broadcast.message import Audience, LiveMessage

MAX_MESSAGES = 10_000
"""About 2 MB. A subscriber further behind is dropped; it reconnects, and resumes from its position."""
MAX_CHUNK = 200
"""Messages in one write, about 40 kB: what an unread connection may buffer."""
MAX_CACHED_CHUNKS = 64
"""Chunks that are cached for subscribers with the same cursor."""


class _Entry(NamedTuple):
    at: int
    """The position of the log after this message."""
    message: LiveMessage


class RingBuffer:
    """Messages are numbered; a cursor is the number of the last message that was sent."""

    def __init__(self, position: int, *, most: int = MAX_MESSAGES) -> None:
        self.position = position
        """The log is published up to this position."""
        self.last = 0
        self._entries: deque[_Entry] = deque()
        self._most = most
        self._covered_after = position
        """Entries of the log after this position are in the buffer."""
        self._chunks: dict[tuple[Audience, int], tuple[bytes, int]] = {}

    def publish(self, messages: Sequence[LiveMessage], position: int) -> None:
        """Append messages, which publish the log up to `position`."""
        for message in messages:
            if message.kind == "log" and message.position is not None:
                self.position = message.position
            self._entries.append(_Entry(self.position, message))
            self.last += 1
        self.position = max(self.position, position)
        while len(self._entries) > self._most:
            self._covered_after = self._entries.popleft().at
        self._chunks.clear()

    def restart(self, position: int, message: LiveMessage) -> None:
        """Clear the buffer, since the log is another one now."""
        self._entries.clear()
        self.position = self._covered_after = position
        self.publish([message], position)

    def has(self, cursor: int) -> bool:
        """True if all messages after `cursor` are in the buffer."""
        return cursor >= self.last - len(self._entries)

    def after(self, cursor: int, audience: Audience) -> tuple[bytes, int]:
        """The next chunk for that audience (perhaps empty), and the cursor after it.

        Subscribers with equal audience and cursor get the same bytes.
        """
        chunk = self._chunks.get((audience, cursor))
        if chunk is None:
            end = min(self.last, cursor + MAX_CHUNK)
            first = cursor - self.last + len(self._entries)
            following = (self._entries[first + step].message for step in range(end - cursor))
            chunk = b"".join(message.data for message in following if message.concerns(audience)), end
            if len(self._chunks) >= MAX_CACHED_CHUNKS:
                self._chunks.clear()
            self._chunks[audience, cursor] = chunk
        return chunk

    def cursor_at(self, position: int) -> int | None:
        """The cursor for a client that has the log up to `position`; None if that is no longer in the buffer."""
        if position < self._covered_after:
            return None
        low, high = 0, len(self._entries)
        while low < high:
            middle = (low + high) // 2
            if self._entries[middle].at > position:
                high = middle
            else:
                low = middle + 1
        return self.last - len(self._entries) + low
