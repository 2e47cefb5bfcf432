"""DR events as the utility and the dashboard see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Literal
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.dr_event import (
    Batch,
    CallbackKind,
    DREvent,
    DREventStatus,
    FacilityTarget,
    Outcome,
    Reason,
    SettlementStatus,
)
from domain.event_sourcing import DomainEvent
from projections.read_model import FilterKind, Rows, existing, sortable


class CallbackRow(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that the utility was, or is to be, told."""

    kind: CallbackKind
    state: Literal["requested", "delivered", "undeliverable"]
    requested_at: datetime
    concluded_at: datetime | None = None
    attempts: int = 0
    failure: str | None = None


class DREventRow(msgspec.Struct, frozen=True, kw_only=True):
    """One DR event. kW are means over the window; times UTC; a moment that has not come is None."""

    dr_event_id: UUID
    utility_id: str
    utility_event_id: str
    status: DREventStatus
    settlement_status: SettlementStatus = "none"
    outcome: Outcome | None = None

    notification_id: str | None = None
    modification_number: int = 0
    program_id: str | None = None
    program_version: int = 0
    priority: int = 0
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    target_kw: float = 0.0
    facility_ids: tuple[str, ...] = ()
    wants_callbacks: bool = False

    capacity_kw: float = 0.0
    capacity_source: str = ""
    shortfall_kw: float = 0.0
    reasons: tuple[Reason, ...] = ()
    """Of the rejection, or of the last refusal to plan; empty once it goes on."""
    plan_revision: int = 0
    prepare_at: datetime | None = None
    plan_retry_at: datetime | None = None
    targets: tuple[FacilityTarget, ...] = ()
    missing_kw: float = 0.0

    batch: Batch | None = None
    failed_facilities: tuple[str, ...] = ()
    cancellation_reason: str | None = None
    delivered_kw: float | None = None
    measured_facilities: int | None = None
    unmeasured_facilities: tuple[str, ...] = ()
    callbacks: dict[str, CallbackRow] = {}
    """Callback id -> its fate."""

    opened_at: datetime
    accepted_at: datetime | None = None
    rejected_at: datetime | None = None
    scheduled_at: datetime | None = None
    preparation_started_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    completed_at: datetime | None = None
    cancelled_at: datetime | None = None
    measured_at: datetime | None = None
    changed_at: datetime
    correlation_id: UUID
    trace_id: str
    domain_events: int
    """How many were recorded in its stream."""


def key_of(dr_event_id: UUID) -> str:
    return str(dr_event_id)


class DREventsProjection:
    name: ClassVar[str] = "dr_events"
    version: ClassVar[int] = 1
    row_type: ClassVar[type[DREventRow]] = DREventRow
    newest_first: ClassVar[bool] = True
    filters: ClassVar[Mapping[str, FilterKind]] = {
        "status": "equals",
        "settlement_status": "equals",
        "outcome": "equals",
        "program_id": "equals",
        "utility_id": "equals",
        "utility_event_id": "equals",
        "facility_ids": "contains",
    }

    def key(self, row: DREventRow) -> str:
        return key_of(row.dr_event_id)

    def sort_key(self, row: DREventRow) -> str:
        return sortable(row.opened_at)

    def tenant(self, row: DREventRow) -> str | None:
        return row.utility_id

    def wanted(self, domain_event: DomainEvent) -> Iterable[str]:
        return [key_of(domain_event.originator_id)] if isinstance(domain_event, DREvent.Event) else []

    def fold(self, position: int, domain_event: DomainEvent, rows: Rows[DREventRow]) -> None:
        if isinstance(domain_event, DREvent.Opened):
            rows.put(_opened(domain_event))
        elif isinstance(domain_event, DREvent.Event):
            row = existing(rows, key_of(domain_event.originator_id), domain_event)
            change = _CHANGES.get(type(domain_event))
            changed = row if change is None else change(domain_event, row)
            rows.put(
                replace(
                    changed,
                    changed_at=domain_event.recorded_at,
                    domain_events=domain_event.originator_version,
                )
            )


def _opened(happened: DREvent.Opened) -> DREventRow:
    return DREventRow(
        dr_event_id=happened.originator_id,
        utility_id=happened.utility_id,
        utility_event_id=happened.utility_event_id,
        status="opened",
        opened_at=happened.recorded_at,
        changed_at=happened.recorded_at,
        correlation_id=happened.correlation_id,
        trace_id=happened.trace_id,
        domain_events=happened.originator_version,
    )


def _judged(happened: DREvent.Accepted | DREvent.Rejected, row: DREventRow) -> DREventRow:
    notice = happened.notice
    return replace(
        row,
        notification_id=notice.notification_id,
        modification_number=notice.modification_number,
        program_id=notice.program_id,
        priority=notice.priority,
        starts_at=notice.starts_at,
        ends_at=notice.ends_at,
        target_kw=notice.target_kw,
        facility_ids=notice.facility_ids,
        wants_callbacks=notice.callback_url is not None,
        correlation_id=happened.correlation_id,
        trace_id=happened.trace_id,
    )


