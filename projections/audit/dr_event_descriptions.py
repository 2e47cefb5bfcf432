"""What each domain event of a DR event says, in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from domain.dr_event import DREvent
from domain.event_sourcing.aggregate import DomainEvent
from domain.facility import Facility
from projections.audit.description_parts import count_text, kw_text, moment_text, window_text


def _opened(happened: DREvent.Opened, facility: str) -> str:
    return f"Utility {happened.utility_id} first spoke of its event {happened.utility_event_id}"


def _accepted(happened: DREvent.Accepted, facility: str) -> str:
    notice = happened.notice
    shortfall = f", {kw_text(happened.shortfall_kw)} short" if happened.shortfall_kw > 0 else ""
    return (
        f"Accepted: {kw_text(notice.target_kw)} from {count_text(notice.facility_ids)}, "
        f"{window_text(notice.starts_at, notice.ends_at)}; capacity {kw_text(happened.capacity_kw)} "
        f"by {happened.capacity_source}{shortfall}; program {notice.program_id} version {happened.program_version}"
    )


def _rejected(happened: DREvent.Rejected, facility: str) -> str:
    return f"Rejected notification {happened.notice.notification_id} with {len(happened.reasons)} reason(s)"


def _scheduled(happened: DREvent.Scheduled, facility: str) -> str:
    planned_kw = sum(target.target_kw for target in happened.targets)
    blocked = sum(1 for target in happened.targets if target.blocked)
    notes = [f"{blocked} blocked"] if blocked else []
    if happened.missing_kw > 0:
        notes.append(f"{kw_text(happened.missing_kw)} missing")
    return (
        f"Planned (revision {happened.plan_revision}): {kw_text(planned_kw)} over {len(happened.targets)} facilities"
        f"{' (' + ', '.join(notes) + ')' if notes else ''}; preparation from {moment_text(happened.prepare_at)}"
    )


def _modified(happened: DREvent.Modified, facility: str) -> str:
    notice = happened.notice
    return (
        f"Modified (number {notice.modification_number}): {kw_text(notice.target_kw)} from "
        f"{count_text(notice.facility_ids)}, {window_text(notice.starts_at, notice.ends_at)}"
    )


def _modification_refused(happened: DREvent.ModificationRefused, facility: str) -> str:
    notice = happened.notice
    return (
        f"Modification {notice.modification_number} refused with {len(happened.reasons)} reason(s); "
        "what was asked before stands"
    )


def _replanned(happened: DREvent.Replanned, facility: str) -> str:
    planned_kw = sum(target.target_kw for target in happened.targets)
    missing = f", {kw_text(happened.missing_kw)} missing" if happened.missing_kw > 0 else ""
    return (
        f"Planned anew (revision {happened.plan_revision}, {happened.cause}): {kw_text(planned_kw)} over "
        f"{len(happened.targets)} facilities{missing}"
    )


def _preempted(happened: DREvent.Preempted, facility: str) -> str:
    return f"Lost to a stronger DR event: {', '.join(happened.facility_ids)}"


def _batch_aborted(happened: DREvent.BatchAborted, facility: str) -> str:
    return f"The batch was aborted; {count_text(happened.facility_ids)} to be let go"


def _cancelled_while_active(happened: DREvent.CancelledWhileActive, facility: str) -> str:
    return f"Cancelled while it ran; {count_text(happened.facility_ids)} to be restored"


def _wound_up(happened: DREvent.WoundUp, facility: str) -> str:
    batch = happened.batch
    return (
        f"Wound up: of {batch.asked} asked, {batch.committed} committed, {batch.failed} failed, "
        f"{batch.opted_out} opted out, {batch.restored} restored"
    )


def _withdrawn(happened: DREvent.Withdrawn, facility: str) -> str:
    number = "whatever its number" if happened.whatever_number else f"number {happened.modification_number}"
    return f"Cancelled before it was accepted ({number})"


def _planning_refused(happened: DREvent.PlanningRefused, facility: str) -> str:
    return f"No plan could be made; tried again at {moment_text(happened.retry_at)}"


def _preparation_started(happened: DREvent.PreparationStarted, facility: str) -> str:
    return f"Preparation of {count_text(happened.facility_ids)} began"


def _started(happened: DREvent.Started, facility: str) -> str:
    return f"The window began for {count_text(happened.facility_ids)}"


def _ended(happened: DREvent.Ended, facility: str) -> str:
    return f"The window ended; {count_text(happened.facility_ids)} to be restored"


def _completed(happened: DREvent.Completed, facility: str) -> str:
    batch = happened.batch
    failed = f"; failed: {', '.join(happened.failed_facilities)}" if happened.failed_facilities else ""
    if happened.opted_out_facilities:
        failed += f"; opted out: {', '.join(happened.opted_out_facilities)}"
    return (
        f"Completed, outcome {happened.outcome}: of {batch.asked} asked, {batch.prepared} prepared, "
        f"{batch.committed} committed, {batch.failed} failed, {batch.restored} restored{failed}"
    )


def _cancelled(happened: DREvent.Cancelled, facility: str) -> str:
    return "Cancelled before the start"


def _measured(happened: DREvent.Measured, facility: str) -> str:
    unmeasured = happened.unmeasured_facilities
    without = f"; without {', '.join(unmeasured)}" if unmeasured else ""
    return f"Measured: {kw_text(happened.delivered_kw)} delivered by {happened.measured_facilities} facilities{without}"


def _remeasured(happened: DREvent.Remeasured, facility: str) -> str:
    return (
        f"Measured again: {kw_text(happened.delivered_kw)} delivered, before {kw_text(happened.previous_kw)}"
    )


def _callback_requested(happened: DREvent.CallbackRequested, facility: str) -> str:
    return f"The utility is to be told: {happened.kind}"


def _callback_delivered(happened: DREvent.CallbackDelivered, facility: str) -> str:
    return f"The utility was told: {happened.kind} (attempt {happened.attempts}, HTTP {happened.status_code})"


def _callback_undeliverable(happened: DREvent.CallbackUndeliverable, facility: str) -> str:
    return f"The utility could not be told: {happened.kind}, after {happened.attempts} attempt(s)"


def _reserved(happened: Facility.Reserved, facility: str) -> str:
    return f"{facility} is reserved, {window_text(happened.starts_at, happened.ends_at)}"


def _released(happened: Facility.Released, facility: str) -> str:
    counts = "" if happened.served else "; it does not count against its limits"
    return f"{facility} is released{counts}"


def _restore_awaited(happened: Facility.RestoreAwaited, facility: str) -> str:
    return f"{facility} is kept from other DR events until its building is restored"


def _restore_confirmed(happened: Facility.RestoreConfirmed, facility: str) -> str:
    return f"The building of {facility} is restored; other DR events may have it again"


DR_EVENT_SENTENCES: dict[type[DomainEvent], Callable[[Any, str], str]] = {
    DREvent.Opened: _opened,
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
    Facility.Reserved: _reserved,
    Facility.Released: _released,
    Facility.RestoreAwaited: _restore_awaited,
    Facility.RestoreConfirmed: _restore_confirmed,
}
