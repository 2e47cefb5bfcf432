"""A subscriber of the live feed: it catches up from its position, then follows the ring buffer."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from application.ports.live_feed import LiveEntry, LiveLogUnavailable
from interfaces.web.broadcast.feed import BATCH, LiveFeed
from interfaces.web.broadcast.message import (
    AWAY,
    ENDING,
    RETRY,
    SIGNED_OUT,
    TOO_SLOW,
    Audience,
    ResetReason,
    log_message,
    place,
    reset_message,
    state_message,
)
from interfaces.web.broadcast.ring_buffer import RingBuffer

MAX_RESUMED = 10_000
"""Positions of the log. A client further behind gets `reset`, and reads everything again."""
CHECK_EVERY_S = 30.0
"""Interval of the check whether its key or session is still valid."""


class Subscriber:
    """Produces the chunks of one stream; each must be sent before the next is requested."""

    def __init__(
        self,
        feed: LiveFeed,
        audience: Audience,
        *,
        caller: str = "",
        after: int | None,
        may_stay: Callable[[], Awaitable[bool]],
    ) -> None:
        """`after`: the position that the client has; None: it starts now."""
        self.cursor = 0
        self.caller = caller
        self.is_gone = False
        self.was_too_slow = False
        self._feed = feed
        self._audience = audience
        self._after = after
        self._may_stay = may_stay
        self._woken = asyncio.Event()
        self._check_at = time.monotonic() + CHECK_EVERY_S

    def wake(self) -> None:
        self._woken.set()

    def leave(self) -> None:
        """The client has disconnected."""
        self.is_gone = True
        self.wake()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Ends when the client leaves or is dropped."""
        yield RETRY + state_message(self._feed.current_state()).data
        try:
            async for piece in self._from_where_it_was():
                yield piece
        except LiveLogUnavailable:
            yield AWAY
            return
        # Sent only once it has a cursor: later changes arrive as messages.
        unlogged = self._feed.unlogged
        not_in_the_log = unlogged.telemetry + (unlogged.alerts if self._audience.sees_alerts else b"")
        if not_in_the_log:
            yield not_in_the_log
        while not self.is_gone:  # follow the ring buffer
            ring = self._feed.ring
            if self._feed.has_ended or ring is None:
                yield ENDING
                return
            if time.monotonic() >= self._check_at and not await self._stays():
                yield SIGNED_OUT
                return
            if not ring.has(self.cursor):
                self.was_too_slow = True
                yield TOO_SLOW
                return
            if self.cursor < ring.last:
                piece, self.cursor = ring.after(self.cursor, self._audience)
                if piece:
                    yield piece
            else:
                await self._until_woken()

    async def _from_where_it_was(self) -> AsyncIterator[bytes]:
        """The part of the log that the client lacks; sets the cursor to its end. Raises LiveLogUnavailable."""
        while self._feed.ring is None:
            if self.is_gone or self._feed.has_ended:
                return
            await self._until_woken()
        ring = self._feed.ring
        if self._after is None:
            self.cursor = ring.last
            yield place(ring.position)
        elif ring.position - self._after > MAX_RESUMED:
            yield self._anew(ring, "too_old")
        else:
            async for piece in self._resumed(self._after):
                yield piece

    async def _resumed(self, position: int) -> AsyncIterator[bytes]:
        """Every entry after `position` once: from the log, until the ring buffer reaches back to that position."""
        while not self.is_gone and not self._feed.has_ended and (ring := self._feed.ring) is not None:
            cursor = ring.cursor_at(position)
            if position > ring.position:  # another process has published more than this one
                if position > await self._feed.head():
                    yield self._anew(ring, "ahead")
                    return
                await self._until_woken()
            elif cursor is not None:
                self.cursor = cursor
                return
            else:
                until = ring.position
                entries = await self._feed.entries(position, until)
                position = entries[-1].position if len(entries) == BATCH else until
                piece = self._encoded(entries)
                if piece:
                    yield piece

    def _anew(self, ring: RingBuffer, reason: ResetReason) -> bytes:
        """A `reset` message; the client continues from now."""
        self.cursor = ring.last
        return reset_message(ring.position, reason).data

    def _encoded(self, entries: list[LiveEntry]) -> bytes:
        messages = map(log_message, entries)
        return b"".join(message.data for message in messages if message.concerns(self._audience))

    async def _stays(self) -> bool:
        """Check the key. The interval is random, since each check looks the key up."""
        self._check_at = time.monotonic() + CHECK_EVERY_S * random.uniform(0.5, 1.0)
        return await self._may_stay()

    async def _until_woken(self) -> None:
        await self._woken.wait()
        self._woken.clear()