def _accepted(happened: DREvent.Accepted, row: DREventRow) -> DREventRow:
    return replace(
        _judged(happened, row),
        status="accepted",
        reasons=(),
        program_version=happened.program_version,
        capacity_kw=happened.capacity_kw,
        capacity_source=happened.capacity_source,
        shortfall_kw=happened.shortfall_kw,
        accepted_at=happened.recorded_at,
        rejected_at=None,
    )


def _rejected(happened: DREvent.Rejected, row: DREventRow) -> DREventRow:
    return replace(
        _judged(happened, row),
        status="rejected",
        reasons=happened.reasons,
        rejected_at=happened.recorded_at,
    )


def _scheduled(happened: DREvent.Scheduled, row: DREventRow) -> DREventRow:
    return replace(
        row,
        status="scheduled",
        reasons=(),
        plan_revision=happened.plan_revision,
        prepare_at=happened.prepare_at,
        plan_retry_at=None,
        targets=happened.targets,
        missing_kw=happened.missing_kw,
        scheduled_at=happened.recorded_at,
    )


def _planning_refused(happened: DREvent.PlanningRefused, row: DREventRow) -> DREventRow:
    return replace(row, reasons=happened.reasons, plan_retry_at=happened.retry_at)


def _preparation_started(happened: DREvent.PreparationStarted, row: DREventRow) -> DREventRow:
    return replace(row, status="preparing", preparation_started_at=happened.recorded_at)


def _started(happened: DREvent.Started, row: DREventRow) -> DREventRow:
    return replace(row, status="active", started_at=happened.recorded_at)


def _ended(happened: DREvent.Ended, row: DREventRow) -> DREventRow:
    return replace(row, status="recovering", ended_at=happened.recorded_at)


def _completed(happened: DREvent.Completed, row: DREventRow) -> DREventRow:
    return replace(
        row,
        status="completed",
        outcome=happened.outcome,
        batch=happened.batch,
        failed_facilities=happened.failed_facilities,
        plan_retry_at=None,
        completed_at=happened.recorded_at,
    )


def _cancelled(happened: DREvent.Cancelled, row: DREventRow) -> DREventRow:
    return replace(
        row,
        status="cancelled",
        cancellation_reason=happened.reason,
        plan_retry_at=None,
        cancelled_at=happened.recorded_at,
    )


def _measured(happened: DREvent.Measured, row: DREventRow) -> DREventRow:
    return replace(
        row,
        settlement_status="measured",
        delivered_kw=happened.delivered_kw,
        measured_facilities=happened.measured_facilities,
        unmeasured_facilities=happened.unmeasured_facilities,
        measured_at=happened.recorded_at,
    )


def _callback_requested(happened: DREvent.CallbackRequested, row: DREventRow) -> DREventRow:
    requested = CallbackRow(kind=happened.kind, state="requested", requested_at=happened.recorded_at)
    return replace(row, callbacks={**row.callbacks, str(happened.callback_id): requested})


def _callback_delivered(happened: DREvent.CallbackDelivered, row: DREventRow) -> DREventRow:
    return _callback_concluded(happened, row, state="delivered", failure=None)


def _callback_undeliverable(happened: DREvent.CallbackUndeliverable, row: DREventRow) -> DREventRow:
    return _callback_concluded(happened, row, state="undeliverable", failure=happened.reason)


def _callback_concluded(
    happened: DREvent.CallbackDelivered | DREvent.CallbackUndeliverable,
    row: DREventRow,
    *,
    state: Literal["delivered", "undeliverable"],
    failure: str | None,
) -> DREventRow:
    key = str(happened.callback_id)
    concluded = replace(
        row.callbacks[key],
        state=state,
        failure=failure,
        attempts=happened.attempts,
        concluded_at=happened.recorded_at,
    )
    return replace(row, callbacks={**row.callbacks, key: concluded})


_CHANGES: dict[type[DomainEvent], Callable[[Any, DREventRow], DREventRow]] = {
    DREvent.Accepted: _accepted,
    DREvent.Rejected: _rejected,
    DREvent.Scheduled: _scheduled,
    DREvent.PlanningRefused: _planning_refused,
    DREvent.PreparationStarted: _preparation_started,
    DREvent.Started: _started,
    DREvent.Ended: _ended,
    DREvent.Completed: _completed,
    DREvent.Cancelled: _cancelled,
    DREvent.Measured: _measured,
    DREvent.CallbackRequested: _callback_requested,
    DREvent.CallbackDelivered: _callback_delivered,
    DREvent.CallbackUndeliverable: _callback_undeliverable,
}
