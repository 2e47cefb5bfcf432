"""What each domain event of a DR event changes in its row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from msgspec.structs import replace

from domain.dr_event import DREvent
from domain.event_sourcing.aggregate import DomainEvent
from projections.dr_event.row import CallbackRow, DREventRow

Changed = dict[str, Any]
"""Fields of the row, and what they are then: one row is made of each domain event, not several."""


def row_after(happened: DREvent.Event, row: DREventRow) -> DREventRow:
    """The row after a domain event that is not the first of its DR event."""
    change = _CHANGES.get(type(happened))
    changed = {} if change is None else change(happened, row)
    changed["changed_at"], changed["domain_events"] = happened.recorded_at, happened.originator_version
    return replace(row, **changed)


def opened_row(happened: DREvent.Opened) -> DREventRow:
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


def _judged(happened: DREvent.Accepted | DREvent.Rejected | DREvent.Modified, row: DREventRow) -> Changed:
    notice = happened.notice
    return {
        "notification_id": notice.notification_id,
        "modification_number": notice.modification_number,
        "program_id": notice.program_id,
        "priority": notice.priority,
        "starts_at": notice.starts_at,
        "ends_at": notice.ends_at,
        "requested_starts_at": notice.requested_starts_at,
        "target_kw": notice.target_kw,
        "facility_ids": notice.facility_ids,
        "wants_callbacks": notice.callback_url is not None,
        "correlation_id": happened.correlation_id,
        "trace_id": happened.trace_id,
    }


def _accepted(happened: DREvent.Accepted, row: DREventRow) -> Changed:
    return _judged(happened, row) | {
        "status": "accepted",
        "reasons": (),
        "program_version": happened.program_version,
        "capacity_kw": happened.capacity_kw,
        "capacity_source": happened.capacity_source,
        "capacity_degraded_kw": happened.capacity_degraded_kw,
        "shortfall_kw": happened.shortfall_kw,
        "accepted_at": happened.recorded_at,
        "cancelled_at": None,
        "cancellation_reason": None,
        "rejected_at": None,
    }


def _rejected(happened: DREvent.Rejected, row: DREventRow) -> Changed:
    return _judged(happened, row) | {
        "status": "rejected",
        "reasons": happened.reasons,
        "rejected_at": happened.recorded_at,
    }


def _scheduled(happened: DREvent.Scheduled, row: DREventRow) -> Changed:
    return {
        "status": "scheduled",
        "reasons": (),
        "plan_revision": happened.plan_revision,
        "prepare_at": happened.prepare_at,
        "plan_retry_at": None,
        "targets": happened.targets,
        "missing_kw": happened.missing_kw,
        "scheduled_at": happened.recorded_at,
    }


def _modified(happened: DREvent.Modified, row: DREventRow) -> Changed:
    return _judged(happened, row) | {
        "correlation_id": row.correlation_id,
        "trace_id": row.trace_id,
        "reasons": (),
        "refused_modification": (),
        "plan_retry_at": None,
        "capacity_kw": happened.capacity_kw,
        "capacity_source": happened.capacity_source,
        "capacity_degraded_kw": happened.capacity_degraded_kw,
        "shortfall_kw": happened.shortfall_kw,
        "modified_at": happened.recorded_at,
    }


def _modification_refused(happened: DREvent.ModificationRefused, row: DREventRow) -> Changed:
    return {"refused_modification": happened.reasons}


def _replanned(happened: DREvent.Replanned, row: DREventRow) -> Changed:
    return {
        "status": "scheduled" if happened.back_to_scheduled else row.status,
        "reasons": (),
        "plan_revision": happened.plan_revision,
        "prepare_at": happened.prepare_at,
        "targets": happened.targets,
        "missing_kw": happened.missing_kw,
        "scheduled_at": happened.recorded_at,
    }


def _preempted(happened: DREvent.Preempted, row: DREventRow) -> Changed:
    return {"preempted_facilities": (*row.preempted_facilities, *happened.facility_ids)}


def _batch_aborted(happened: DREvent.BatchAborted, row: DREventRow) -> Changed:
    return {"status": "recovering", "released_at": happened.recorded_at}


def _planning_refused(happened: DREvent.PlanningRefused, row: DREventRow) -> Changed:
    return {"reasons": happened.reasons, "plan_retry_at": happened.retry_at}


def _preparation_started(happened: DREvent.PreparationStarted, row: DREventRow) -> Changed:
    return {"status": "preparing", "preparation_started_at": happened.recorded_at}


def _started(happened: DREvent.Started, row: DREventRow) -> Changed:
    return {"status": "active", "started_at": happened.recorded_at}


def _ended(happened: DREvent.Ended, row: DREventRow) -> Changed:
    return {"status": "recovering", "ended_at": happened.recorded_at}


def _completed(happened: DREvent.Completed, row: DREventRow) -> Changed:
    return {
        "status": "completed",
        "outcome": happened.outcome,
        "batch": happened.batch,
        "failed_facilities": happened.failed_facilities,
        "opted_out_facilities": happened.opted_out_facilities,
        "plan_retry_at": None,
        "completed_at": happened.recorded_at,
    }


def _cancelled(happened: DREvent.Cancelled, row: DREventRow) -> Changed:
    return {
        "status": "cancelled",
        "cancellation_reason": happened.reason,
        "plan_retry_at": None,
        "cancelled_at": happened.recorded_at,
    }


def _cancelled_while_active(happened: DREvent.CancelledWhileActive, row: DREventRow) -> Changed:
    return {
        "status": "cancelled_while_active",
        "cancellation_reason": happened.reason,
        "cancelled_at": happened.recorded_at,
        "released_at": happened.recorded_at,
    }


def _wound_up(happened: DREvent.WoundUp, row: DREventRow) -> Changed:
    return {
        "batch": happened.batch,
        "failed_facilities": happened.failed_facilities,
        "opted_out_facilities": happened.opted_out_facilities,
        "completed_at": happened.recorded_at,
    }


def _withdrawn(happened: DREvent.Withdrawn, row: DREventRow) -> Changed:
    return {
        "status": "cancelled",
        "cancellation_reason": happened.reason,
        "cancelled_at": happened.recorded_at,
    }


def _measured(happened: DREvent.Measured, row: DREventRow) -> Changed:
    return {
        "settlement_status": "measured",
        "delivered_kw": happened.delivered_kw,
        "measured_facilities": happened.measured_facilities,
        "unmeasured_facilities": happened.unmeasured_facilities,
        "measured_at": happened.recorded_at,
    }


def _remeasured(happened: DREvent.Remeasured, row: DREventRow) -> Changed:
    return {
        "delivered_kw": happened.delivered_kw,
        "measured_facilities": happened.measured_facilities,
        "unmeasured_facilities": happened.unmeasured_facilities,
        "remeasured_at": happened.recorded_at,
    }


def _callback_requested(happened: DREvent.CallbackRequested, row: DREventRow) -> Changed:
    requested = CallbackRow(kind=happened.kind, state="requested", requested_at=happened.recorded_at)
    return {"callbacks": {**row.callbacks, str(happened.callback_id): requested}}


def _callback_delivered(happened: DREvent.CallbackDelivered, row: DREventRow) -> Changed:
    return _callback_concluded(happened, row, state="delivered", failure=None)


def _callback_undeliverable(happened: DREvent.CallbackUndeliverable, row: DREventRow) -> Changed:
    return _callback_concluded(happened, row, state="undeliverable", failure=happened.reason)


def _callback_concluded(
    happened: DREvent.CallbackDelivered | DREvent.CallbackUndeliverable,
    row: DREventRow,
    *,
    state: Literal["delivered", "undeliverable"],
    failure: str | None,
) -> Changed:
    key = str(happened.callback_id)
    concluded = replace(
        row.callbacks[key],
        state=state,
        failure=failure,
        attempts=happened.attempts,
        concluded_at=happened.recorded_at,
    )
    return {"callbacks": {**row.callbacks, key: concluded}}


_CHANGES: dict[type[DomainEvent], Callable[[Any, DREventRow], Changed]] = {
    DREvent.Accepted: _accepted,
    DREvent.Rejected: _rejected,
    DREvent.Scheduled: _scheduled,
    DREvent.PlanningRefused: _planning_refused,
    DREvent.PreparationStarted: _preparation_started,
    DREvent.Started: _started,
    DREvent.Ended: _ended,
    DREvent.Completed: _completed,
    DREvent.Cancelled: _cancelled,
    DREvent.Modified: _modified,
    DREvent.ModificationRefused: _modification_refused,
    DREvent.Replanned: _replanned,
    DREvent.Preempted: _preempted,
    DREvent.BatchAborted: _batch_aborted,
    DREvent.CancelledWhileActive: _cancelled_while_active,
    DREvent.WoundUp: _wound_up,
    DREvent.Withdrawn: _withdrawn,
    DREvent.Measured: _measured,
    DREvent.Remeasured: _remeasured,
    DREvent.CallbackRequested: _callback_requested,
    DREvent.CallbackDelivered: _callback_delivered,
    DREvent.CallbackUndeliverable: _callback_undeliverable,
}
