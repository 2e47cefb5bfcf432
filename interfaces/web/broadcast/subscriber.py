"""One who watches: from the place that it knows the log up to, and then along with everybody."""

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

MOST_RESUMED = 10_000
"""Positions of the log. Whoever was away for longer reads everything anew."""
CHECK_EVERY_S = 30.0
"""Whether it may still watch."""


class Subscriber:
    """Gives the pieces of one stream; what is sent must be taken before the next piece is asked for."""

    def __init__(
        self,
        feed: LiveFeed,
        audience: Audience,
        *,
        caller: str = "",
        after: int | None,
        may_stay: Callable[[], Awaitable[bool]],
    ) -> None:
        """`after`: the position it knows the log up to; None: from now on."""
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
        """Nobody reads from it any more."""
        self.is_gone = True
        self.wake()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Until it leaves or is sent away."""
        yield RETRY + state_message(self._feed.told_state()).data
        try:
            async for piece in self._from_where_it_was():
                yield piece
        except LiveLogUnavailable:
            yield AWAY
            return
        # Only once it has a place among the messages: what changes from there on comes along with them.
        aside = self._feed.aside
        not_in_the_log = aside.telemetry + (aside.alerts if self._audience.sees_alerts else b"")
        if not_in_the_log:
            yield not_in_the_log
        while not self.is_gone:  # along with everybody
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
        """All of the log that it does not know yet; its cursor stands where that ends.

        Raises LiveLogUnavailable.
        """
        while self._feed.ring is None:
            if self.is_gone or self._feed.has_ended:
                return
            await self._until_woken()
        ring = self._feed.ring
        if self._after is None:
            self.cursor = ring.last
            yield place(ring.position)
        elif ring.position - self._after > MOST_RESUMED:
            yield self._anew(ring, "too_old")
        else:
            async for piece in self._resumed(self._after):
                yield piece

    async def _resumed(self, position: int) -> AsyncIterator[bytes]:
        """Every entry after `position` once: out of the log, until the newest messages reach back to there."""
        while not self.is_gone and not self._feed.has_ended and (ring := self._feed.ring) is not None:
            cursor = ring.cursor_at(position)
            if position > ring.position:  # another process has told it more than this one knows yet
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
        """It goes on from now."""
        self.cursor = ring.last
        return reset_message(ring.position, reason).data

    def _encoded(self, entries: list[LiveEntry]) -> bytes:
        messages = map(log_message, entries)
        return b"".join(message.data for message in messages if message.concerns(self._audience))

    async def _stays(self) -> bool:
        """Not all at the same moment: each looks the key up."""
        self._check_at = time.monotonic() + CHECK_EVERY_S * random.uniform(0.5, 1.0)
        return await self._may_stay()

    async def _until_woken(self) -> None:
        await self._woken.wait()
        self._woken.clear()
