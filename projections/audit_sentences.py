"""What each domain event of a DR event's story says, in a sentence, and the reason that it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from eventsourcing.utils import get_topic

from domain.dispatch import Dispatch, Setpoint
from domain.dr_event import DREvent, Reason
from domain.event_sourcing import DomainEvent
from domain.facility import Facility

Sentence = Callable[[Any, str], str]


def sentence_of(domain_event: DomainEvent, facility_id: str | None) -> str:
    """A sentence for any domain event; one that is not in the table is told by its topic."""
    sentence = SENTENCES.get(type(domain_event))
    facility = facility_id or "the facility"
    return topic_of(domain_event) if sentence is None else sentence(domain_event, facility)


def topic_of(domain_event: DomainEvent) -> str:
    """The stable name under which it is stored."""
    return get_topic(type(domain_event))


def reason_of(domain_event: DomainEvent) -> str | None:
    """The reason given in the domain event itself, if it gives one."""
    if isinstance(domain_event, DREvent.Rejected | DREvent.PlanningRefused):
        return _reasons(domain_event.reasons)
    if isinstance(domain_event, Dispatch.BmsCommandRefused):
        return f"{domain_event.code}: {domain_event.reason}"
    if isinstance(domain_event, Dispatch.DriftFound):
        return "the zone is not in the state that was commanded"
    reason: str | None = getattr(domain_event, "reason", None)
    return reason


def _reasons(reasons: Iterable[Reason]) -> str:
    return "; ".join(
        f"{reason.code}{f' ({reason.facility_id})' if reason.facility_id else ''}: {reason.detail}"
        for reason in reasons
    )


def _at(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _window(starts_at: datetime, ends_at: datetime) -> str:
    return f"{_at(starts_at)} to {_at(ends_at)}"


def _kw(kw: float) -> str:
    return f"{kw:,.1f} kW"


def _setpoint(setpoint: Setpoint) -> str:
    return f"{setpoint.value:g} {'°C' if setpoint.unit == 'celsius' else '%'}"


def _count(facility_ids: tuple[str, ...]) -> str:
    return f"{len(facility_ids)} facilit{'y' if len(facility_ids) == 1 else 'ies'}"


# ------------------------------------------------------------------------------------------------- the DR event


def _opened(happened: DREvent.Opened, facility: str) -> str:
    return f"Utility {happened.utility_id} first spoke of its event {happened.utility_event_id}"


def _accepted(happened: DREvent.Accepted, facility: str) -> str:
    notice = happened.notice
    shortfall = f", {_kw(happened.shortfall_kw)} short" if happened.shortfall_kw > 0 else ""
    return (
        f"Accepted: {_kw(notice.target_kw)} from {_count(notice.facility_ids)}, "
        f"{_window(notice.starts_at, notice.ends_at)}; capacity {_kw(happened.capacity_kw)} "
        f"by {happened.capacity_source}{shortfall}; program {notice.program_id} version {happened.program_version}"
    )


def _rejected(happened: DREvent.Rejected, facility: str) -> str:
    return f"Rejected notification {happened.notice.notification_id} with {len(happened.reasons)} reason(s)"


def _scheduled(happened: DREvent.Scheduled, facility: str) -> str:
    planned_kw = sum(target.target_kw for target in happened.targets)
    blocked = sum(1 for target in happened.targets if target.blocked)
    notes = [f"{blocked} blocked"] if blocked else []
    if happened.missing_kw > 0:
        notes.append(f"{_kw(happened.missing_kw)} missing")
    return (
        f"Planned (revision {happened.plan_revision}): {_kw(planned_kw)} over {len(happened.targets)} facilities"
        f"{' (' + ', '.join(notes) + ')' if notes else ''}; preparation from {_at(happened.prepare_at)}"
    )


def _planning_refused(happened: DREvent.PlanningRefused, facility: str) -> str:
    return f"No plan could be made; tried again at {_at(happened.retry_at)}"


def _preparation_started(happened: DREvent.PreparationStarted, facility: str) -> str:
    return f"Preparation of {_count(happened.facility_ids)} began"


def _started(happened: DREvent.Started, facility: str) -> str:
    return f"The window began for {_count(happened.facility_ids)}"


def _ended(happened: DREvent.Ended, facility: str) -> str:
    return f"The window ended; {_count(happened.facility_ids)} to be restored"


def _completed(happened: DREvent.Completed, facility: str) -> str:
    batch = happened.batch
    failed = f"; failed: {', '.join(happened.failed_facilities)}" if happened.failed_facilities else ""
    return (
        f"Completed, outcome {happened.outcome}: of {batch.asked} asked, {batch.prepared} prepared, "
        f"{batch.committed} committed, {batch.failed} failed, {batch.restored} restored{failed}"
    )


def _cancelled(happened: DREvent.Cancelled, facility: str) -> str:
    return "Cancelled before the start"


def _measured(happened: DREvent.Measured, facility: str) -> str:
    unmeasured = happened.unmeasured_facilities
    without = f"; without {', '.join(unmeasured)}" if unmeasured else ""
    return f"Measured: {_kw(happened.delivered_kw)} delivered by {happened.measured_facilities} facilities{without}"


def _callback_requested(happened: DREvent.CallbackRequested, facility: str) -> str:
    return f"The utility is to be told: {happened.kind}"


def _callback_delivered(happened: DREvent.CallbackDelivered, facility: str) -> str:
    return f"The utility was told: {happened.kind} (attempt {happened.attempts}, HTTP {happened.status_code})"


def _callback_undeliverable(happened: DREvent.CallbackUndeliverable, facility: str) -> str:
    return f"The utility could not be told: {happened.kind}, after {happened.attempts} attempt(s)"


# ------------------------------------------------------------------------------------------------- the dispatch


def _planned(happened: Dispatch.Planned, facility: str) -> str:
    zones = ", ".join(zone.zone_id for zone in happened.zones)
    return (
        f"{facility} is to shed {_kw(happened.target_kw)} in {zones or 'no zone'} "
        f"(forecast {happened.forecast_id or 'none'}, {happened.data_quality})"
    )


def _blocked(happened: Dispatch.Blocked, facility: str) -> str:
    return f"{facility} is blocked by its forecast ({happened.data_quality})"


def _overridden(happened: Dispatch.ForecastOverridden, facility: str) -> str:
    return f"{facility} goes on in spite of its degraded forecast"


def _requested(happened: Dispatch.BmsCommandRequested, facility: str) -> str:
    command = happened.command
    to = f" to {_setpoint(command.restore_to)}" if command.restore_to else ""
    return (
        f"{command.phase.capitalize()} of {facility}/{command.zone_id}{to} requested (round {command.round})"
    )


def _reissued(happened: Dispatch.BmsCommandReissued, facility: str) -> str:
    return f"Command {happened.command_id} to {facility} put to work again (issue {happened.issue})"


def _attempted(happened: Dispatch.BmsCommandAttempted, facility: str) -> str:
    return f"Attempt {happened.attempt} to reach the BMS of {facility} for command {happened.command_id}"


def _succeeded(happened: Dispatch.BmsCommandSucceeded, facility: str) -> str:
    found = "found at" if happened.phase == "prepare" else "now at"
    learned = "its answer" if happened.learned_by == "answer" else "asking for its status"
    return (
        f"{happened.phase.capitalize()} of {facility}/{happened.zone_id} done at {_at(happened.executed_at)}, "
        f"{found} {_setpoint(happened.setpoint)} (known by {learned})"
    )


def _refused(happened: Dispatch.BmsCommandRefused, facility: str) -> str:
    return f"The BMS of {facility} refused the {happened.phase} of {happened.zone_id}"


def _gave_up(happened: Dispatch.BmsCommandGaveUp, facility: str) -> str:
    fate = "its outcome is not known" if happened.was_sent else "it was never sent"
    return (
        f"The {happened.phase} of {facility}/{happened.zone_id} was given up after {happened.attempts} "
        f"attempt(s): {fate}"
    )


def _prepared(happened: Dispatch.Prepared, facility: str) -> str:
    return f"{facility} is prepared"


def _committed(happened: Dispatch.Committed, facility: str) -> str:
    return f"{facility} is curtailed"


def _verified_by_bms(happened: Dispatch.VerifiedByBms, facility: str) -> str:
    return f"The BMS of {facility} confirms that every zone is as commanded"


def _drift_found(happened: Dispatch.DriftFound, facility: str) -> str:
    state = "curtailed" if happened.curtailed else "not curtailed"
    return f"{facility}/{happened.zone_id} was found at {_setpoint(happened.found)}, {state}"


def _verified_by_meter(happened: Dispatch.VerifiedByMeter, facility: str) -> str:
    return f"The meter of {facility} shows {_kw(happened.delivered_kw)} less, at {_at(happened.measured_at)}"


def _restored(happened: Dispatch.Restored, facility: str) -> str:
    return f"{facility} is restored"


def _restore_failed(happened: Dispatch.RestoreFailed, facility: str) -> str:
    return f"{facility} may still be curtailed; tried again at {_at(happened.retry_at)}"


def _failed(happened: Dispatch.Failed, facility: str) -> str:
    return f"{facility} will not serve this DR event: its {happened.phase} failed"


def _compensated(happened: Dispatch.Compensated, facility: str) -> str:
    return f"What was begun at {facility} is undone"


def _aborted(happened: Dispatch.Aborted, facility: str) -> str:
    return f"{facility} is released before it was curtailed"


def _dispatch_measured(happened: Dispatch.Measured, facility: str) -> str:
    return (
        f"{facility} delivered {_kw(happened.delivered_kw)} against {happened.baseline_method} over "
        f"{len(happened.days)} day(s), {happened.coverage_pct:.0f} % of the readings"
    )


def _not_measurable(happened: Dispatch.NotMeasurable, facility: str) -> str:
    return f"What {facility} delivered cannot be measured"


# ------------------------------------------------------------------------------------------------- the facility


def _reserved(happened: Facility.Reserved, facility: str) -> str:
    return f"{facility} is reserved, {_window(happened.starts_at, happened.ends_at)}"


def _released(happened: Facility.Released, facility: str) -> str:
    counts = "" if happened.served else "; it does not count against its limits"
    return f"{facility} is released{counts}"


SENTENCES: dict[type[DomainEvent], Sentence] = {
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
    DREvent.Measured: _measured,
    DREvent.CallbackRequested: _callback_requested,
    DREvent.CallbackDelivered: _callback_delivered,
    DREvent.CallbackUndeliverable: _callback_undeliverable,
    Dispatch.Planned: _planned,
    Dispatch.Blocked: _blocked,
    Dispatch.ForecastOverridden: _overridden,
    Dispatch.BmsCommandRequested: _requested,
    Dispatch.BmsCommandReissued: _reissued,
    Dispatch.BmsCommandAttempted: _attempted,
    Dispatch.BmsCommandSucceeded: _succeeded,
    Dispatch.BmsCommandRefused: _refused,
    Dispatch.BmsCommandGaveUp: _gave_up,
    Dispatch.Prepared: _prepared,
    Dispatch.Committed: _committed,
    Dispatch.VerifiedByBms: _verified_by_bms,
    Dispatch.DriftFound: _drift_found,
    Dispatch.VerifiedByMeter: _verified_by_meter,
    Dispatch.Restored: _restored,
    Dispatch.RestoreFailed: _restore_failed,
    Dispatch.Failed: _failed,
    Dispatch.Compensated: _compensated,
    Dispatch.Aborted: _aborted,
    Dispatch.Measured: _dispatch_measured,
    Dispatch.NotMeasurable: _not_measurable,
    Facility.Reserved: _reserved,
    Facility.Released: _released,
}
