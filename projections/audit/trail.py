"""The audit trail: an index of the domain events of DR events.

Actor, description, reason and cause are resolved from the log when a step is read
(`projections.audit.steps`). The log already holds every fact, and the trail has one row per domain event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from hashlib import sha1
from typing import Any, ClassVar
from uuid import UUID

import msgspec
from eventsourcing.utils import get_topic

from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.event_sourcing.aggregate import DomainEvent
from domain.facility import OF_DR_EVENT, Facility
from projections.engine.division import StreamDivision
from projections.engine.projection import Facts, FilterKind, Rows, existing, sortable

_REGISTERED = get_topic(Facility.Registered)
_RESERVATIONS = frozenset({get_topic(Facility.Reserved), get_topic(Facility.Released)})


class AuditStep(msgspec.Struct, frozen=True, kw_only=True, tag="step", gc=False):
    """A domain event of a DR event, with the fields for look-ups. Ids are texts, as in the log."""

    position: int
    domain_event_id: str
    """32 hex digits, see `key_of`."""
    dr_event_id: str
    facility_id: str | None
    who: str
    topic: str
    correlation_id: str
    tenant: str | None


class FacilityName(msgspec.Struct, frozen=True, kw_only=True, tag="facility"):
    """Internal row: the facility of a stream. A reservation names only the stream."""

    stream_id: UUID
    facility_id: str


AuditRows = AuditStep | FacilityName


class StepFacts(Facts, kw_only=True, gc=False):
    """The fields that make a step; `dr_event_id` and `facility_id` if the domain event has them."""

    recorded_at: datetime
    actor: str
    correlation_id: str
    tenant: str | None
    dr_event_id: str | None = None
    facility_id: str | None = None


def key_of(domain_event: UUID) -> str:
    """The id of a domain event (`domain.event_sourcing.aggregate.domain_event_id`), as 32 hex digits."""
    return domain_event.hex


class AuditTrailProjection(StreamDivision):
    """The projection behind the read model `audit_trail`."""

    name: ClassVar[str] = "audit_trail"
    version: ClassVar[int] = 4
    row_type: ClassVar[Any] = AuditRows
    newest_first: ClassVar[bool] = False
    concerns: ClassVar[tuple[type[DomainEvent], ...]] = (
        Facility.Registered,
        *OF_DR_EVENT,
        DREvent.Event,
        Dispatch.Event,
    )
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
            return (domain_event.stream.hex(),) if domain_event.topic in _RESERVATIONS else ()
        if isinstance(domain_event, Facility.Reserved | Facility.Released):
            return (key_of(domain_event.originator_id),)
        return ()

    def fold(self, position: int, domain_event: DomainEvent | StepFacts, rows: Rows[AuditRows]) -> None:
        if not isinstance(domain_event, StepFacts):
            if not isinstance(domain_event, self.concerns):
                return
            domain_event = _facts_of(domain_event)
        topic, stream = domain_event.topic, domain_event.stream
        dr_event_id, facility_id = domain_event.dr_event_id, domain_event.facility_id
        if topic == _REGISTERED:
            rows.put(FacilityName(stream_id=UUID(bytes=stream), facility_id=str(facility_id)))
            return
        if dr_event_id is None or topic.startswith("dr-event."):
            dr_event_id = _text_of(stream)
        elif topic in _RESERVATIONS:
            facility_id = existing(rows, stream.hex(), domain_event).facility_id
        rows.add(
            AuditStep(
                position=position,
                domain_event_id=_domain_event_id(stream, domain_event.version),
                dr_event_id=dr_event_id,
                facility_id=facility_id,
                who=domain_event.actor,
                topic=topic,
                correlation_id=domain_event.correlation_id,
                tenant=domain_event.tenant,
            )
        )


def _facts_of(domain_event: DomainEvent) -> StepFacts:
    dr_event_id: UUID | None = getattr(domain_event, "dr_event_id", None)
    return StepFacts(
        topic=get_topic(type(domain_event)),
        stream=domain_event.originator_id.bytes,
        version=domain_event.originator_version,
        recorded_at=domain_event.recorded_at,
        actor=domain_event.actor,
        correlation_id=str(domain_event.correlation_id),
        tenant=domain_event.tenant,
        dr_event_id=None if dr_event_id is None else str(dr_event_id),
        facility_id=getattr(domain_event, "facility_id", None),
    )


@lru_cache(maxsize=65_536)
def _text_of(stream: bytes) -> str:
    return str(UUID(bytes=stream))


def _domain_event_id(stream: bytes, version: int) -> str:
    """The digits of `domain_event_id(...)`, a uuid5, computed faster (RFC 9562, section 5.5)."""
    digits = sha1(stream + b"%d" % version, usedforsecurity=False).hexdigest()
    return f"{digits[:12]}5{digits[13:16]}{_VARIANT[digits[16]]}{digits[17:32]}"


_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
