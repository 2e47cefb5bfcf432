"""The audit trail: one row per domain event of a DR event's story, saying who, what, why and caused by which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Literal
from uuid import UUID

import msgspec

from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.event_sourcing import DomainEvent
from domain.facility import Facility
from projections.audit_sentences import reason_of, sentence_of, topic_of
from projections.read_model import FilterKind, Rows, existing, sortable


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """What led to a domain event. A command is not recorded itself: only its id is known."""

    kind: Literal["domain_event", "command"]
    causation_id: UUID
    position: int | None = None
    topic: str | None = None
    what: str | None = None


class AuditTrailRow(msgspec.Struct, frozen=True, kw_only=True, tag="step"):
    """One step of a DR event's story."""

    position: int
    domain_event_id: UUID
    dr_event_id: UUID
    facility_id: str | None
    recorded_at: datetime
    who: str
    """The actor: `utility:<id>`, `operator:<key id>`, `worker:<name>`, `saga:dispatch`."""
    what: str
    """A sentence."""
    topic: str
    why: str | None
    """The reason given, where there is one."""
    caused_by: Cause
    correlation_id: UUID
    trace_id: str
    tenant: str | None


class FacilityName(msgspec.Struct, frozen=True, kw_only=True, tag="facility"):
    """Memory: whose stream it is; a reservation names only the stream."""

    stream_id: UUID
    facility_id: str


AuditRows = AuditTrailRow | FacilityName


def key_of(domain_event: UUID) -> str:
    """The id of a domain event (`domain.event_sourcing.domain_event_id`)."""
    return str(domain_event)


class AuditTrailProjection:
    name: ClassVar[str] = "audit_trail"
    version: ClassVar[int] = 1
    row_type: ClassVar[Any] = AuditRows
    newest_first: ClassVar[bool] = False
    concerns: ClassVar[tuple[type[DomainEvent], ...]] = (
        Facility.Registered,
        Facility.Reserved,
        Facility.Released,
        DREvent.Event,
        Dispatch.Event,
    )
    independent_streams: ClassVar[bool] = False
    filters: ClassVar[Mapping[str, FilterKind]] = {
        "dr_event_id": "equals",
        "facility_id": "equals",
        "topic": "equals",
        "who": "equals",
        "correlation_id": "equals",
    }

    def key(self, row: AuditRows) -> str:
        return key_of(row.domain_event_id if isinstance(row, AuditTrailRow) else row.stream_id)

    def sort_key(self, row: AuditRows) -> str | None:
        return sortable(row.position) if isinstance(row, AuditTrailRow) else None

    def tenant(self, row: AuditRows) -> str | None:
        return row.tenant if isinstance(row, AuditTrailRow) else None

    def wanted(self, domain_event: DomainEvent) -> Iterable[str]:
        if isinstance(domain_event, Facility.Reserved | Facility.Released):
            return (key_of(domain_event.causation_id), key_of(domain_event.originator_id))
        if isinstance(domain_event, DREvent.Event | Dispatch.Event):
            return (key_of(domain_event.causation_id),)
        return ()

    def fold(self, position: int, domain_event: DomainEvent, rows: Rows[AuditRows]) -> None:
        if isinstance(domain_event, Facility.Registered):
            name = FacilityName(stream_id=domain_event.originator_id, facility_id=domain_event.facility_id)
            rows.put(name)
            return
        story = _story_of(domain_event, rows)
        if story is not None:
            cause = rows.get(key_of(domain_event.causation_id))
            rows.put(
                step_of(position, domain_event, *story, cause if isinstance(cause, AuditTrailRow) else None)
            )


def step_of(
    position: int,
    domain_event: DomainEvent,
    dr_event_id: UUID,
    facility_id: str | None,
    cause: AuditTrailRow | None,
) -> AuditTrailRow:
    """A domain event as a step of the story of `dr_event_id`; `cause` is the step whose id is its causation."""
    return AuditTrailRow(
        position=position,
        domain_event_id=domain_event.domain_event_id,
        dr_event_id=dr_event_id,
        facility_id=facility_id,
        recorded_at=domain_event.recorded_at,
        who=domain_event.actor,
        what=sentence_of(domain_event, facility_id),
        topic=topic_of(domain_event),
        why=reason_of(domain_event),
        caused_by=_cause_of(domain_event.causation_id, cause),
        correlation_id=domain_event.correlation_id,
        trace_id=domain_event.trace_id,
        tenant=domain_event.tenant,
    )


def _cause_of(causation_id: UUID, cause: AuditTrailRow | None) -> Cause:
    """The cause named: the step that it is the id of, if there is one."""
    if cause is None:
        return Cause(kind="command", causation_id=causation_id)
    return Cause(
        kind="domain_event",
        causation_id=causation_id,
        position=cause.position,
        topic=cause.topic,
        what=cause.what,
    )


def _story_of(domain_event: DomainEvent, rows: Rows[AuditRows]) -> tuple[UUID, str | None] | None:
    """(DR event, facility) of a domain event; None if it belongs to no DR event's story."""
    if isinstance(domain_event, DREvent.Event):
        return domain_event.originator_id, None
    if isinstance(domain_event, Dispatch.Event):
        return domain_event.dr_event_id, domain_event.facility_id
    if isinstance(domain_event, Facility.Reserved | Facility.Released):
        name = existing(rows, key_of(domain_event.originator_id), domain_event)
        return domain_event.dr_event_id, name.facility_id
    return None
