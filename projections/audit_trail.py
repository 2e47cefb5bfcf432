"""The audit trail: an index of the domain events of DR events' stories.

Who, what, why and caused by which are told when a step is read, from the log itself (`projections.audit_steps`): the
log holds every fact already, and there are as many rows as domain events.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import sha1
from typing import Any, ClassVar
from uuid import UUID

import msgspec
from eventsourcing.utils import get_topic

from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.event_sourcing import DomainEvent
from domain.facility import Facility
from projections.read_model import Facts, FilterKind, Rows, existing, sortable

_REGISTERED = get_topic(Facility.Registered)
_RESERVATIONS = frozenset({get_topic(Facility.Reserved), get_topic(Facility.Released)})


class AuditStep(msgspec.Struct, frozen=True, kw_only=True, tag="step", gc=False):
    """A domain event of a DR event's story, and what steps are looked up by. Ids are texts, as stored."""

    position: int
    domain_event_id: str
    dr_event_id: str
    facility_id: str | None
    who: str
    topic: str
    correlation_id: str
    tenant: str | None


class FacilityName(msgspec.Struct, frozen=True, kw_only=True, tag="facility"):
    """Memory: whose stream it is; a reservation names only the stream."""

    stream_id: UUID
    facility_id: str


AuditRows = AuditStep | FacilityName


class StepFacts(Facts, kw_only=True, gc=False):
    """What a step is made of; `dr_event_id` and `facility_id` where the domain event names them."""

    recorded_at: datetime
    actor: str
    correlation_id: str
    tenant: str | None
    dr_event_id: str | None = None
    facility_id: str | None = None


def key_of(domain_event: UUID) -> str:
    """The id of a domain event (`domain.event_sourcing.domain_event_id`)."""
    return str(domain_event)


class AuditTrailProjection:
    name: ClassVar[str] = "audit_trail"
    version: ClassVar[int] = 2
    row_type: ClassVar[Any] = AuditRows
    newest_first: ClassVar[bool] = False
    concerns: ClassVar[tuple[type[DomainEvent], ...]] = (
        Facility.Registered,
        Facility.Reserved,
        Facility.Released,
        DREvent.Event,
        Dispatch.Event,
    )
    independent_streams: ClassVar[bool] = True
    facts: ClassVar[type[StepFacts]] = StepFacts
    filters: ClassVar[Mapping[str, FilterKind]] = {
        "dr_event_id": "equals",
        "facility_id": "equals",
        "topic": "equals",
        "who": "equals",
        "correlation_id": "equals",
    }

    def key(self, row: AuditRows) -> str:
        return row.domain_event_id if isinstance(row, AuditStep) else key_of(row.stream_id)

    def sort_key(self, row: AuditRows) -> str | None:
        return sortable(row.position) if isinstance(row, AuditStep) else None

    def tenant(self, row: AuditRows) -> str | None:
        return row.tenant if isinstance(row, AuditStep) else None

    def wanted(self, domain_event: DomainEvent | StepFacts) -> Iterable[str]:
        if isinstance(domain_event, StepFacts):
            return (domain_event.stream_id,) if domain_event.topic in _RESERVATIONS else ()
        if isinstance(domain_event, Facility.Reserved | Facility.Released):
            return (key_of(domain_event.originator_id),)
        return ()

    def fold(self, position: int, domain_event: DomainEvent | StepFacts, rows: Rows[AuditRows]) -> None:
        if not isinstance(domain_event, StepFacts):
            if not isinstance(domain_event, self.concerns):
                return
            domain_event = _facts_of(domain_event)
        _fold(position, domain_event, rows)


def _fold(position: int, facts: StepFacts, rows: Rows[AuditRows]) -> None:
    topic, dr_event_id, facility_id = facts.topic, facts.dr_event_id, facts.facility_id
    if topic == _REGISTERED:
        rows.put(FacilityName(stream_id=UUID(facts.stream_id), facility_id=str(facility_id)))
        return
    if dr_event_id is None or topic.startswith("dr-event."):
        dr_event_id = facts.stream_id
    elif topic in _RESERVATIONS:
        name = existing(rows, facts.stream_id, facts)
        facility_id = name.facility_id
    rows.add(
        AuditStep(
            position=position,
            domain_event_id=_domain_event_id(facts.stream_id, facts.version),
            dr_event_id=dr_event_id,
            facility_id=facility_id,
            who=facts.actor,
            topic=topic,
            correlation_id=facts.correlation_id,
            tenant=facts.tenant,
        )
    )


def _facts_of(domain_event: DomainEvent) -> StepFacts:
    dr_event_id: UUID | None = getattr(domain_event, "dr_event_id", None)
    return StepFacts(
        topic=get_topic(type(domain_event)),
        stream_id=str(domain_event.originator_id),
        version=domain_event.originator_version,
        recorded_at=domain_event.recorded_at,
        actor=domain_event.actor,
        correlation_id=str(domain_event.correlation_id),
        tenant=domain_event.tenant,
        dr_event_id=None if dr_event_id is None else str(dr_event_id),
        facility_id=getattr(domain_event, "facility_id", None),
    )


def _domain_event_id(stream_id: str, version: int) -> str:
    """`str(domain_event_id(...))`, which is a uuid5, in a third of the time (RFC 9562, section 5.5)."""
    place = bytes.fromhex(stream_id.replace("-", "")) + b"%d" % version
    digits = sha1(place, usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"
