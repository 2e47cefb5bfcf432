"""Every domain event of the log as a row for people: the steps of DR events, and everything else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from itertools import islice
from uuid import UUID

import msgspec

from domain.aggregates import topics_of
from domain.event_sourcing.aggregate import DomainEvent
from domain.telemetry.sealed_readings import DaySeals, HistorySeals
from projections.audit.administration import SubjectHistory, subjects_of
from projections.audit.descriptions import reason_of, topic_of
from projections.audit.steps import AuditTrailRow, Cause, cause_of
from projections.audit.stream_log import StreamEntry, StreamLog
from projections.audit.trail import key_of

BATCH = 1_000


class RecordedAct(msgspec.Struct, frozen=True, kw_only=True, tag="act"):
    """A domain event that is no step of a DR event; its fields are those of a step."""

    position: int
    domain_event_id: UUID
    dr_event_id: UUID | None
    facility_id: str | None
    """Of several, the first one."""
    program_id: str | None
    recorded_at: datetime
    who: str
    what: str
    topic: str
    why: str | None
    caused_by: Cause
    correlation_id: UUID
    trace_id: str
    tenant: str | None


AuditRow = AuditTrailRow | RecordedAct
StepsByKey = Callable[[Collection[str]], Mapping[str, AuditTrailRow]]


def every_row(log: StreamLog, steps_by_key: StepsByKey, *, until: int) -> Iterator[AuditRow]:
    """In the order of the log, one for each position up to `until`. `steps_by_key`: those of the audit trail, which
    must have reached that position. Raises StreamLogUnavailable or ReadModelsUnavailable."""
    entries = log.entries_about(sorted(topics_of()), until=until)
    while batch := list(islice(entries, BATCH)):
        steps = steps_by_key([_key(entry) for entry in batch])
        acts = [entry for entry in batch if _key(entry) not in steps]
        causes = steps_by_key([key_of(entry.domain_event.causation_id) for entry in acts])
        subjects = subjects_of(log, acts)
        for entry in batch:
            yield steps.get(_key(entry)) or _act_row(entry, subjects, causes)


def _key(entry: StreamEntry) -> str:
    return key_of(entry.domain_event.domain_event_id)


def _act_row(
    entry: StreamEntry, subjects: SubjectHistory, causes: Mapping[str, AuditTrailRow]
) -> RecordedAct:
    act = entry.domain_event
    facilities = subjects.facilities_of(act)
    return RecordedAct(
        position=entry.position,
        domain_event_id=act.domain_event_id,
        dr_event_id=getattr(act, "dr_event_id", None),
        facility_id=facilities[0] if facilities else None,
        program_id=subjects.program_of(act),
        recorded_at=act.recorded_at,
        who=act.actor,
        what=_seal_text(act) or subjects.text_of(entry),
        topic=topic_of(act),
        why=reason_of(act),
        caused_by=cause_of(act.causation_id, causes.get(key_of(act.causation_id))),
        correlation_id=act.correlation_id,
        trace_id=act.trace_id,
        tenant=act.tenant,
    )


def _seal_text(act: DomainEvent) -> str | None:
    match act:
        case DaySeals.Opened(facility_id=facility_id, month=month):
            return f"the readings of {facility_id} in {month} are sealed from now on"
        case DaySeals.Sealed(facility_id=facility_id, day=day, revision=revision):
            return f"the readings of {facility_id} on {day} are sealed (revision {revision})"
        case HistorySeals.Opened(facility_id=facility_id):
            return f"the imports of history of {facility_id} are sealed from now on"
        case HistorySeals.Sealed(facility_id=facility_id, rows=rows, first_day=first_day):
            return f"an import of {rows} rows of history of {facility_id} is sealed, from {first_day} on"
        case _:
            return None
