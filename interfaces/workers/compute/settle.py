"""Settling: settles DR events once all their facilities are measured, and again after a change of what it follows from.

The log is read in order. The position moves only after everything that follows from it is recorded, or has an alert; it
stays before what waits. A domain event that is read twice leads to the same inputs, and then nothing is recorded.
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
from application.command_bus.spans import logged
from application.commands.dr_event import SettleDREvent
from application.ports.clock import Clock
from application.ports.event_store.event_log import EventLog, LogEntry
from application.ports.event_store.event_store import EventStore
from application.ports.event_store.reader_positions import ReaderPositions
from application.ports.failpoints import Failpoint, no_failpoint
from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.errors import NotAllowedNow, SettlementFinal, SettlementWaits
from interfaces.workers.compute.failing_subjects import FailingSubjects
from interfaces.workers.compute.waiting_settlements import Pause, Trigger, WaitingSettlements
from interfaces.workers.loops.periodic import PUT_OFF
from projections.dr_event.projection import DREventRow, key_of

ALERT = "settlement_failing"
RETRY_S = 300.0
"""Wall seconds until a DR event that failed is tried again."""
RIPE_AFTER = timedelta(seconds=60)
"""A correction often concerns several facilities of a DR event. The delay lets them give one revision."""
MOST_ENTRIES, MOST_BATCHES = 2_000, 20
"""In one pass: so many entries at a time, and so many times while none of them concerns a settlement."""
Correction = Dispatch.Remeasured | Dispatch.MeasurementWithdrawn
_log = structlog.get_logger(__name__)


@dataclass
class Settling:
    """`row_of` returns the read model's row of a DR event; it is read only to try a failed one again. `confirm_clock`
    raises ClockSkewed while the clock is wrong.
    """

    event_log: EventLog
    positions: ReaderPositions
    store: EventStore
    row_of: Callable[[str], DREventRow | None]
    bus: CommandBus
    clock: Clock
    failing: FailingSubjects
    confirm_clock: Callable[[], None]
    reached: Failpoint = no_failpoint
    waiting: WaitingSettlements = field(init=False)

    def __post_init__(self) -> None:
        self.waiting = WaitingSettlements(self.positions)

    def reset(self) -> None:
        self.failing.reset()

    def pass_once(self) -> int:
        """Settle what is due; returns the number of commands.

        Raises ClockSkewed, EventStoreUnavailable, ReadModelsUnavailable, OperationsUnavailable,
        LogEntryUnreadable, which a newer process can read, or TooManyFailing.
        """
        given = self._try_failing()
        position = self.waiting.resume()
        for _ in range(MOST_BATCHES):
            entries = self.event_log.read_after(position, MOST_ENTRIES)
            ripe = self._ripe(entries)
            if not ripe:
                break
            triggers = self._triggers(ripe)
            given += sum(
                self._tried(one, trigger)
                for one, trigger in triggers.items()
                if not self.waiting.added(one, trigger)
            )
            position = ripe[-1].position
            self.waiting.move(position)
            if triggers or len(ripe) < MOST_ENTRIES:
                break
        given += sum(self._tried(*one) for one in self.waiting.over(self.clock.now()))
        self.waiting.move(position)
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
                    self.failing.succeeded(str(domain_event.originator_id))
                    continue
                case _:
                    continue
            trigger = found.setdefault(dr_event_id, Trigger(why, domain_event, entry.position))
            if isinstance(domain_event, Correction):
                trigger.corrected[domain_event.facility_id] = None
        return found

    def _tried(self, dr_event_id: UUID, trigger: Trigger) -> int:
        """The number of commands: none before the pause after the revision in force is over."""
        if (pause := self._pause(dr_event_id)) is not None:
            self.waiting.wait(dr_event_id, pause, trigger)
            return 0
        cause = trigger.cause
        context = CommandContext(
            correlation_id=cause.correlation_id,
            causation_id=cause.domain_event_id,
            actor="worker:compute",
            tenant=cause.tenant,
            trace_id=cause.trace_id,
        )
        given = self._settle(SettleDREvent(dr_event_id=dr_event_id, why=trigger.reason), context)
        self.waiting.end(dr_event_id)
        return given

    def _pause(self, dr_event_id: UUID) -> Pause | None:
        """None: it is over, or the command finds out why the DR event cannot be read."""
        try:
            in_force = self.store.load(DREvent, dr_event_id).state.settlement
        except PUT_OFF:
            raise
        except Exception:  # noqa: BLE001 - it concerns only this DR event
            return None
        pause = None if in_force is None else Pause.after(in_force)
        return pause if pause is not None and pause.lasts_at(self.clock.now()) else None

    def _try_failing(self) -> int:
        given = 0
        for dr_event_id in map(UUID, self.failing.to_try()):
            if (row := self.row_of(key_of(dr_event_id))) is None or self._pause(dr_event_id) is not None:
                continue
            context = CommandContext(
                correlation_id=row.correlation_id,
                causation_id=dr_event_id,
                actor="worker:compute",
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
        with logged(context.trace_id, dr_event=command.dr_event_id):
            return self._settled(command, context)

    def _settled(self, command: SettleDREvent, context: CommandContext) -> int:
        self.reached("settle.before", str(command.dr_event_id))
        try:
            self.bus.handle(command, context)
        except PUT_OFF:
            raise
        except (NotAllowedNow, SettlementFinal, SettlementWaits) as error:
            if isinstance(error, SettlementFinal):  # what a clock that is ahead passes over would be lost
                self.confirm_clock()
            _log.info("not settled now", dr_event=str(command.dr_event_id), why=str(error))
            self.failing.succeeded(str(command.dr_event_id))
            return 0
        except Exception as error:  # noqa: BLE001 - it must not stop the settlement of other DR events
            self.failing.failed(str(command.dr_event_id), error)
            return 0
        self.reached("settle.after", str(command.dr_event_id))
        self.failing.succeeded(str(command.dr_event_id))
        return 1
