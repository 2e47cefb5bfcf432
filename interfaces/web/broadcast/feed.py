"""The live feed of a web process: one reader of the log for all subscribers.

It waits until a projection announces its position (LISTEN), for a limited time, since an announcement may be lost. It
publishes the log up to the position that every read model has applied, so that a client finds the change in the rows.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

import structlog

from application.ports.clock import Clock
from application.ports.live_feed import LiveEntry, LiveLog, LiveLogUnavailable, LiveUpdate
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.unavailable import OperationsUnavailable
from interfaces.web.broadcast.freshness import ClockReading, LiveState
from interfaces.web.broadcast.message import (
    LiveMessage,
    StateData,
    heartbeat,
    log_message,
    reset_message,
    state_message,
)
from interfaces.web.broadcast.ring_buffer import RingBuffer
from interfaces.web.broadcast.unlogged_state import UnloggedState

_log = structlog.get_logger("live")

POLL_EVERY_S = 1.0
CALL_TIMEOUT_S = 3.0
"""A database that hangs neither answers nor closes the connection."""
COALESCE_WINDOW_S = 0.005
"""Several projections announce the same save at about the same time: one read serves all."""
BATCH = 500
CATCH_UP_S = 1.0
"""After a full batch, subscribers have this long to receive it before the next one is read."""
HEARTBEAT_S = 15.0
STATE_EVERY_S = 5.0
ALERTS_EVERY_S = 2.0
TELEMETRY_EVERY_S = 5.0
MAX_ALERTS = 1_000
CONCURRENT_READS = 2
"""Reads of past entries, so that the feed itself always finds a connection."""
RESTART_AFTER_S = 1.0
TResult = TypeVar("TResult")


class Signal(Protocol):
    async def wait(self, heartbeat_s: float) -> None:
        """Wait until there may be new entries, at most `heartbeat_s`."""
        ...

    async def aclose(self) -> None: ...


class Watcher(Protocol):
    """A subscriber, as the feed sees it."""

    cursor: int
    caller: str
    """The id of its API key."""

    def wake(self) -> None:
        """Called when there are new messages, or the feed ends."""
        ...


class LiveFeed:
    """For one event loop."""

    def __init__(
        self,
        log: LiveLog,
        signal: Signal,
        alerts: AlertRegistry,
        clock: Clock,
        *,
        max_watchers: int,
        max_per_key: int | None = None,
        heartbeat_s: float = HEARTBEAT_S,
        while_away: Callable[[], None] = lambda: None,
    ) -> None:
        """`max_per_key`: subscribers of one key; None: no separate limit.

        `while_away` is called in a thread after each failed read of the log.
        """
        self.state = LiveState(clock)
        self.ring: RingBuffer | None = None
        """None until the log was read for the first time."""
        self.has_ended = False
        self.watchers: set[Watcher] = set()
        self.unlogged = UnloggedState()
        self._log = log
        self._signal = signal
        self._alerts = alerts
        self._most_watchers = max_watchers
        self.max_per_key = max_watchers if max_per_key is None else max_per_key
        self._heartbeat_s = heartbeat_s
        self._while_away = while_away
        self._reading = asyncio.Semaphore(CONCURRENT_READS)
        self._due: dict[str, float] = {}
        self._published_state: StateData | None = None
        self._pending: tuple[asyncio.Task[LiveUpdate], ClockReading] | None = None

    @property
    def is_full(self) -> bool:
        return len(self.watchers) >= self._most_watchers

    def is_at_limit(self, caller: str) -> bool:
        """True if that key has as many subscribers as one key may have, so that others find room too."""
        return sum(watcher.caller == caller for watcher in self.watchers) >= self.max_per_key

    async def run(self) -> None:
        """Runs until it is cancelled. Errors are logged, and the feed continues from its position."""
        try:
            while True:
                try:
                    await self._follow()
                except Exception:  # noqa: BLE001 - a defect is logged, and the feed continues
                    _log.exception("the live feed failed and restarts")
                    await asyncio.sleep(RESTART_AFTER_S)
        finally:
            if self._pending is not None:
                self._pending[0].cancel()
            await self._signal.aclose()
            await asyncio.to_thread(self._log.close)

    def end(self) -> None:
        """End all streams."""
        self.has_ended = True
        self._wake()

    def current_state(self) -> StateData:
        """The state message for a new subscriber."""
        return self.state.data(self.ring.position if self.ring is not None else None)

    async def entries(self, after: int, until: int) -> list[LiveEntry]:
        """A batch of past entries; few reads at once. Raises LiveLogUnavailable."""
        async with self._reading:
            return await asyncio.to_thread(self._log.entries, after, until, limit=BATCH)

    async def head(self) -> int:
        """The current end of the log. Raises LiveLogUnavailable."""
        async with self._reading:
            return (await asyncio.to_thread(self._log.read_update, None, limit=0)).head

    async def _follow(self) -> None:
        while True:
            try:
                await self._follow_or_check()
            except LiveLogUnavailable as error:
                _log.debug("the live feed waits for the log", error=str(error))
                self.state.away()
                with contextlib.suppress(LiveLogUnavailable):
                    await _call_with_timeout(self._while_away)
            else:
                await self._poll_unlogged()
            self._publish_state()
            await self._signal.wait(POLL_EVERY_S)
            await asyncio.sleep(COALESCE_WINDOW_S)

    async def _follow_or_check(self) -> None:
        """Raises LiveLogUnavailable, after which the edge refuses requests, only if a new connection fails too.

        An old connection may have died alone, or hang; the log closes it after a while. If the log cannot be read until
        then, subscribers get the state `database`, but requests are not refused.
        """
        try:
            await self._publish_new()
        except LiveLogUnavailable:
            await _call_with_timeout(self._log.check)
            try:
                await self._publish_new()  # other old connections may have died too
            except LiveLogUnavailable as error:
                _log.debug("the database accepts connections, but the log cannot be read", error=str(error))

    async def _publish_new(self) -> None:
        """Publish new entries of the log."""
        while True:
            after = None if self.ring is None else self.ring.position
            read_update, requested_at = await self._read_log(after)
            self.state.update(read_update, requested_at)
            if self.ring is None:
                self.ring = RingBuffer(read_update.served_until)
                self._wake()
                return
            if read_update.head < self.ring.position:
                _log.warning("the log is shorter than before: subscribers start again", head=read_update.head)
                self.ring.restart(read_update.served_until, reset_message(read_update.served_until, "ahead"))
                self._wake()
                return
            self._publish([log_message(entry) for entry in read_update.entries], _read_until(read_update))
            if len(read_update.entries) < BATCH:
                return
            await self._wait_for_subscribers()

    async def _read_log(self, after: int | None) -> tuple[LiveUpdate, ClockReading]:
        """New entries, and when they were requested. A slow read is not discarded: the next call waits for it."""
        if self._pending is None:
            begun = asyncio.create_task(asyncio.to_thread(self._log.read_update, after, limit=BATCH))
            self._pending = begun, self.state.now()
        reading, requested_at = self._pending
        done, _ = await asyncio.wait({reading}, timeout=CALL_TIMEOUT_S)
        if not done:
            raise LiveLogUnavailable(f"no answer in {CALL_TIMEOUT_S:g} s")
        self._pending = None
        return reading.result(), requested_at

    async def _poll_unlogged(self) -> None:
        """Publish what is not in the log, while there are subscribers: alerts, and the arrival of readings."""
        if not self.watchers:
            return
        try:
            if self._is_due("alerts", ALERTS_EVERY_S):
                listed = await _call_with_timeout(partial(self._alerts.listed, limit=MAX_ALERTS))
                self._publish_unlogged(self.unlogged.of_alerts(listed))
            if self._is_due("telemetry", TELEMETRY_EVERY_S):
                stored_at = await _call_with_timeout(self._log.readings_stored_at)
                self._publish_unlogged(self.unlogged.of_readings(stored_at))
        except (LiveLogUnavailable, OperationsUnavailable) as error:
            _log.debug("the live feed will read alerts and readings again", error=str(error))

    def _publish_unlogged(self, message: LiveMessage | None) -> None:
        if message is not None:
            self._publish([message])

    def _publish_state(self) -> None:
        """Publish the state when it changes, and repeatedly while it is stale; also publish heartbeats."""
        data, before = self.current_state(), self._published_state
        changed = before is None or (before.stale, before.reason) != (data.stale, data.reason)
        if changed and data.reason == "database":
            _log.warning("the log cannot be read: the live feed is stale", is_away=self.state.is_away)
        if (changed and before is not None) or (data.stale and self._is_due("state", STATE_EVERY_S)):
            self._publish([state_message(data)])
        self._published_state = data
        if self.ring is not None and self._is_due("heartbeat", self._heartbeat_s):
            self._publish([heartbeat(self.ring.position)])

    def _is_due(self, what: str, every_s: float) -> bool:
        now = time.monotonic()
        if now < self._due.get(what, 0.0):
            return False
        self._due[what] = now + every_s
        return True

    def _publish(self, messages: list[LiveMessage], position: int = 0) -> None:
        if self.ring is not None:
            self.ring.publish(messages, position)
            if messages:
                self._wake()

    def _wake(self) -> None:
        for watcher in self.watchers:
            watcher.wake()

    async def _wait_for_subscribers(self) -> None:
        """Wait for subscribers to catch up, so that a burst of the log does not drop them."""
        deadline = time.monotonic() + CATCH_UP_S
        while self.ring is not None and time.monotonic() < deadline:
            if all(watcher.cursor >= self.ring.last for watcher in self.watchers):
                return
            await asyncio.sleep(COALESCE_WINDOW_S)


async def _call_with_timeout(call: Callable[[], TResult]) -> TResult:
    """Run `call` in a thread. Raises what it raises, and LiveLogUnavailable after the timeout."""
    try:
        async with asyncio.timeout(CALL_TIMEOUT_S):
            return await asyncio.to_thread(call)
    except TimeoutError as error:
        raise LiveLogUnavailable(f"no answer in {CALL_TIMEOUT_S:g} s") from error


def _read_until(read_update: LiveUpdate) -> int:
    """The position up to which the entries are complete: a full batch ends at its last entry."""
    return read_update.entries[-1].position if len(read_update.entries) >= BATCH else read_update.served_until
