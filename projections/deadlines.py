"""Deadlines: what falls due when, derived from the log, so that a restart loses none of them.

`prepare`, `start`, `end`, `plan_retry` and `measure` are one each per DR event; `restore_retry` and `restore`, the next
zone that waits to be let go, are per dispatch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal, get_args
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.event_sourcing.aggregate import DomainEvent
from projections.engine.projection import FilterKind, MissingRow, Rows, existing, sortable

DeadlineKind = Literal["prepare", "start", "end", "plan_retry", "measure", "restore_retry", "restore"]
MEASURE_AFTER = timedelta(seconds=120)
"""How long after the window its readings are awaited before it is measured."""

_OF_A_DR_EVENT: tuple[DeadlineKind, ...] = tuple(
    kind for kind in get_args(DeadlineKind) if kind not in {"restore_retry", "restore"}
)


class DeadlineRow(msgspec.Struct, frozen=True, kw_only=True):
    """One deadline. `caused_by` is the domain event that set it: the causation of what is proposed when due."""

    kind: DeadlineKind
    stream_id: UUID
    due_at: datetime
    dr_event_id: UUID
    facility_id: str | None
    """Of `restore_retry` and `restore`; None for the DR event as a whole."""
    starts_at: datetime | None
    ends_at: datetime | None
    """The window of the DR event; those of a dispatch go without."""
    caused_by: UUID
    correlation_id: UUID
    trace_id: str
    tenant: str | None


def key_of(kind: DeadlineKind, stream_id: UUID) -> str:
    """The stream is that of the DR event, or of the dispatch for `restore_retry` and `restore`."""
    return f"{kind}:{stream_id}"


class DeadlinesProjection:
    name: ClassVar[str] = "deadlines"
    version: ClassVar[int] = 2
    row_type: ClassVar[type[DeadlineRow]] = DeadlineRow
    newest_first: ClassVar[bool] = False
    independent_streams: ClassVar[bool] = True
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
        return sortable(row.due_at)

    def tenant(self, row: DeadlineRow) -> str | None:
        return row.tenant

    def wanted(self, domain_event: DomainEvent) -> Iterable[str]:
        if isinstance(domain_event, DREvent.Event):
            return [key_of(kind, domain_event.originator_id) for kind in ("start", "end", "prepare")]
        return []

    def fold(self, position: int, domain_event: DomainEvent, rows: Rows[DeadlineRow]) -> None:
        change = _CHANGES.get(type(domain_event))
        if change is not None:
            change(domain_event, rows)


def _accepted(happened: DREvent.Accepted, rows: Rows[DeadlineRow]) -> None:
    rows.put(
        DeadlineRow(
            kind="start",
            stream_id=happened.originator_id,
            due_at=happened.notice.starts_at,
            dr_event_id=happened.originator_id,
            facility_id=None,
            starts_at=happened.notice.starts_at,
            ends_at=happened.notice.ends_at,
            **_origin(happened),
        )
    )


def _scheduled(happened: DREvent.Scheduled, rows: Rows[DeadlineRow]) -> None:
    _drop(happened, rows, "plan_retry")
    _set(happened, rows, kind="prepare", like="start", due_at=happened.prepare_at)


def _modified(happened: DREvent.Modified, rows: Rows[DeadlineRow]) -> None:
    """What is still to come moves; the preparation is set by the new plan."""
    notice = happened.notice
    for kind, due_at in (("start", notice.starts_at), ("end", notice.ends_at)):
        known = rows.get(f"{kind}:{happened.originator_id}")
        if known is not None:
            moved = replace(known, due_at=due_at, starts_at=notice.starts_at, ends_at=notice.ends_at)
            rows.put(replace(moved, **_origin(happened)))


def _replanned(happened: DREvent.Replanned, rows: Rows[DeadlineRow]) -> None:
    waits = rows.get(key_of("prepare", happened.originator_id)) is not None
    if waits or happened.back_to_scheduled:
        _set(happened, rows, kind="prepare", like="start", due_at=happened.prepare_at)


def _let_go(happened: DREvent.CancelledWhileActive | DREvent.BatchAborted, rows: Rows[DeadlineRow]) -> None:
    """The window ends here; what was delivered until now is measured."""
    released_at = happened.recorded_at
    known = rows.get(key_of("end", happened.originator_id))
    if known is not None:
        measured = replace(known, kind="measure", due_at=released_at + MEASURE_AFTER, ends_at=released_at)
        rows.put(replace(measured, **_origin(happened)))
    _drop(happened, rows, "start", "prepare", "plan_retry", "end")


def _restore_planned(happened: Dispatch.RestorePlanned, rows: Rows[DeadlineRow]) -> None:
    due_at = min(step.not_before for step in happened.steps)
    rows.put(_of_dispatch(happened, "restore", due_at))


def _planning_refused(happened: DREvent.PlanningRefused, rows: Rows[DeadlineRow]) -> None:
    _set(happened, rows, kind="plan_retry", like="start", due_at=happened.retry_at)


def _preparation_started(happened: DREvent.PreparationStarted, rows: Rows[DeadlineRow]) -> None:
    _drop(happened, rows, "prepare")


def _started(happened: DREvent.Started, rows: Rows[DeadlineRow]) -> None:
    _set(happened, rows, kind="end", like="start", due_at=_window_end(happened, rows, "start"))
    _drop(happened, rows, "start", "prepare")


def _ended(happened: DREvent.Ended, rows: Rows[DeadlineRow]) -> None:
    _set(
        happened, rows, kind="measure", like="end", due_at=_window_end(happened, rows, "end") + MEASURE_AFTER
    )
    _drop(happened, rows, "end")


def _completed(happened: DREvent.Completed, rows: Rows[DeadlineRow]) -> None:
    _drop(happened, rows, "start", "prepare", "plan_retry", "end")


def _cancelled(happened: DREvent.Cancelled, rows: Rows[DeadlineRow]) -> None:
    _drop(happened, rows, *_OF_A_DR_EVENT)


def _measured(happened: DREvent.Measured, rows: Rows[DeadlineRow]) -> None:
    _drop(happened, rows, "measure")


def _restore_failed(happened: Dispatch.RestoreFailed, rows: Rows[DeadlineRow]) -> None:
    rows.put(_of_dispatch(happened, "restore_retry", happened.retry_at))


def _of_dispatch(happened: Dispatch.Event, kind: DeadlineKind, due_at: datetime) -> DeadlineRow:
    return DeadlineRow(
        kind=kind,
        stream_id=happened.originator_id,
        due_at=due_at,
        dr_event_id=happened.dr_event_id,
        facility_id=happened.facility_id,
        starts_at=None,
        ends_at=None,
        **_origin(happened),
    )


def _put_to_work_again(happened: Dispatch.BmsCommandReissued, rows: Rows[DeadlineRow]) -> None:
    """Of other zones that still wait to be let go it says nothing."""
    _drop(happened, rows, "restore_retry")


def _no_retry_now(happened: Dispatch.Event, rows: Rows[DeadlineRow]) -> None:
    """It goes on already, or nothing is left to restore."""
    _drop(happened, rows, "restore_retry", "restore")


_CHANGES: dict[type[DomainEvent], Callable[[Any, Rows[DeadlineRow]], None]] = {
    DREvent.Accepted: _accepted,
    DREvent.Scheduled: _scheduled,
    DREvent.PlanningRefused: _planning_refused,
    DREvent.PreparationStarted: _preparation_started,
    DREvent.Started: _started,
    DREvent.Ended: _ended,
    DREvent.Completed: _completed,
    DREvent.Cancelled: _cancelled,
    DREvent.Measured: _measured,
    DREvent.Modified: _modified,
    DREvent.Replanned: _replanned,
    DREvent.CancelledWhileActive: _let_go,
    DREvent.BatchAborted: _let_go,
    Dispatch.RestorePlanned: _restore_planned,
    Dispatch.RestoreFailed: _restore_failed,
    Dispatch.BmsCommandRequested: _no_retry_now,
    Dispatch.BmsCommandReissued: _put_to_work_again,
    Dispatch.Restored: _no_retry_now,
    Dispatch.RestoredByHand: _no_retry_now,
    Dispatch.Compensated: _no_retry_now,
}


def _origin(happened: DomainEvent) -> dict[str, Any]:
    return {
        "caused_by": happened.domain_event_id,
        "correlation_id": happened.correlation_id,
        "trace_id": happened.trace_id,
        "tenant": happened.tenant,
    }


def _window_end(happened: DREvent.Event, rows: Rows[DeadlineRow], kind: DeadlineKind) -> datetime:
    ends_at = existing(rows, key_of(kind, happened.originator_id), happened).ends_at
    if ends_at is None:
        raise MissingRow(f"the deadline {kind} of DR event {happened.originator_id} has no window")
    return ends_at


def _set(
    happened: DomainEvent,
    rows: Rows[DeadlineRow],
    *,
    kind: DeadlineKind,
    like: DeadlineKind,
    due_at: datetime,
) -> None:
    """Put a deadline whose DR event, facility and window are those of the deadline `like` of the same stream."""
    known = existing(rows, key_of(like, happened.originator_id), happened)
    rows.put(replace(known, kind=kind, due_at=due_at, **_origin(happened)))


def _drop(happened: DomainEvent, rows: Rows[DeadlineRow], *kinds: DeadlineKind) -> None:
    for kind in kinds:
        rows.delete(key_of(kind, happened.originator_id))
