"""Deadlines: what is due and when, derived from the log, so that a restart loses none of them.

`prepare`, `start`, `end`, `plan_retry` and `measure` exist once per DR event; `restore_retry`, and `restore`
for the next zone to be restored, once per dispatch.

Open work is what should have come to an end by then: `recovery`, once per DR event whose buildings are being restored.
These rows sort behind all deadlines, so that `due` returns deadlines only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.event_sourcing.aggregate import DomainEvent
from projections.engine.division import StreamDivision
from projections.engine.projection import FilterKind, MissingRow, Rows, existing, sortable

DeadlineKind = Literal[
    "prepare",
    "start",
    "end",
    "plan_retry",
    "measure",
    "restore_retry",
    "restore",
    "recovery",
]
OPEN_WORK: frozenset[DeadlineKind] = frozenset({"recovery"})
"""The kinds that `due` does not return, but `overdue_work`."""
RECOVERED_WITHIN = timedelta(minutes=15)
"""How long after its end, and after its last restore ramp, a DR event may be recovering."""
MEASURE_AFTER = timedelta(seconds=120)
"""How long after the window the measurement waits for readings."""

_OF_CALLBACKS = (DREvent.CallbackRequested, DREvent.CallbackDelivered, DREvent.CallbackUndeliverable)
_OF_A_DR_EVENT: tuple[DeadlineKind, ...] = ("prepare", "start", "end", "plan_retry", "measure", "recovery")


class DeadlineRow(msgspec.Struct, frozen=True, kw_only=True):
    """A deadline. `caused_by` is the domain event that set it, and the causation of the command proposed when due."""

    kind: DeadlineKind
    stream_id: UUID
    due_at: datetime
    dr_event_id: UUID
    facility_id: str | None
    """Of `restore_retry` and `restore`; None for the DR event as a whole."""
    starts_at: datetime | None
    ends_at: datetime | None
    """The window of the DR event; None for deadlines of a dispatch."""
    caused_by: UUID
    correlation_id: UUID
    trace_id: str
    tenant: str | None


def key_of(kind: DeadlineKind, stream_id: UUID) -> str:
    """The stream is that of the DR event, or of the dispatch for `restore_retry` and `restore`."""
    return f"{kind}:{stream_id}"


def open_work_sort_key(kind: DeadlineKind, due_at: datetime | None = None) -> str:
    """It begins with a letter, and so sorts after those of deadlines, which begin with a digit. Without a moment it is
    the first of its kind.
    """
    return f"{kind} {'' if due_at is None else sortable(due_at)}"


class DeadlinesProjection(StreamDivision):
    """The projection behind the read model `deadlines`."""

    name: ClassVar[str] = "deadlines"
    version: ClassVar[int] = 4
    row_type: ClassVar[type[DeadlineRow]] = DeadlineRow
    newest_first: ClassVar[bool] = False
    facts: ClassVar[None] = None
    filters: ClassVar[Mapping[str, FilterKind]] = {
        "kind": "equals",
        "dr_event_id": "equals",
        "facility_id": "equals",
    }

    @property
    def concerns(self) -> tuple[type[DomainEvent], ...]:
        return tuple(_CHANGES)

    def key(self, row: DeadlineRow) -> str:
        return key_of(row.kind, row.stream_id)

    def sort_key(self, row: DeadlineRow) -> str | None:
        return open_work_sort_key(row.kind, row.due_at) if row.kind in OPEN_WORK else sortable(row.due_at)

    def tenant(self, row: DeadlineRow) -> str | None:
        return row.tenant

    def wanted(self, domain_event: DomainEvent) -> Iterable[str]:
        if isinstance(domain_event, DREvent.Event) and not isinstance(domain_event, _OF_CALLBACKS):
            return [key_of(kind, domain_event.originator_id) for kind in ("start", "end", "prepare")]
        return []

    def fold(self, position: int, domain_event: DomainEvent, rows: Rows[DeadlineRow]) -> None:
        change = _CHANGES.get(type(domain_event))
        if change is not None:
            change(domain_event, rows)


def _accepted(domain_event: DREvent.Accepted, rows: Rows[DeadlineRow]) -> None:
    rows.put(
        DeadlineRow(
            kind="start",
            stream_id=domain_event.originator_id,
            due_at=domain_event.notice.starts_at,
            dr_event_id=domain_event.originator_id,
            facility_id=None,
            starts_at=domain_event.notice.starts_at,
            ends_at=domain_event.notice.ends_at,
            **_origin(domain_event),
        )
    )


def _scheduled(domain_event: DREvent.Scheduled, rows: Rows[DeadlineRow]) -> None:
    _drop(domain_event, rows, "plan_retry")
    _set(domain_event, rows, kind="prepare", like="start", due_at=domain_event.prepare_at)


def _modified(domain_event: DREvent.Modified, rows: Rows[DeadlineRow]) -> None:
    """Pending deadlines move. The preparation is set by the new plan."""
    notice = domain_event.notice
    for kind, due_at in (("start", notice.starts_at), ("end", notice.ends_at)):
        existing_row = rows.get(f"{kind}:{domain_event.originator_id}")
        if existing_row is not None:
            moved = replace(existing_row, due_at=due_at, starts_at=notice.starts_at, ends_at=notice.ends_at)
            rows.put(replace(moved, **_origin(domain_event)))


def _replanned(domain_event: DREvent.Replanned, rows: Rows[DeadlineRow]) -> None:
    is_pending = rows.get(key_of("prepare", domain_event.originator_id)) is not None
    if is_pending or domain_event.back_to_scheduled:
        _set(domain_event, rows, kind="prepare", like="start", due_at=domain_event.prepare_at)


def _released(
    domain_event: DREvent.CancelledWhileActive | DREvent.BatchAborted, rows: Rows[DeadlineRow]
) -> None:
    """The window ends now, if it had begun; what was delivered so far is measured."""
    at = domain_event.recorded_at
    end = rows.get(key_of("end", domain_event.originator_id))
    if end is not None:
        rows.put(replace(end, kind="measure", due_at=at + MEASURE_AFTER, ends_at=at, **_origin(domain_event)))
    like: DeadlineKind = "start" if end is None else "end"
    _set(domain_event, rows, kind="recovery", like=like, due_at=at + RECOVERED_WITHIN)
    _drop(domain_event, rows, "start", "prepare", "plan_retry", "end")


def _restore_planned(domain_event: Dispatch.RestorePlanned, rows: Rows[DeadlineRow]) -> None:
    rows.put(_windowless(domain_event, "restore", min(step.not_before for step in domain_event.steps)))


def _planning_refused(domain_event: DREvent.PlanningRefused, rows: Rows[DeadlineRow]) -> None:
    _set(domain_event, rows, kind="plan_retry", like="start", due_at=domain_event.retry_at)


def _preparation_started(domain_event: DREvent.PreparationStarted, rows: Rows[DeadlineRow]) -> None:
    _drop(domain_event, rows, "prepare")


def _started(domain_event: DREvent.Started, rows: Rows[DeadlineRow]) -> None:
    _set(domain_event, rows, kind="end", like="start", due_at=_window_end(domain_event, rows, "start"))
    _drop(domain_event, rows, "start", "prepare")


def _ended(domain_event: DREvent.Ended, rows: Rows[DeadlineRow]) -> None:
    _set(
        domain_event,
        rows,
        kind="measure",
        like="end",
        due_at=_window_end(domain_event, rows, "end") + MEASURE_AFTER,
    )
    _set(
        domain_event,
        rows,
        kind="recovery",
        like="end",
        due_at=domain_event.recorded_at + RECOVERED_WITHIN,
    )
    _drop(domain_event, rows, "end")


def _completed(domain_event: DREvent.Completed | DREvent.WoundUp, rows: Rows[DeadlineRow]) -> None:
    _drop(domain_event, rows, "start", "prepare", "plan_retry", "end", "recovery")


def _cancelled(domain_event: DREvent.Cancelled, rows: Rows[DeadlineRow]) -> None:
    _drop(domain_event, rows, *_OF_A_DR_EVENT)


def _measured(domain_event: DREvent.Measured, rows: Rows[DeadlineRow]) -> None:
    _drop(domain_event, rows, "measure")


def _restore_failed(domain_event: Dispatch.RestoreFailed, rows: Rows[DeadlineRow]) -> None:
    rows.put(_windowless(domain_event, "restore_retry", domain_event.retry_at))


def _windowless(domain_event: Dispatch.Event, kind: DeadlineKind, due_at: datetime) -> DeadlineRow:
    return DeadlineRow(
        kind=kind,
        stream_id=domain_event.originator_id,
        due_at=due_at,
        dr_event_id=domain_event.dr_event_id,
        facility_id=domain_event.facility_id,
        starts_at=None,
        ends_at=None,
        **_origin(domain_event),
    )


def _command_reissued(domain_event: Dispatch.BmsCommandReissued, rows: Rows[DeadlineRow]) -> None:
    """Only the retry is dropped: other zones may still wait for their restore."""
    _drop(domain_event, rows, "restore_retry")


def _restore_continues(domain_event: Dispatch.Event, rows: Rows[DeadlineRow]) -> None:
    """The restore is under way, or nothing is left to restore."""
    _drop(domain_event, rows, "restore_retry", "restore")


_CHANGES: dict[type[DomainEvent], Callable[[Any, Rows[DeadlineRow]], None]] = {
    DREvent.Accepted: _accepted,
    DREvent.Scheduled: _scheduled,
    DREvent.PlanningRefused: _planning_refused,
    DREvent.PreparationStarted: _preparation_started,
    DREvent.Started: _started,
    DREvent.Ended: _ended,
    DREvent.Completed: _completed,
    DREvent.WoundUp: _completed,
    DREvent.Cancelled: _cancelled,
    DREvent.Measured: _measured,
    DREvent.Modified: _modified,
    DREvent.Replanned: _replanned,
    DREvent.CancelledWhileActive: _released,
    DREvent.BatchAborted: _released,
    Dispatch.RestorePlanned: _restore_planned,
    Dispatch.RestoreFailed: _restore_failed,
    Dispatch.BmsCommandRequested: _restore_continues,
    Dispatch.BmsCommandReissued: _command_reissued,
    Dispatch.Restored: _restore_continues,
    Dispatch.RestoredByHand: _restore_continues,
    Dispatch.Compensated: _restore_continues,
}


def _origin(domain_event: DomainEvent) -> dict[str, Any]:
    return {
        "caused_by": domain_event.domain_event_id,
        "correlation_id": domain_event.correlation_id,
        "trace_id": domain_event.trace_id,
        "tenant": domain_event.tenant,
    }


def _window_end(domain_event: DREvent.Event, rows: Rows[DeadlineRow], kind: DeadlineKind) -> datetime:
    ends_at = existing(rows, key_of(kind, domain_event.originator_id), domain_event).ends_at
    if ends_at is None:
        raise MissingRow(f"the deadline {kind} of DR event {domain_event.originator_id} has no window")
    return ends_at


def _set(
    domain_event: DomainEvent,
    rows: Rows[DeadlineRow],
    *,
    kind: DeadlineKind,
    like: DeadlineKind,
    due_at: datetime,
) -> None:
    """Put a deadline with the DR event, facility and window of the deadline `like` of the same stream."""
    template = existing(rows, key_of(like, domain_event.originator_id), domain_event)
    rows.put(replace(template, kind=kind, due_at=due_at, **_origin(domain_event)))


def _drop(domain_event: DomainEvent, rows: Rows[DeadlineRow], *kinds: DeadlineKind) -> None:
    for kind in kinds:
        rows.delete(key_of(kind, domain_event.originator_id))
