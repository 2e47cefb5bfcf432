"""The live feed of a web process: one reader of the log for everybody who watches.

It sleeps until a projection announces how far it has come (LISTEN), or for a heartbeat, since an announcement may be
lost. What every read model knows by then is told: who reads the rows anew finds it there.
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
from interfaces.web.broadcast.freshness import LiveState, Moment
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

LOOK_EVERY_S = 1.0
ANSWER_WITHIN_S = 3.0
"""A database that hangs closes no connection and answers nothing."""
TOGETHER_S = 0.005
"""Several projections announce the same save within moments: one look for all of them."""
BATCH = 500
PACE_S = 1.0
"""After a full batch those who watch get so long to take it before the next one."""
HEARTBEAT_S = 15.0
STATE_EVERY_S = 5.0
ALERTS_EVERY_S = 2.0
TELEMETRY_EVERY_S = 5.0
MOST_ALERTS = 1_000
READS_AT_ONCE = 2
"""Of the past, so that the feed itself always finds a connection."""
BEGIN_AGAIN_S = 1.0
TAnswer = TypeVar("TAnswer")


class Signal(Protocol):
    async def wait(self, heartbeat_s: float) -> None:
        """Until there may be news, `heartbeat_s` at most."""
        ...

    async def aclose(self) -> None: ...


class Watcher(Protocol):
    """Somebody who watches."""

    cursor: int
    caller: str
    """The id of its key."""

    def wake(self) -> None:
        """There is something new, or the feed ends."""
        ...


class LiveFeed:
    """Of one event loop."""

    def __init__(
        self,
        log: LiveLog,
        signal: Signal,
        alerts: AlertRegistry,
        clock: Clock,
        *,
        most_watchers: int,
        most_of_one: int | None = None,
        heartbeat_s: float = HEARTBEAT_S,
        while_away: Callable[[], None] = lambda: None,
    ) -> None:
        """`most_of_one`: of one key at once; None: all of them. `while_away` is called in a thread after each look at
        the log that failed."""
        self.state = LiveState(clock)
        self.ring: RingBuffer | None = None
        """None until the log was reached for the first time."""
        self.has_ended = False
        self.watchers: set[Watcher] = set()
        self.aside = UnloggedState()
        self._log = log
        self._signal = signal
        self._alerts = alerts
        self._most_watchers = most_watchers
        self.most_of_one = most_watchers if most_of_one is None else most_of_one
        self._heartbeat_s = heartbeat_s
        self._while_away = while_away
        self._reading = asyncio.Semaphore(READS_AT_ONCE)
        self._due: dict[str, float] = {}
        self._told_state: StateData | None = None
        self._asking: tuple[asyncio.Task[LiveUpdate], Moment] | None = None

    @property
    def is_full(self) -> bool:
        return len(self.watchers) >= self._most_watchers

    def has_its_share(self, caller: str) -> bool:
        """Whether that key watches as often already as one may, so that others find room too."""
        return sum(watcher.caller == caller for watcher in self.watchers) >= self.most_of_one

    async def run(self) -> None:
        """Until it is cancelled. Whatever goes wrong is logged, and the feed goes on from where it was."""
        try:
            while True:
                try:
                    await self._follow()
                except Exception:  # noqa: BLE001 - a defect, told whole; those who watch are not left without
                    _log.exception("the live feed failed and begins again")
                    await asyncio.sleep(BEGIN_AGAIN_S)
        finally:
            if self._asking is not None:
                self._asking[0].cancel()
            await self._signal.aclose()
            await asyncio.to_thread(self._log.close)

    def end(self) -> None:
        """Everybody is told, and sent away."""
        self.has_ended = True
        self._wake()

    def told_state(self) -> StateData:
        """For one who has just come."""
        return self.state.data(self.ring.position if self.ring is not None else None)

    async def entries(self, after: int, until: int) -> list[LiveEntry]:
        """Of the past, a batch at a time and few at once. Raises LiveLogUnavailable."""
        async with self._reading:
            return await asyncio.to_thread(self._log.entries, after, until, limit=BATCH)

    async def head(self) -> int:
        """The end of the log, now. Raises LiveLogUnavailable."""
        async with self._reading:
            return (await asyncio.to_thread(self._log.read_update, None, limit=0)).head

    async def _follow(self) -> None:
        while True:
            try:
                await self._look_until_sure()
            except LiveLogUnavailable as error:
                _log.debug("the live feed waits for the log", error=str(error))
                self.state.away()
                with contextlib.suppress(LiveLogUnavailable):
                    await _answered(self._while_away)
            else:
                await self._look_aside()
            self._tell_state()
            await self._signal.wait(LOOK_EVERY_S)
            await asyncio.sleep(TOGETHER_S)

    async def _look_until_sure(self) -> None:
        """Raises LiveLogUnavailable, which closes doors, only where a new connection is not answered either.

        One of before may have died alone, or hang: the log itself gives that up after a while. Where nothing is heard
        until then, those who watch are told so, and no door is closed.
        """
        try:
            await self._look()
        except LiveLogUnavailable:
            await _answered(self._log.check)
            try:
                await self._look()  # others of before may have died with it
            except LiveLogUnavailable as error:
                _log.debug("the database answers who connects, and the log is not read", error=str(error))

    async def _look(self) -> None:
        """Tell what is new."""
        while True:
            after = None if self.ring is None else self.ring.position
            read_update, asked = await self._news(after)
            self.state.heard(read_update, asked)
            if self.ring is None:
                self.ring = RingBuffer(read_update.served_until)
                self._wake()
                return
            if read_update.head < self.ring.position:
                _log.warning(
                    "the log is shorter than it was: those who watch begin anew", head=read_update.head
                )
                self.ring.restart(read_update.served_until, reset_message(read_update.served_until, "ahead"))
                self._wake()
                return
            self._tell([log_message(entry) for entry in read_update.entries], _told_until(read_update))
            if len(read_update.entries) < BATCH:
                return
            await self._until_taken()

    async def _news(self, after: int | None) -> tuple[LiveUpdate, Moment]:
        """What is new, and when it was asked for. A slow answer is not thrown away: the next look waits on for it."""
        if self._asking is None:
            begun = asyncio.create_task(asyncio.to_thread(self._log.read_update, after, limit=BATCH))
            self._asking = begun, self.state.now()
        asking, asked = self._asking
        done, _ = await asyncio.wait({asking}, timeout=ANSWER_WITHIN_S)
        if not done:
            raise LiveLogUnavailable(f"no answer in {ANSWER_WITHIN_S:g} s")
        self._asking = None
        return asking.result(), asked

    async def _look_aside(self) -> None:
        """What is not in the log, while somebody watches: alerts, and that readings came."""
        if not self.watchers:
            return
        try:
            if self._is_due("alerts", ALERTS_EVERY_S):
                listed = await _answered(partial(self._alerts.listed, limit=MOST_ALERTS))
                self._tell_aside(self.aside.of_alerts(listed))
            if self._is_due("telemetry", TELEMETRY_EVERY_S):
                stored_at = await _answered(self._log.readings_stored_at)
                self._tell_aside(self.aside.of_readings(stored_at))
        except (LiveLogUnavailable, OperationsUnavailable) as error:
            _log.debug("the live feed looks for alerts and readings again later", error=str(error))

    def _tell_aside(self, message: LiveMessage | None) -> None:
        if message is not None:
            self._tell([message])

    def _tell_state(self) -> None:
        """When it changes, and again and again while it is bad; and that the connection lives."""
        data, before = self.told_state(), self._told_state
        changed = before is None or (before.stale, before.reason) != (data.stale, data.reason)
        if changed and data.reason == "database":
            _log.warning("the log is not heard of: what is told is stale", is_away=self.state.is_away)
        if (changed and before is not None) or (data.stale and self._is_due("state", STATE_EVERY_S)):
            self._tell([state_message(data)])
        self._told_state = data
        if self.ring is not None and self._is_due("heartbeat", self._heartbeat_s):
            self._tell([heartbeat(self.ring.position)])

    def _is_due(self, what: str, every_s: float) -> bool:
        now = time.monotonic()
        if now < self._due.get(what, 0.0):
            return False
        self._due[what] = now + every_s
        return True

    def _tell(self, messages: list[LiveMessage], position: int = 0) -> None:
        if self.ring is not None:
            self.ring.publish(messages, position)
            if messages:
                self._wake()

    def _wake(self) -> None:
        for watcher in self.watchers:
            watcher.wake()

    async def _until_taken(self) -> None:
        """A burst of the log is no reason to lose those who would take it in a moment."""
        deadline = time.monotonic() + PACE_S
        while self.ring is not None and time.monotonic() < deadline:
            if all(watcher.cursor >= self.ring.last for watcher in self.watchers):
                return
            await asyncio.sleep(TOGETHER_S)


async def _answered(ask: Callable[[], TAnswer]) -> TAnswer:
    """In a thread, which is left to itself where it hangs. Raises LiveLogUnavailable then, and what `ask` raises."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            return await asyncio.to_thread(ask)
    except TimeoutError as error:
        raise LiveLogUnavailable(f"no answer in {ANSWER_WITHIN_S:g} s") from error


def _told_until(read_update: LiveUpdate) -> int:
    """With a full batch the log is told up to its last entry only."""
    return read_update.entries[-1].position if len(read_update.entries) >= BATCH else read_update.served_until
