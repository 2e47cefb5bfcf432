"""HaltAtUnreadable: an EventLog that stops before the first entry that this release cannot read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import structlog

from application.command_bus.retry import Stopped, retry_while_unavailable, sleep_or_stop
from application.ports.clock import Clock
from application.ports.event_store.event_log import EventLog, LogEntry, LogEntryUnreadable
from application.ports.event_store.reader_positions import ReaderPositions
from application.ports.operations.alerts import AlertRegistry

ALERT = "relay_stopped"
RETRY_S = 15.0
"""Wall seconds until a stopped reader checks whether a newer process has continued in its place."""
_log = structlog.get_logger(__name__)


@dataclass
class HaltAtUnreadable:
    """Delivers entries up to the first unreadable one. Nothing more is delivered until all of them are processed.

    Then it raises LogEntryUnreadable: the reader ends and releases its lock, and a process of a newer release continues
    from there.
    """

    log: EventLog
    reader: str
    positions: ReaderPositions
    alerts: AlertRegistry
    clock: Clock
    _halted_at: int = field(default=0, init=False)
    """The position that could not be passed, here or by an earlier process; 0: none is known."""

    def read_after(self, position: int, limit: int) -> list[LogEntry]:
        try:
            entries = read_up_to_unreadable(self.log, position, limit)
        except LogEntryUnreadable:
            if self.positions.position(self.reader) < position:
                return []
            raise
        if entries and entries[-1].position >= self._halted_at:
            self.alerts.state(ALERT, {}, observer=self.reader, at=self.clock.now())
        return entries

    def head(self) -> int:
        return self.log.head()

    def halt(self, error: LogEntryUnreadable) -> None:
        """State that the reader cannot pass that position. It tries again each RETRY_S, so this is stated again."""
        _log.error("stopped", reader=self.reader, position=error.position, topic=error.topic, why=str(error))
        self._halted_at = error.position
        stated = {self.reader: str(error)[:1_000]}
        self.alerts.state(ALERT, stated, observer=self.reader, at=self.clock.now())


def read_up_to_unreadable(log: EventLog, position: int, limit: int) -> list[LogEntry]:
    """Entries after `position`, up to the first unreadable one. Raises LogEntryUnreadable if that comes first."""
    while True:
        try:
            return log.read_after(position, limit)
        except LogEntryUnreadable:
            if limit == 1:
                raise
            limit //= 2


async def run_again_when_readable(
    run: Callable[[asyncio.Event], Awaitable[None]],
    stop: asyncio.Event,
    halt: Callable[[LogEntryUnreadable], None],
    *,
    retry_s: float = RETRY_S,
) -> None:
    """Call `run` until `stop`; after LogEntryUnreadable state it by `halt`, and call `run` again `retry_s` later."""
    while not stop.is_set():
        try:
            await run(stop)
        except LogEntryUnreadable as error:
            with suppress(Stopped):
                await retry_while_unavailable(partial(asyncio.to_thread, halt, error), stop=stop)
            await sleep_or_stop(stop, retry_s)
        else:
            return
