"""Settling: settles DR events once all their facilities are measured, and again after a change of what it follows from.

The log is read in order. The position moves only after everything that follows from it is recorded, or has an alert. A
domain event that is read twice leads to the same inputs, and then nothing is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import takewhile
from uuid import UUID

import structlog

from application.command_bus.bus import CommandBus
from application.command_bus.decision_context import CommandContext
from application.commands.dr_event import SettleDREvent
from application.ports.clock import Clock
from application.ports.event_store.event_log import EventLog, LogEntry
from application.ports.event_store.event_store import EventStore
from application.ports.event_store.reader_positions import ReaderPositions
from application.ports.failpoints import Failpoint, no_failpoint
from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.errors import NotAllowedNow, SettlementFinal, SettlementWaits
from domain.event_sourcing.aggregate import DomainEvent
from interfaces.workers.loops.periodic import PUT_OFF
from interfaces.workers.measure.failing_settlements import FailingSettlements
from projections.dr_event.projection import DREventRow, key_of

READER = "settle"
RIPE_AFTER = timedelta(seconds=60)
"""A correction often concerns several facilities of a DR event. The delay lets them give one revision."""
MOST_ENTRIES, MOST_BATCHES = 2_000, 20
"""In one pass: so many entries at a time, and so many times while none of them concerns a settlement."""
MOST_NAMED = 3
Correction = Dispatch.Remeasured | Dispatch.MeasurementWithdrawn
_log = structlog.get_logger(__name__)


@dataclass
class Trigger:
    """Why a DR event is settled now."""

    why: str
    cause: DomainEvent
    corrected: list[str] = field(default_factory=list)
    """The facilities that were measured again."""

    @property
    def reason(self) -> str:
        if not self.corrected:
            return self.why
        more = len(self.corrected) - MOST_NAMED
        others = f" and {more} more" if more > 0 else ""
        return f"{self.why}: {', '.join(self.corrected[:MOST_NAMED])}{others}"


@dataclass
class Settling:
    """`row_of` returns the read model's row of a DR event; it is read only to try a failed one again.

    Nothing is settled while an older release may run.
    """

    event_log: EventLog
    positions: ReaderPositions
    store: EventStore
    row_of: Callable[[str], DREventRow | None]
    bus: CommandBus
    clock: Clock
    failing: FailingSettlements
    reached: Failpoint = no_failpoint

    def pass_once(self) -> int:
        """Settle what is due; returns the number of commands.

        Raises EventStoreUnavailable, ReadModelsUnavailable, OperationsUnavailable, LogEntryUnreadable, which a newer
        process can read, or TooManyFailingSettlements.
        """
        if not self.store.writes_newer_topics():
            return 0
        given = self._try_failing()
        position = self.positions.position(READER)
        for _ in range(MOST_BATCHES):
            entries = self.event_log.read_after(position, MOST_ENTRIES)
            ripe = self._ripe(entries)
            if not ripe:
                break
            triggers = self._triggers(ripe)
            given += sum(self._tried(one, trigger) for one, trigger in triggers.items())
            position = ripe[-1].position
            self.positions.move(READER, position)
            if triggers or len(ripe) < MOST_ENTRIES:
                break
        return given

    def _ripe(self, entries: Sequence[LogEntry]) -> list[LogEntry]:
        """Those before the first correction that is too young."""
        until = self.clock.now() - RIPE_AFTER
        return list(
            takewhile(
                lambda one: (
                    not isinstance(one.domain_event, Correction) or one.domain_event.recorded_at <= until
                ),
                entries,
            )
        )

    def _triggers(self, entries: Iterable[LogEntry]) -> dict[UUID, Trigger]:
        """DR event -> why it is settled now, each once."""
        found: dict[UUID, Trigger] = {}
        for entry in entries:
            domain_event = entry.domain_event
            match domain_event:
                case DREvent.Measured():
                    why, dr_event_id = (
                        "every facility is measured or not measurable",
                        domain_event.originator_id,
                    )
                case DREvent.Cancelled():
                    why, dr_event_id = "it was cancelled before its start", domain_event.originator_id
                case DREvent.Modified():
                    why, dr_event_id = "the request changed", domain_event.originator_id
                case Dispatch.Remeasured() | Dispatch.MeasurementWithdrawn():
                    why, dr_event_id = "measured again", domain_event.dr_event_id
                case DREvent.Settled() | DREvent.Resettled():
                    self.failing.succeeded(domain_event.originator_id)
                    continue
                case _:
                    continue
            trigger = found.setdefault(dr_event_id, Trigger(why, domain_event))
            if isinstance(domain_event, Correction) and domain_event.facility_id not in trigger.corrected:
                trigger.corrected.append(domain_event.facility_id)
        return found

    def _tried(self, dr_event_id: UUID, trigger: Trigger) -> int:
        cause = trigger.cause
        context = CommandContext(
            correlation_id=cause.correlation_id,
            causation_id=cause.domain_event_id,
            actor="worker:measure",
            tenant=cause.tenant,
            trace_id=cause.trace_id,
        )
        return self._settle(SettleDREvent(dr_event_id=dr_event_id, why=trigger.reason), context)

    def _try_failing(self) -> int:
        given = 0
        for dr_event_id in self.failing.to_try():
            if (row := self.row_of(key_of(dr_event_id))) is None:
                continue
            context = CommandContext(
                correlation_id=row.correlation_id,
                causation_id=dr_event_id,
                actor="worker:measure",
                tenant=row.utility_id,
                trace_id=row.trace_id,
            )
            given += self._settle(
                SettleDREvent(dr_event_id=dr_event_id, why="settling it failed before"), context
            )
        return given

    def _settle(self, command: SettleDREvent, context: CommandContext) -> int:
        """The number of commands. An error that says nothing of a server concerns only this DR event.

        What is waited for, prices or measurements, comes with a domain event of its own.
        """
        self.reached("settle.before", str(command.dr_event_id))
        try:
            self.bus.handle(command, context)
        except PUT_OFF:
            raise
        except (NotAllowedNow, SettlementFinal, SettlementWaits) as error:
            _log.info("not settled now", dr_event=str(command.dr_event_id), why=str(error))
            self.failing.succeeded(command.dr_event_id)
            return 0
        except Exception as error:  # noqa: BLE001 - it must not stop the settlement of other DR events
            self.failing.failed(command.dr_event_id, error)
            return 0
        self.reached("settle.after", str(command.dr_event_id))
        self.failing.succeeded(command.dr_event_id)
        return 1
