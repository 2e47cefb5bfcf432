"""The steps of a DR event as the audit trail returns them: actor, description, reason and cause."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

import msgspec

from domain.event_sourcing.aggregate import DomainEvent
from projections.audit.descriptions import description_of, reason_of, topic_of
from projections.audit.trail import AuditStep, key_of
from projections.engine.projection import ReadModelsUnavailable


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """The cause of a domain event. A command is not recorded itself; only its id is available."""

    kind: Literal["domain_event", "command"]
    causation_id: UUID
    position: int | None = None
    topic: str | None = None
    what: str | None = None


class AuditTrailRow(msgspec.Struct, frozen=True, kw_only=True, tag="step"):
    """A step of a DR event."""

    position: int
    domain_event_id: UUID
    dr_event_id: UUID
    facility_id: str | None
    recorded_at: datetime
    who: str
    """The actor: `utility:<id>`, `operator:<key id>`, `worker:<name>`, `saga:dispatch`."""
    what: str
    """The description."""
    topic: str
    why: str | None
    """The recorded reason, if there is one."""
    caused_by: Cause
    correlation_id: UUID
    trace_id: str
    tenant: str | None


class AuditSources(Protocol):
    """The sources of steps and of their domain events."""

    def steps_of(self, keys: Collection[str]) -> Mapping[str, AuditStep]:
        """Steps by key; unknown keys are left out."""
        ...

    def domain_events_at(self, positions: Collection[int]) -> Mapping[int, DomainEvent]:
        """Domain events of the log by position."""
        ...


def resolve_steps(steps: Sequence[AuditStep], sources: AuditSources) -> list[AuditTrailRow]:
    """The steps with the content of their domain events, each with its cause.

    Raises ReadModelsUnavailable if the log has no domain event at a position that the trail names: rows of the log
    were deleted, or an older log was restored.
    """
    by_position = dict(sources.domain_events_at([step.position for step in steps]))
    causations = {key_of(domain_event.causation_id) for domain_event in by_position.values()}
    causes = sources.steps_of(causations)
    missing = {step.position for step in causes.values()} - by_position.keys()
    by_position.update(sources.domain_events_at(missing))
    return [_resolved(step, by_position, causes) for step in steps]


def _resolved(
    step: AuditStep, by_position: Mapping[int, DomainEvent], causes: Mapping[str, AuditStep]
) -> AuditTrailRow:
    domain_event = _at(step, by_position)
    cause_step, cause = causes.get(key_of(domain_event.causation_id)), None
    if cause_step is not None:
        cause = step_of(
            cause_step.position,
            _at(cause_step, by_position),
            UUID(cause_step.dr_event_id),
            cause_step.facility_id,
            None,
        )
    return step_of(step.position, domain_event, UUID(step.dr_event_id), step.facility_id, cause)


def _at(step: AuditStep, by_position: Mapping[int, DomainEvent]) -> DomainEvent:
    domain_event = by_position.get(step.position)
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
    """A domain event as a step of `dr_event_id`; `cause` is the step whose id is its causation id."""
    return AuditTrailRow(
        position=position,
        domain_event_id=domain_event.domain_event_id,
        dr_event_id=dr_event_id,
        facility_id=facility_id,
        recorded_at=domain_event.recorded_at,
        who=domain_event.actor,
        what=description_of(domain_event, facility_id),
        topic=topic_of(domain_event),
        why=reason_of(domain_event),
        caused_by=cause_of(domain_event.causation_id, cause),
        correlation_id=domain_event.correlation_id,
        trace_id=domain_event.trace_id,
        tenant=domain_event.tenant,
    )


def cause_of(causation_id: UUID, cause: AuditTrailRow | None) -> Cause:
    """The step that caused it, or the id of the command."""
    if cause is None:
        return Cause(kind="command", causation_id=causation_id)
    return Cause(
        kind="domain_event",
        causation_id=causation_id,
        position=cause.position,
        topic=cause.topic,
        what=cause.what,
    )
