"""Documents of the audit trail, as the API publishes them.

Steps list their fields. The states of the aggregates are published whole, since an auditor compares them with the log
(ADR 0056).
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from domain.dispatch import DispatchState
from domain.dr_event import DREventState
from domain.event_sourcing.decoders import converted
from domain.facility import FacilityState
from domain.program import ProgramState
from projections.audit.administration import Act, ActKind
from projections.audit.replay import AuditDocument
from projections.audit.steps import AuditTrailRow
from projections.audit.stream_log import AsOf
from projections.audit.subject_replay import FacilityReplay, ProgramReplay


class CauseDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The cause of a domain event. A command is not recorded itself; only its id is known."""

    kind: Literal["domain_event", "command"]
    causation_id: UUID
    position: int | None = None
    topic: str | None = None
    what: str | None = None


class AuditStepDocument(msgspec.Struct, frozen=True, kw_only=True, tag="step"):
    """A recorded step of a DR event."""

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
    """The reason given, if there is one."""
    caused_by: CauseDocument
    correlation_id: UUID
    trace_id: str
    tenant: str | None


class AuditReplayDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Every step of a DR event up to a position of the log, and the states then."""

    dr_event_id: UUID
    utility_id: str
    utility_event_id: str
    as_of: AsOf | None
    """A moment, a position, or neither."""
    position: int
    """The last position of the log taken into account."""
    steps: tuple[AuditStepDocument, ...]
    dr_event: DREventState
    """The state then, folded by the aggregate's own rules."""
    dispatches: dict[str, DispatchState]
    """Facility id -> the state then."""
    reserved_facilities: tuple[str, ...]
    """Those reserved for the DR event then."""


def audit_replay_document(replayed: AuditDocument) -> AuditReplayDocument:
    return AuditReplayDocument(
        dr_event_id=replayed.dr_event_id,
        utility_id=replayed.utility_id,
        utility_event_id=replayed.utility_event_id,
        as_of=replayed.as_of,
        position=replayed.position,
        steps=tuple(map(audit_step_document, replayed.steps)),
        dr_event=replayed.dr_event,
        dispatches=replayed.dispatches,
        reserved_facilities=replayed.reserved_facilities,
    )


def audit_step_document(row: AuditTrailRow) -> AuditStepDocument:
    return converted(row, AuditStepDocument, from_attributes=True)


class ActDocument(msgspec.Struct, frozen=True, kw_only=True):
    """An administrative act, or one change of a facility or a program."""

    position: int
    domain_event_id: UUID
    recorded_at: datetime
    kind: ActKind
    who: str
    """The actor: `operator:<key id>`, `operator:cli/<id>`, `worker:<name>`, `system`."""
    topic: str
    what: str
    """A sentence, with what was in force before."""
    why: str | None = None
    """The reason given, if there is one."""
    facility_ids: tuple[str, ...] = ()
    """Those that it names; of an import the first hundred."""
    program_id: str | None = None
    dr_event_id: UUID | None = None
    correlation_id: UUID
    """One for the beginning and the end of an import, and for everything that it recorded."""
    causation_id: UUID
    """The command, or the domain event, that led to it."""
    trace_id: str


class FacilityReplayDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Every change of a facility up to a position of the log, and its state then."""

    facility_id: str
    as_of: AsOf | None
    """A moment, a position, or neither."""
    position: int
    """The last position of the log taken into account."""
    steps: tuple[ActDocument, ...]
    """In the order of the log: its own domain events, and the administrative acts that name it."""
    facility: FacilityState
    """The state then, folded by the aggregate's own rules; without coordinates, which stand beside the log, and
    without where its credentials are stored."""


class ProgramReplayDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Every change of a program up to a position of the log, and its state then."""

    program_id: str
    utility_id: str
    as_of: AsOf | None
    """A moment, a position, or neither."""
    position: int
    """The last position of the log taken into account."""
    steps: tuple[ActDocument, ...]
    program: ProgramState
    """The state then: every version of its terms."""


def act_document(act: Act) -> ActDocument:
    return converted(act, ActDocument, from_attributes=True)


def facility_replay_document(replayed: FacilityReplay) -> FacilityReplayDocument:
    return FacilityReplayDocument(
        facility_id=replayed.facility_id,
        as_of=replayed.as_of,
        position=replayed.position,
        steps=tuple(map(act_document, replayed.steps)),
        facility=replayed.facility,
    )


def program_replay_document(replayed: ProgramReplay) -> ProgramReplayDocument:
    return ProgramReplayDocument(
        program_id=replayed.program_id,
        utility_id=replayed.utility_id,
        as_of=replayed.as_of,
        position=replayed.position,
        steps=tuple(map(act_document, replayed.steps)),
        program=replayed.program,
    )
