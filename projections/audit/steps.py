"""Steps of a DR event's story as they are read: who, what, why and caused by which."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

import msgspec

from domain.event_sourcing.aggregate import DomainEvent
from projections.audit.descriptions import reason_of, sentence_of, topic_of
from projections.audit.trail import AuditStep, key_of
from projections.engine.unavailable import ReadModelsUnavailable


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


class AuditSources(Protocol):
    """Where steps and their domain events are looked up."""

    def steps_of(self, keys: Collection[str]) -> Mapping[str, AuditStep]:
        """Steps by key; what is none is left out."""
        ...

    def happened_at(self, positions: Collection[int]) -> Mapping[int, DomainEvent]:
        """Domain events of the log by position."""
        ...


def told(steps: Sequence[AuditStep], sources: AuditSources) -> list[AuditTrailRow]:
    """The steps, each with its cause.

    Raises ReadModelsUnavailable where the log has nothing at a position that the trail names: somebody took it out, or
    put an older log in its place.
    """
    happened = dict(sources.happened_at([step.position for step in steps]))
    causations = {key_of(domain_event.causation_id) for domain_event in happened.values()}
    causes = sources.steps_of(causations)
    missing = {step.position for step in causes.values()} - happened.keys()
    happened.update(sources.happened_at(missing))
    return [_told(step, happened, causes) for step in steps]


def _told(
    step: AuditStep, happened: Mapping[int, DomainEvent], causes: Mapping[str, AuditStep]
) -> AuditTrailRow:
    domain_event = _at(step, happened)
    causation_id = domain_event.causation_id
    found, cause = causes.get(key_of(causation_id)), None
    if found is not None:
        cause = step_of(
            found.position, _at(found, happened), UUID(found.dr_event_id), found.facility_id, None
        )
    return step_of(step.position, domain_event, UUID(step.dr_event_id), step.facility_id, cause)


def _at(step: AuditStep, happened: Mapping[int, DomainEvent]) -> DomainEvent:
    domain_event = happened.get(step.position)
    if domain_event is None:
        raise ReadModelsUnavailable(
            f"the log has nothing at position {step.position}, which the audit trail names; "
            "run `gridproof audit verify`, and rebuild the audit trail"
        )
    return domain_event


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
