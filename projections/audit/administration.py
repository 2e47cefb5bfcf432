"""Administrative acts as the audit shows them, each with a sentence."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec
from eventsourcing.utils import get_topic

from domain.administration import AdministrativeAct
from domain.event_sourcing.aggregate import DomainEvent
from projections.audit.description_parts import moment_text
from projections.audit.stream_log import StreamEntry, StreamLog


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One administrative act."""

    position: int
    domain_event_id: UUID
    recorded_at: datetime
    who: str
    """The actor: `operator:<key id>`, `operator:cli/<id>`, `worker:<name>`, `system`."""
    topic: str
    what: str
    """A sentence."""
    correlation_id: UUID
    """One for the beginning and the end of an import, and for everything that it recorded."""


class Acts(msgspec.Struct, frozen=True, kw_only=True):
    """A page of acts, the newest first."""

    acts: tuple[Act, ...]
    next_before: int | None = None
    """The position before which the next page begins; None on the last page."""


def read_acts(log: StreamLog, *, before: int | None, limit: int) -> Acts:
    """Raises StreamLogUnavailable."""
    entries = log.acts(before=before, limit=limit + 1)
    page = entries[:limit]
    return Acts(
        acts=tuple(map(_act, page)), next_before=page[-1].position if len(entries) > limit and page else None
    )


def _act(entry: StreamEntry) -> Act:
    act = entry.domain_event
    return Act(
        position=entry.position,
        domain_event_id=act.domain_event_id,
        recorded_at=act.recorded_at,
        who=act.actor,
        topic=get_topic(type(act)),
        what=act_text(act),
        correlation_id=act.correlation_id,
    )


def act_text(act: DomainEvent) -> str:
    """What was done, in one sentence; without names, which the log does not hold."""
    match act:
        case AdministrativeAct.ApiKeyIssued():
            scope = act.utility_id or act.facility_id
            until = f", valid until {moment_text(act.expires_at)}" if act.expires_at else ""
            instead = f", in place of {act.replaces}" if act.replaces else ""
            return f"API key {act.key_id} issued: {act.role}{f' {scope}' if scope else ''}{until}{instead}"
        case AdministrativeAct.ApiKeyRotated():
            return (
                f"API key {act.key_id} is replaced by {act.replaced_by}, "
                f"and expires at {moment_text(act.expires_at)}"
            )
        case AdministrativeAct.ApiKeyRevoked():
            return f"API key {act.key_id} revoked"
        case AdministrativeAct.DeadLettersDecided():
            named = ", ".join(map(str, act.dead_letter_ids[:3])) + (", ..." if act.count > 3 else "")
            return f"{act.count} dead letter{'' if act.count == 1 else 's'} {act.decision}: {named}"
        case AdministrativeAct.HistoryImportBegun():
            named = ", ".join(act.facility_ids[:3]) + (", ..." if act.facilities > 3 else "")
            return (
                f"import of history of {_facilities(act.facilities)} begun: {named} "
                f"(SHA-256 of the file {act.file_sha256})"
            )
        case AdministrativeAct.HistoryImported():
            return (
                f"history of {_facilities(act.facilities)} imported: "
                f"{act.intervals} intervals added, {act.changed} changed"
            )
        case AdministrativeAct.MigrationApplied():
            return f"migration {act.migration} applied at {moment_text(act.applied_at)}"
        case _:
            return type(act).__qualname__


def _facilities(count: int) -> str:
    return f"{count} facilit{'y' if count == 1 else 'ies'}"
