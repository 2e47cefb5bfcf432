"""The evidence of a storm for the invariants: the log, the buildings' journals, the calls and the callbacks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import msgspec
from eventsourcing.persistence import StoredEvent

from application.ports.event_store.event_log import LogEntry
from application.ports.operations.alerts import Alert
from application.ports.operations.dead_letters import DeadLetter
from domain.dispatch import Dispatch, DispatchState
from domain.dr_event import DREvent, DREventState
from domain.event_sourcing.aggregate import Aggregate, DomainEvent
from interfaces.simulators.bms.journal import JournalEntry
from tests.simulation.doubles.bms_network import Call
from tests.simulation.doubles.database import MovedPosition, RefusedSave
from tests.simulation.doubles.defects import Failure
from tests.simulation.doubles.utility_notifier import ReceivedCallback, TriedCallback
from tests.simulation.scenario.plan import StormPlan

TDomainEvent = TypeVar("TDomainEvent", bound=DomainEvent)


class Finding(NamedTuple):
    """A violation, and its time if that is known."""

    what: str
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    plan: StormPlan
    entries: Sequence[LogEntry]
    stored: Sequence[StoredEvent]
    saved_at: Mapping[int, datetime]
    """Position -> when it was saved, by the database's clock."""
    dated_ahead: Sequence[RefusedSave]
    aggregates: Mapping[UUID, Aggregate[Any]]
    """Each aggregate after its last save."""
    journal: Sequence[JournalEntry]
    """The actions of the buildings, in order."""
    calls: Sequence[Call]
    received: Sequence[ReceivedCallback]
    tried: Sequence[TriedCallback]
    """Every call of a utility, in order."""
    read_models: Mapping[str, Mapping[str, Any]]
    """The rows of the live projections."""
    forgotten: frozenset[UUID]
    """Commands that a BMS forgot in a restart, and may execute again."""
    failures: Sequence[Failure]
    """What failed because of a defect of the release, once for each try."""
    dead_letters: Sequence[DeadLetter]
    alerts: Sequence[Alert]
    """Also those that are cleared."""
    moved: Sequence[MovedPosition]
    errors: Sequence[str]
    """Unexpected errors that ended a worker."""
    locks_were_lost: bool
    faults_end_at: datetime
    ended_at: datetime
    became_idle: bool

    def recorded(self, kind: type[TDomainEvent]) -> list[TDomainEvent]:
        return [e.domain_event for e in self.entries if isinstance(e.domain_event, kind)]

    def dr_events(self) -> list[DREventState]:
        return [a.state for a in self.aggregates.values() if isinstance(a, DREvent)]

    def dispatches(self) -> list[DispatchState]:
        return [a.state for a in self.aggregates.values() if isinstance(a, Dispatch)]

    def digest(self) -> str:
        """SHA-256 (hex) over the log, the journals and the callbacks: equal for two runs of a seed."""
        digest = hashlib.sha256()
        for row in self.stored:
            digest.update(f"{row.topic} {row.originator_id} {row.originator_version} ".encode() + row.state)
        for entry in self.journal:
            digest.update(msgspec.json.encode(entry))
        digest.update(msgspec.json.encode(self.calls))
        digest.update(msgspec.json.encode([tuple(received) for received in self.received]))
        return digest.hexdigest()
