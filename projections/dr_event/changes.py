"""Changes of a DR event's row by each domain event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from msgspec.structs import replace

from domain.dr_event import DREvent, measurement_status
from domain.event_sourcing.aggregate import DomainEvent
from projections.dr_event.row import CallbackRow, DREventRow, SettlementRow

Changed = dict[str, Any]
"""Changed fields of the row and their new values; each domain event creates one new row."""


def row_after(domain_event: DREvent.Event, row: DREventRow) -> DREventRow:
    """The row after a domain event that is not the first of its DR event."""
    change = _CHANGES.get(type(domain_event))
    changed = {} if change is None else change(domain_event, row)
    changed["changed_at"], changed["domain_events"] = (
        domain_event.recorded_at,
        domain_event.originator_version,
    )
    return replace(row, **changed)


def opened_row(domain_event: DREvent.Opened) -> DREventRow:
    """The first row of a DR event."""
    return DREventRow(
        dr_event_id=domain_event.originator_id,
        utility_id=domain_event.utility_id,
        utility_event_id=domain_event.utility_event_id,
        status="opened",
        opened_at=domain_event.recorded_at,
        changed_at=domain_event.recorded_at,
        correlation_id=domain_event.correlation_id,
        trace_id=domain_event.trace_id,
        domain_events=domain_event.originator_version,
    )


def _judged(domain_event: DREvent.Accepted | DREvent.Rejected | DREvent.Modified, row: DREventRow) -> Changed:
    notice = domain_event.notice
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
        "wants_callbacks": notice.wants_callbacks,
        "correlation_id": domain_event.correlation_id,
        "trace_id": domain_event.trace_id,
    }


def _accepted(domain_event: DREvent.Accepted, row: DREventRow) -> Changed:
    return _judged(domain_event, row) | {
        "status": "accepted",
        "kind": domain_event.kind,
        "prices": domain_event.prices,
        "reasons": (),
        "reason_counts": {},
        "program_version": domain_event.program_version,
        "capacity_kw": domain_event.capacity_kw,
        "capacity_source": domain_event.capacity_source,
        "capacity_degraded_kw": domain_event.capacity_degraded_kw,
        "shortfall_kw": domain_event.shortfall_kw,
        "accepted_at": domain_event.recorded_at,
        "cancelled_at": None,
        "cancellation_reason": None,
        "rejected_at": None,
    }


def _rejected(domain_event: DREvent.Rejected, row: DREventRow) -> Changed:
    return _judged(domain_event, row) | {
        "status": "rejected",
        "reasons": domain_event.reasons,
        "reason_counts": domain_event.reason_counts,
        "rejected_at": domain_event.recorded_at,
    }


def _scheduled(domain_event: DREvent.Scheduled, row: DREventRow) -> Changed:
    return {
        "status": "scheduled",
        "reasons": (),
        "reason_counts": {},
        "plan_revision": domain_event.plan_revision,
        "prepare_at": domain_event.prepare_at,
        "plan_retry_at": None,
        "targets": domain_event.targets,
        "missing_kw": domain_event.missing_kw,
        "scheduled_at": domain_event.recorded_at,
    }


def _modified(domain_event: DREvent.Modified, row: DREventRow) -> Changed:
    return _judged(domain_event, row) | {
        "kind": domain_event.kind,
        "prices": domain_event.prices,
        "correlation_id": row.correlation_id,
        "trace_id": row.trace_id,
        "reasons": (),
        "reason_counts": {},
        "refused_modification": (),
        "plan_retry_at": None,
        "capacity_kw": domain_event.capacity_kw,
        "capacity_source": domain_event.capacity_source,
        "capacity_degraded_kw": domain_event.capacity_degraded_kw,
        "shortfall_kw": domain_event.shortfall_kw,
        "modified_at": domain_event.recorded_at,
    }


def _modification_refused(domain_event: DREvent.ModificationRefused, row: DREventRow) -> Changed:
    return {"refused_modification": domain_event.reasons}


def _replanned(domain_event: DREvent.Replanned, row: DREventRow) -> Changed:
    return {
        "status": "scheduled" if domain_event.back_to_scheduled else row.status,
        "reasons": (),
        "reason_counts": {},
        "plan_revision": domain_event.plan_revision,
        "prepare_at": domain_event.prepare_at,
        "targets": domain_event.targets,
        "missing_kw": domain_event.missing_kw,
        "scheduled_at": domain_event.recorded_at,
    }


def _preempted(domain_event: DREvent.Preempted, row: DREventRow) -> Changed:
    return {"preempted_facilities": (*row.preempted_facilities, *domain_event.facility_ids)}


def _batch_aborted(domain_event: DREvent.BatchAborted, row: DREventRow) -> Changed:
    return {"status": "recovering", "released_at": domain_event.recorded_at}


def _planning_refused(domain_event: DREvent.PlanningRefused, row: DREventRow) -> Changed:
    return {
        "reasons": domain_event.reasons,
        "reason_counts": domain_event.reason_counts,
        "plan_retry_at": domain_event.retry_at,
    }


def _preparation_started(domain_event: DREvent.PreparationStarted, row: DREventRow) -> Changed:
    return {"status": "preparing", "preparation_started_at": domain_event.recorded_at}


def _started(domain_event: DREvent.Started, row: DREventRow) -> Changed:
    return {"status": "active", "started_at": domain_event.recorded_at}


def _ended(domain_event: DREvent.Ended, row: DREventRow) -> Changed:
    return {"status": "recovering", "ended_at": domain_event.recorded_at}


def _completed(domain_event: DREvent.Completed, row: DREventRow) -> Changed:
    return {
        "status": "completed",
        "outcome": domain_event.outcome,
        "batch": domain_event.batch,
        "failed_facilities": domain_event.failed_facilities,
        "opted_out_facilities": domain_event.opted_out_facilities,
        "plan_retry_at": None,
        "completed_at": domain_event.recorded_at,
    }


def _cancelled(domain_event: DREvent.Cancelled, row: DREventRow) -> Changed:
    return {
        "status": "cancelled",
        "cancellation_reason": domain_event.reason,
        "plan_retry_at": None,
        "cancelled_at": domain_event.recorded_at,
    }


def _cancelled_while_active(domain_event: DREvent.CancelledWhileActive, row: DREventRow) -> Changed:
    return {
        "status": "cancelled_while_active",
        "cancellation_reason": domain_event.reason,
        "cancelled_at": domain_event.recorded_at,
        "released_at": domain_event.recorded_at,
    }


def _wound_up(domain_event: DREvent.WoundUp, row: DREventRow) -> Changed:
    return {
        "batch": domain_event.batch,
        "failed_facilities": domain_event.failed_facilities,
        "opted_out_facilities": domain_event.opted_out_facilities,
        "completed_at": domain_event.recorded_at,
    }


def _withdrawn(domain_event: DREvent.Withdrawn, row: DREventRow) -> Changed:
    return {
        "status": "cancelled",
        "cancellation_reason": domain_event.reason,
        "cancelled_at": domain_event.recorded_at,
    }


def _measured(domain_event: DREvent.Measured, row: DREventRow) -> Changed:
    return _sum(domain_event, row) | {"measured_at": domain_event.recorded_at}


def _remeasured(domain_event: DREvent.Remeasured, row: DREventRow) -> Changed:
    return _sum(domain_event, row) | {"remeasured_at": domain_event.recorded_at}


def _sum(domain_event: DREvent.Measured | DREvent.Remeasured, row: DREventRow) -> Changed:
    return {
        "settlement_status": row.settlement_status
        if row.settlements
        else measurement_status(domain_event.delivered_kw),
        "delivered_kw": domain_event.delivered_kw,
        "measured_facilities": domain_event.measured_facilities,
        "unmeasured_facilities": domain_event.unmeasured_facilities,
        "unmeasured_reasons": domain_event.unmeasured_reasons,
    }


def _settled(domain_event: DREvent.Settled, row: DREventRow) -> Changed:
    return {
        "settlement_status": domain_event.figures.status,
        "settlements": (_settlement(domain_event, revision=0, difference=None),),
    }


def _resettled(domain_event: DREvent.Resettled, row: DREventRow) -> Changed:
    is_settled = domain_event.figures.status == "settled"
    newest = _settlement(domain_event, revision=domain_event.revision, difference=domain_event.difference)
    return {
        "settlement_status": "resettled" if is_settled else "not_settled",
        "settlements": (*row.settlements, newest),
    }


def _settlement(
    domain_event: DREvent.Settled | DREvent.Resettled, *, revision: int, difference: str | None
) -> SettlementRow:
    figures = domain_event.figures
    return SettlementRow(
        revision=revision,
        status=figures.status,
        reasons=figures.reasons,
        program_version=figures.program_version,
        currency=figures.currency,
        total=figures.total,
        difference=difference,
        why=domain_event.why,
        digest=figures.digest,
        settled_at=domain_event.recorded_at,
        final_at=figures.final_at,
    )


def _callback_requested(domain_event: DREvent.CallbackRequested, row: DREventRow) -> Changed:
    requested = CallbackRow(kind=domain_event.kind, state="requested", requested_at=domain_event.recorded_at)
    return {"callbacks": {**row.callbacks, str(domain_event.callback_id): requested}}


def _callback_delivered(domain_event: DREvent.CallbackDelivered, row: DREventRow) -> Changed:
    return _callback_concluded(domain_event, row, state="delivered", failure=None)


def _callback_undeliverable(domain_event: DREvent.CallbackUndeliverable, row: DREventRow) -> Changed:
    return _callback_concluded(domain_event, row, state="undeliverable", failure=domain_event.reason)


def _callback_concluded(
    domain_event: DREvent.CallbackDelivered | DREvent.CallbackUndeliverable,
    row: DREventRow,
    *,
    state: Literal["delivered", "undeliverable"],
    failure: str | None,
) -> Changed:
    key = str(domain_event.callback_id)
    concluded = replace(
        row.callbacks[key],
        state=state,
        failure=failure,
        attempts=domain_event.attempts,
        concluded_at=domain_event.recorded_at,
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
    DREvent.Settled: _settled,
    DREvent.Resettled: _resettled,
    DREvent.CallbackRequested: _callback_requested,
    DREvent.CallbackDelivered: _callback_delivered,
    DREvent.CallbackUndeliverable: _callback_undeliverable,
}
