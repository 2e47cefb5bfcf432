"""Open work of recorded intents: which intents of a save get a row of `open_work`, and what such a row asks for.

A row says only where its intent stands in the log. Everything else is read from there, so a row that somebody made up
can do no more than repeat a recorded intent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

import msgspec

from application.ports.dispatch.open_work import WorkKind
from application.ports.dispatch.requested_work import BmsTask, BmsWork, CallbackWork
from application.ports.event_store.event_log import EventLog
from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.event_sourcing.aggregate import DomainEvent

_PAGE = 8
"""Entries in one read of the log: the commands of most buildings, with what was recorded between them."""


class IntentNotRecorded(LookupError):
    """At that position of the log stands no intent that a worker carries out."""


class NewWork(msgspec.Struct, frozen=True):
    """A row for one intent of a save."""

    index: int
    """Of the intent, among the domain events of the save."""
    kind: WorkKind
    queue: str


def open_work_of(domain_events: Sequence[DomainEvent]) -> list[NewWork]:
    """The rows for the domain events of one save, in their order.

    The commands that one decision requests for a building are one piece of work: its zones are commanded one after the
    other. It stands where the first of them stands.
    """
    rows: list[NewWork] = []
    requested: set[tuple[UUID, UUID]] = set()
    for index, domain_event in enumerate(domain_events):
        match domain_event:
            case Dispatch.BmsCommandRequested():
                decision = _decision_of(domain_event)
                if decision not in requested:
                    requested.add(decision)
                    rows.append(NewWork(index, "bms", domain_event.facility_id))
            case Dispatch.BmsCommandReissued() | Dispatch.Committed():
                rows.append(NewWork(index, "bms", domain_event.facility_id))
            case DREvent.CallbackRequested():
                rows.append(NewWork(index, "callback", CallbackWork.of(domain_event).utility_id))
            case _:
                pass
    return rows


def recorded_work(log: EventLog, position: int) -> BmsWork | CallbackWork:
    """The work of the intent at `position` of the log.

    Raises IntentNotRecorded, LogEntryUnreadable (a newer release recorded it) or EventStoreUnavailable.
    """
    entries = _entries_from(log, position)
    intent = next(entries, None)
    match intent:
        case Dispatch.BmsCommandRequested():
            first, *more = _requested_together(intent, entries)
            return _bms_work(intent, "command", first, tuple(more))
        case Dispatch.BmsCommandReissued(command_id=command_id, issue=issue):
            return _bms_work(intent, "command", command_id, issue=issue)
        case Dispatch.Committed():
            return _bms_work(intent, "verify", None)
        case DREvent.CallbackRequested():
            return CallbackWork.of(intent)
        case _:
            raise IntentNotRecorded(f"no intent at position {position} of the log")


def _decision_of(domain_event: DomainEvent) -> tuple[UUID, UUID]:
    return domain_event.originator_id, domain_event.causation_id


def _entries_from(log: EventLog, position: int) -> Iterator[DomainEvent]:
    """The domain events from `position` on; none if nothing stands there."""
    page = log.read_after(position - 1, 1)  # alone: what a newer release wrote behind it does not matter
    if not page or page[0].position != position:
        return
    while page:
        yield from (entry.domain_event for entry in page)
        page = log.read_after(page[-1].position, _PAGE)


def _requested_together(
    first: Dispatch.BmsCommandRequested, entries: Iterator[DomainEvent]
) -> Iterator[UUID]:
    """The commands of the decision that requested `first`, whose domain events follow each other in the log."""
    yield first.command.command_id
    for domain_event in entries:
        if _decision_of(domain_event) != _decision_of(first):
            return
        if isinstance(domain_event, Dispatch.BmsCommandRequested):
            yield domain_event.command.command_id


def _bms_work(
    intent: Dispatch.Event,
    task: BmsTask,
    command_id: UUID | None,
    more: tuple[UUID, ...] = (),
    *,
    issue: int = 1,
) -> BmsWork:
    return BmsWork(
        task=task,
        dr_event_id=intent.dr_event_id,
        facility_id=intent.facility_id,
        command_id=command_id,
        issue=issue,
        more=more,
        correlation_id=intent.correlation_id,
        causation_id=intent.domain_event_id,
        tenant=intent.tenant,
        trace_id=intent.trace_id,
    )
