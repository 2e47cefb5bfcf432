"""The depths of the queues between processes, for operators: open work in PostgreSQL, and telemetry in NATS."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from application.ports.clock import Clock
from application.ports.dispatch import open_work
from application.ports.event_store.event_log import EventLog, LogEntryUnreadable
from application.ports.operations.system_state import QueueDepth, QueueName, Queues, QueuesUnavailable

_NAMES: dict[open_work.WorkKind, QueueName] = {"bms": "bms_commands", "callback": "callbacks"}


@dataclass(frozen=True)
class QueueDepths:
    """Queues. Without `telemetry` there is no address of NATS."""

    rows: open_work.OpenWorkRows
    event_log: EventLog
    clock: Clock
    telemetry: Queues | None

    async def depths(self) -> tuple[QueueDepth, ...]:
        try:
            of_work = await asyncio.to_thread(self._of_work)
        except open_work.OpenWorkUnavailable as error:
            raise QueuesUnavailable("PostgreSQL does not say what waits") from error
        return (*of_work, *(await self.telemetry.depths() if self.telemetry is not None else ()))

    def _of_work(self) -> Sequence[QueueDepth]:
        depths = self.rows.depths()
        return [self._depth(name, [d for d in depths if d.kind == kind]) for kind, name in _NAMES.items()]

    def _depth(self, name: QueueName, queues: Iterable[open_work.QueueDepth]) -> QueueDepth:
        queues = list(queues)
        positions = [queue.first_position for queue in queues if queue.first_position is not None]
        return QueueDepth(
            name=name,
            waiting=sum(queue.rows for queue in queues),
            bytes=None,
            most_bytes=None,
            oldest_s=self._age_s(min(positions)) if positions else None,
        )

    def _age_s(self, position: int) -> float | None:
        """How long ago the intent there was recorded; None: this release cannot read it."""
        try:
            entries = self.event_log.read_after(position - 1, 1)
        except LogEntryUnreadable:
            return None
        ages = [(self.clock.now() - entry.domain_event.recorded_at).total_seconds() for entry in entries]
        return max(0.0, ages[0]) if ages else None
