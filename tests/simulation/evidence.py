"""What a storm leaves behind for the invariants: the log, the buildings' journals, what the utility was told."""

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
from domain.dispatch import Dispatch, DispatchState
from domain.dr_event import DREvent, DREventState
from domain.event_sourcing.aggregate import Aggregate, DomainEvent
from interfaces.simulators.bms.journal import JournalEntry
from tests.simulation.doubles.bms_network import Call
from tests.simulation.doubles.utility_notifier import ReceivedCallback
from tests.simulation.scenario.plan import StormPlan

TDomainEvent = TypeVar("TDomainEvent", bound=DomainEvent)


class Found(NamedTuple):
    """Something that broke, and when, where that can be said."""

    what: str
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    plan: StormPlan
    entries: Sequence[LogEntry]
    stored: Sequence[StoredEvent]
    aggregates: Mapping[UUID, Aggregate[Any]]
    """As the last save of each left it."""
    journal: Sequence[JournalEntry]
    """What the buildings did, in order."""
    calls: Sequence[Call]
    received: Sequence[ReceivedCallback]
    read_models: Mapping[str, Mapping[str, Any]]
    """As the live projections left them."""
    forgotten: frozenset[UUID]
    """Commands that a BMS forgot: it may carry them out again."""
    errors: Sequence[str]
    """What nobody foresaw: a worker ended by it."""
    locks_were_lost: bool
    calm_at: datetime
    ended_at: datetime
    came_to_rest: bool

    def recorded(self, kind: type[TDomainEvent]) -> list[TDomainEvent]:
        return [e.domain_event for e in self.entries if isinstance(e.domain_event, kind)]

    def dr_events(self) -> list[DREventState]:
        return [a.state for a in self.aggregates.values() if isinstance(a, DREvent)]

    def dispatches(self) -> list[DispatchState]:
        return [a.state for a in self.aggregates.values() if isinstance(a, Dispatch)]

    def digest(self) -> str:
        """SHA-256 (hex) over the log, the journals and the callbacks: two runs of a seed have the same."""
        digest = hashlib.sha256()
        for row in self.stored:
            digest.update(f"{row.topic} {row.originator_id} {row.originator_version} ".encode() + row.state)
        for entry in self.journal:
            digest.update(msgspec.json.encode(entry))
        digest.update(msgspec.json.encode(self.calls))
        digest.update(msgspec.json.encode([tuple(received) for received in self.received]))
        return digest.hexdigest()
