"""Descriptions of a DR event's domain events and of its facilities' reservations, one sentence each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from domain.dr_event import ORDINARY_KIND, DREvent, SettlementFigures
from domain.event_sourcing.aggregate import DomainEvent
from domain.facility import Facility
from projections.audit.description_parts import count_text, kw_text, moment_text, window_text

MOST_PRICES = 4
"""So many are told in a sentence."""


def _opened(domain_event: DREvent.Opened, facility: str) -> str:
    return f"Utility {domain_event.utility_id} first spoke of its event {domain_event.utility_event_id}"


def _accepted(domain_event: DREvent.Accepted, facility: str) -> str:
    notice = domain_event.notice
    shortfall = f", {kw_text(domain_event.shortfall_kw)} short" if domain_event.shortfall_kw > 0 else ""
    return (
        f"Accepted: {kw_text(notice.target_kw)} from {count_text(notice.facility_ids)}, "
        f"{window_text(notice.starts_at, notice.ends_at)}; capacity {kw_text(domain_event.capacity_kw)} "
        f"by {domain_event.capacity_source}{shortfall}; "
        f"program {notice.program_id} version {domain_event.program_version}{_kind_and_prices(domain_event)}"
    )


def _kind_and_prices(domain_event: DREvent.Accepted | DREvent.Modified) -> str:
    kind = "" if domain_event.kind == ORDINARY_KIND else f"; kind {domain_event.kind}"
    if not domain_event.prices:
        return kind
    listed = ", ".join(
        f"{one.per_kwh} at {moment_text(one.starts_at)}" for one in domain_event.prices[:MOST_PRICES]
    )
    more = len(domain_event.prices) - MOST_PRICES
    return f"{kind}; per kWh {listed}{f' and {more} more prices' if more > 0 else ''}"


def _reason_count(domain_event: DREvent.Rejected | DREvent.ModificationRefused) -> int:
    return sum(domain_event.reason_counts.values()) or len(domain_event.reasons)


def _rejected(domain_event: DREvent.Rejected, facility: str) -> str:
    return f"Rejected notification {domain_event.notice.notification_id} with {_reason_count(domain_event)} reason(s)"


def _scheduled(domain_event: DREvent.Scheduled, facility: str) -> str:
    planned_kw = sum(target.target_kw for target in domain_event.targets)
    blocked = sum(1 for target in domain_event.targets if target.blocked)
    notes = [f"{blocked} blocked"] if blocked else []
    if domain_event.missing_kw > 0:
        notes.append(f"{kw_text(domain_event.missing_kw)} missing")
    return (
        f"Planned (revision {domain_event.plan_revision}): {kw_text(planned_kw)} over "
        f"{count_text(domain_event.targets)}"
        f"{' (' + ', '.join(notes) + ')' if notes else ''}; preparation from {moment_text(domain_event.prepare_at)}"
    )


def _modified(domain_event: DREvent.Modified, facility: str) -> str:
    notice = domain_event.notice
    return (
        f"Modified (number {notice.modification_number}): {kw_text(notice.target_kw)} from "
        f"{count_text(notice.facility_ids)}, {window_text(notice.starts_at, notice.ends_at)}"
        f"{_kind_and_prices(domain_event)}"
    )


def _modification_refused(domain_event: DREvent.ModificationRefused, facility: str) -> str:
    notice = domain_event.notice
    return (
        f"Modification {notice.modification_number} refused with {_reason_count(domain_event)} reason(s); "
        "what was asked before stands"
    )


def _replanned(domain_event: DREvent.Replanned, facility: str) -> str:
    planned_kw = sum(target.target_kw for target in domain_event.targets)
    missing = f", {kw_text(domain_event.missing_kw)} missing" if domain_event.missing_kw > 0 else ""
    return (
        f"Planned anew (revision {domain_event.plan_revision}, {domain_event.cause}): {kw_text(planned_kw)} over "
        f"{count_text(domain_event.targets)}{missing}"
    )


def _preempted(domain_event: DREvent.Preempted, facility: str) -> str:
    return f"Lost to a stronger DR event: {', '.join(domain_event.facility_ids)}"


def _batch_aborted(domain_event: DREvent.BatchAborted, facility: str) -> str:
    return f"The batch was aborted; {count_text(domain_event.facility_ids)} to be let go"


def _cancelled_while_active(domain_event: DREvent.CancelledWhileActive, facility: str) -> str:
    return f"Cancelled while it ran; {count_text(domain_event.facility_ids)} to be restored"


def _wound_up(domain_event: DREvent.WoundUp, facility: str) -> str:
    batch = domain_event.batch
    return (
        f"Wound up: of {batch.asked} asked, {batch.committed} committed, {batch.failed} failed, "
        f"{batch.opted_out} opted out, {batch.restored} restored"
    )


def _withdrawn(domain_event: DREvent.Withdrawn, facility: str) -> str:
    number = (
        "whatever its number"
        if domain_event.whatever_number
        else f"number {domain_event.modification_number}"
    )
    return f"Cancelled before it was accepted ({number})"


def _planning_refused(domain_event: DREvent.PlanningRefused, facility: str) -> str:
    return f"No plan could be made; tried again at {moment_text(domain_event.retry_at)}"


def _preparation_started(domain_event: DREvent.PreparationStarted, facility: str) -> str:
    return f"Preparation of {count_text(domain_event.facility_ids)} began"


def _started(domain_event: DREvent.Started, facility: str) -> str:
    return f"The window began for {count_text(domain_event.facility_ids)}"


def _ended(domain_event: DREvent.Ended, facility: str) -> str:
    return f"The window ended; {count_text(domain_event.facility_ids)} to be restored"


def _completed(domain_event: DREvent.Completed, facility: str) -> str:
    batch = domain_event.batch
    failed = (
        f"; failed: {', '.join(domain_event.failed_facilities)}" if domain_event.failed_facilities else ""
    )
    if domain_event.opted_out_facilities:
        failed += f"; opted out: {', '.join(domain_event.opted_out_facilities)}"
    return (
        f"Completed, outcome {domain_event.outcome}: of {batch.asked} asked, {batch.prepared} prepared, "
        f"{batch.committed} committed, {batch.failed} failed, {batch.restored} restored{failed}"
    )


def _cancelled(domain_event: DREvent.Cancelled, facility: str) -> str:
    return "Cancelled before the start"


def _measured(domain_event: DREvent.Measured, facility: str) -> str:
    unmeasured = domain_event.unmeasured_facilities
    without = f"; without {', '.join(unmeasured)}" if unmeasured else ""
    if domain_event.delivered_kw is None:
        return f"Not measurable: what was delivered is not known{without}"
    delivered = kw_text(domain_event.delivered_kw)
    return f"Measured: {delivered} delivered by {count_text(domain_event.measured_facilities)}{without}"


def _remeasured(domain_event: DREvent.Remeasured, facility: str) -> str:
    now, before = map(_power_text, (domain_event.delivered_kw, domain_event.previous_kw))
    return f"Measured again: {now} delivered, before {before}"


def _power_text(delivered_kw: float | None) -> str:
    return "an unknown power" if delivered_kw is None else kw_text(delivered_kw)


def _settled(domain_event: DREvent.Settled, facility: str) -> str:
    return f"{_settlement(domain_event.figures)} ({domain_event.why})"


def _resettled(domain_event: DREvent.Resettled, facility: str) -> str:
    return (
        f"Revision {domain_event.revision}: {_settlement(domain_event.figures)}, a difference of "
        f"{domain_event.difference} ({domain_event.why})"
    )


def _settlement(figures: SettlementFigures) -> str:
    version = f"by program {figures.program_id} version {figures.program_version}"
    if figures.status == "not_settled":
        return f"Not settled {version}: {', '.join(figures.reasons)}"
    return f"Settled: {figures.total} {figures.currency} {version}"


def _callback_requested(domain_event: DREvent.CallbackRequested, facility: str) -> str:
    return f"The utility is to be told: {domain_event.kind}"


def _callback_delivered(domain_event: DREvent.CallbackDelivered, facility: str) -> str:
    outcome = f"attempt {domain_event.attempts}, HTTP {domain_event.status_code}"
    return f"The utility was told: {domain_event.kind} ({outcome})"


def _callback_undeliverable(domain_event: DREvent.CallbackUndeliverable, facility: str) -> str:
    return f"The utility could not be told: {domain_event.kind}, after {domain_event.attempts} attempt(s)"


def _reserved(domain_event: Facility.Reserved, facility: str) -> str:
    return f"{facility} is reserved, {window_text(domain_event.starts_at, domain_event.ends_at)}"


def _released(domain_event: Facility.Released, facility: str) -> str:
    counts = "" if domain_event.served else "; it does not count against its limits"
    return f"{facility} is released{counts}"


def _restore_awaited(domain_event: Facility.RestoreAwaited, facility: str) -> str:
    return f"{facility} is kept from other DR events until its building is restored"


def _restore_confirmed(domain_event: Facility.RestoreConfirmed, facility: str) -> str:
    return f"The building of {facility} is restored; other DR events may have it again"


DR_EVENT_DESCRIPTIONS: dict[type[DomainEvent], Callable[[Any, str], str]] = {
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
    DREvent.Settled: _settled,
    DREvent.Resettled: _resettled,
    DREvent.CallbackRequested: _callback_requested,
    DREvent.CallbackDelivered: _callback_delivered,
    DREvent.CallbackUndeliverable: _callback_undeliverable,
    Facility.Reserved: _reserved,
    Facility.Released: _released,
    Facility.RestoreAwaited: _restore_awaited,
    Facility.RestoreConfirmed: _restore_confirmed,
}
