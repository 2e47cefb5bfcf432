"""HaltAtUnreadable: an EventLog that stops before the first entry that this release cannot read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from application.command_bus.retry import sleep_or_stop
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

    Then it raises the alert with the position, and LogEntryUnreadable: the reader ends and releases its lock, and a
    process of a newer release continues from there.
    """

    log: EventLog
    reader: str
    positions: ReaderPositions
    alerts: AlertRegistry
    clock: Clock
    _may_be_alerted: bool = field(default=True, init=False)
    """True at first: an earlier process may have raised it, and what is read now is past its position."""

    def read_after(self, position: int, limit: int) -> list[LogEntry]:
        try:
            entries = read_up_to_unreadable(self.log, position, limit)
        except LogEntryUnreadable as error:
            if self.positions.position(self.reader) < position:
                return []
            self._raise_alert(error)
            raise
        if entries and self._may_be_alerted:
            self.alerts.clear(ALERT, self.reader, at=self.clock.now())
            self._may_be_alerted = False
        return entries

    def head(self) -> int:
        return self.log.head()

    def _raise_alert(self, error: LogEntryUnreadable) -> None:
        _log.error("stopped", reader=self.reader, position=error.position, topic=error.topic, why=str(error))
        self.alerts.raise_alert(ALERT, self.reader, str(error)[:1_000], at=self.clock.now())
        self._may_be_alerted = True


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
    *,
    retry_s: float = RETRY_S,
) -> None:
    """Call `run` until `stop`; after LogEntryUnreadable call it again `retry_s` later."""
    while not stop.is_set():
        try:
            await run(stop)
        except LogEntryUnreadable:
            await sleep_or_stop(stop, retry_s)
        else:
            return
