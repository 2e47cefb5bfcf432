"""The log for a reader that must not go past what this release cannot read, nor lose what comes before it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from application.ports.clock import Clock
from application.ports.event_store.event_log import EventLog, LogEntry, LogEntryUnreadable
from application.ports.event_store.reader_positions import ReaderPositions
from application.ports.operations.alerts import AlertRegistry
from interfaces.workers.loops.leader_loop import sleep_or_stop

ALERT = "relay_stopped"
LOOK_AGAIN_S = 15.0
"""Until a reader that stopped looks whether a newer process has gone on in its place."""
_log = structlog.get_logger(__name__)


@dataclass
class HaltAtUnreadable:
    """An EventLog. At an entry that cannot be read there is nothing more to read, until all before it is done.

    Then it says so, raises the alert with the position, and raises LogEntryUnreadable: the reader ends, its lock is
    free, and a process of a newer release goes on from there.
    """

    log: EventLog
    reader: str
    positions: ReaderPositions
    alerts: AlertRegistry
    clock: Clock
    _may_be_alerted: bool = field(default=True, init=False)
    """Also by another process, before this one: what it reads now is past that."""

    def read_after(self, position: int, limit: int) -> list[LogEntry]:
        try:
            entries = read_up_to_unreadable(self.log, position, limit)
        except LogEntryUnreadable as error:
            if self.positions.position(self.reader) < position:
                return []
            self._tell_stopped(error)
            raise
        if entries and self._may_be_alerted:
            self.alerts.clear(ALERT, self.reader, at=self.clock.now())
            self._may_be_alerted = False
        return entries

    def head(self) -> int:
        return self.log.head()

    def _tell_stopped(self, error: LogEntryUnreadable) -> None:
        _log.error("stopped", reader=self.reader, position=error.position, topic=error.topic, why=str(error))
        self.alerts.raise_alert(ALERT, self.reader, str(error)[:1_000], at=self.clock.now())
        self._may_be_alerted = True


def read_up_to_unreadable(log: EventLog, position: int, limit: int) -> list[LogEntry]:
    """Some of the entries after `position`, up to the first unreadable one; LogEntryUnreadable if that is first."""
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
    *,
    look_again_s: float = LOOK_AGAIN_S,
) -> None:
    """Run it until `stop`; where it ended at an unreadable entry, again after a while."""
    while not stop.is_set():
        try:
            await run(stop)
        except LogEntryUnreadable:
            await sleep_or_stop(stop, look_again_s)
        else:
            return
