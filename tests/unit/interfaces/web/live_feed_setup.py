"""The live feed over a log in memory, and a subscriber. The stream is parsed as in a browser."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from interfaces.web.broadcast.feed import LiveFeed
from interfaces.web.broadcast.message import Audience
from interfaces.web.broadcast.subscriber import Subscriber
from tests.fakes.live_feed import FakeLiveLog, FakeLogSignal
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.unit.interfaces.web.edge import SettableClock

WITHIN_S = 60.0


@dataclass
class Parsed:
    """A stream as parsed by `EventSource`."""

    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    last_event_id: str = ""
    comments: list[str] = field(default_factory=list)
    _rest: bytes = b""

    def take(self, piece: bytes) -> None:
        *blocks, self._rest = (self._rest + piece).split(b"\n\n")
        for block in blocks:
            self._take_block(block.decode().split("\n"))

    def _take_block(self, lines: list[str]) -> None:
        name, data = "message", ""
        for line in lines:
            key, _, value = line.partition(": ")
            if key == "":
                self.comments.append(value)
            elif key == "id":
                self.last_event_id = value
            elif key == "event":
                name = value
            elif key == "data":
                data += value
        if data:
            self.events.append((name, msgspec.json.decode(data)))

    def broken_off(self) -> None:
        """The connection ended; an incomplete message is lost."""
        self._rest = b""

    def positions(self) -> list[int]:
        """The positions of the log messages, in the order of arrival."""
        found = [
            data
            for name, data in self.events
            if name not in {"state", "reset", "alert", "telemetry", "alive"}
        ]
        return [data["position"] for data in found]

    def named(self, name: str) -> list[dict[str, Any]]:
        return [data for found, data in self.events if found == name]


@dataclass
class RunningFeed:
    feed: LiveFeed
    log: FakeLiveLog
    alerts: FakeAlertRegistry
    clock: SettableClock

    def watcher(
        self, *, after: int | None = None, audience: Audience | None = None, may_stay: bool = True
    ) -> Subscriber:
        async def stays() -> bool:
            return may_stay

        watcher = Subscriber(self.feed, audience or Audience(), after=after, may_stay=stays)
        self.feed.watchers.add(watcher)
        return watcher

    async def received_until(self, position: int) -> None:
        await until(lambda: self.feed.ring is not None and self.feed.ring.position >= position)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not holds():  # noqa: ASYNC110 - other tasks change the condition
            await asyncio.sleep(0.001)


@asynccontextmanager
async def running(log: FakeLiveLog | None = None, **options: Any) -> AsyncIterator[RunningFeed]:
    log, alerts, clock = log or FakeLiveLog(), FakeAlertRegistry(), SettableClock()
    feed = LiveFeed(log, FakeLogSignal(0.001), alerts, clock, max_watchers=10, **options)
    feeding = asyncio.create_task(feed.run())
    try:
        yield RunningFeed(feed, log, alerts, clock)
    finally:
        feeding.cancel()
        await asyncio.wait({feeding})


async def taken(watcher: Subscriber, *, until: int | None = None, parsed: Parsed | None = None) -> Parsed:
    """The messages up to that position (a heartbeat counts), or up to the end of the stream."""
    parsed = parsed or Parsed()
    async with asyncio.timeout(WITHIN_S):
        async for piece in watcher.pieces():
            parsed.take(piece)
            if until is not None and parsed.last_event_id and int(parsed.last_event_id) >= until:
                break
    return parsed
