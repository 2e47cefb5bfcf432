"""Descriptions of a dispatch's domain events, one sentence each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from domain.dispatch import Dispatch
from domain.event_sourcing.aggregate import DomainEvent
from projections.audit.description_parts import kw_text, moment_text, setpoint_text, window_text


def _planned(domain_event: Dispatch.Planned, facility: str) -> str:
    zones = ", ".join(zone.zone_id for zone in domain_event.zones)
    return (
        f"{facility} is to shed {kw_text(domain_event.target_kw)} in {zones or 'no zone'} "
        f"(forecast {domain_event.forecast_id or 'none'}, {domain_event.data_quality})"
    )


def _blocked(domain_event: Dispatch.Blocked, facility: str) -> str:
    return f"{facility} is blocked by its forecast ({domain_event.data_quality})"


def _unblocked(domain_event: Dispatch.Unblocked, facility: str) -> str:
    return f"{facility} is unblocked by a better forecast ({domain_event.data_quality})"


def _overridden(domain_event: Dispatch.ForecastOverridden, facility: str) -> str:
    return f"{facility} goes on in spite of its degraded forecast"


def _amended(domain_event: Dispatch.Amended, facility: str) -> str:
    again = " again" if domain_event.rejoined else ""
    return (
        f"{facility} is{again} to shed {kw_text(domain_event.target_kw)}, "
        f"{window_text(domain_event.starts_at, domain_event.ends_at)} (revision {domain_event.plan_revision})"
    )


def _preparation_released(domain_event: Dispatch.PreparationReleased, facility: str) -> str:
    return f"{facility} was prepared too early for the new start and is let go until its time"


def _left_early(domain_event: Dispatch.LeftEarly, facility: str) -> str:
    cause = domain_event.cause.replace("_", " ")
    return f"{facility} leaves the DR event at {moment_text(domain_event.left_at)}: {cause}"


def _recommitted(domain_event: Dispatch.Recommitted, facility: str) -> str:
    return f"What was commanded anew of {facility} is in force"


def _recommit_failed(domain_event: Dispatch.RecommitFailed, facility: str) -> str:
    return f"What was commanded anew of {facility} is not in force; it stays curtailed as it was"


def _restore_planned(domain_event: Dispatch.RestorePlanned, facility: str) -> str:
    steps = ", ".join(f"{step.zone_id} from {moment_text(step.not_before)}" for step in domain_event.steps)
    return f"{facility} is restored in steps: {steps}"


def _requested(domain_event: Dispatch.BmsCommandRequested, facility: str) -> str:
    command = domain_event.command
    to = f" to {setpoint_text(command.restore_to)}" if command.restore_to else ""
    return (
        f"{command.phase.capitalize()} of {facility}/{command.zone_id}{to} requested (round {command.round})"
    )


def _reissued(domain_event: Dispatch.BmsCommandReissued, facility: str) -> str:
    return f"Command {domain_event.command_id} to {facility} put to work again (issue {domain_event.issue})"


def _attempted(domain_event: Dispatch.BmsCommandAttempted, facility: str) -> str:
    return (
        f"Attempt {domain_event.attempt} to reach the BMS of {facility} for command {domain_event.command_id}"
    )


def _succeeded(domain_event: Dispatch.BmsCommandSucceeded, facility: str) -> str:
    found = "found at" if domain_event.phase == "prepare" else "now at"
    learned = "its answer" if domain_event.learned_by == "answer" else "asking for its status"
    return (
        f"{domain_event.phase.capitalize()} of {facility}/{domain_event.zone_id} done at "
        f"{moment_text(domain_event.executed_at)}, "
        f"{found} {setpoint_text(domain_event.setpoint)} (known by {learned})"
    )


def _refused(domain_event: Dispatch.BmsCommandRefused, facility: str) -> str:
    return f"The BMS of {facility} refused the {domain_event.phase} of {domain_event.zone_id}"


def _gave_up(domain_event: Dispatch.BmsCommandGaveUp, facility: str) -> str:
    outcome = "its outcome is not known" if domain_event.was_sent else "it was never sent"
    return (
        f"The {domain_event.phase} of {facility}/{domain_event.zone_id} was given up after {domain_event.attempts} "
        f"attempt(s): {outcome}"
    )


def _prepared(domain_event: Dispatch.Prepared, facility: str) -> str:
    return f"{facility} is prepared"


def _committed(domain_event: Dispatch.Committed, facility: str) -> str:
    return f"{facility} is curtailed"


def _verified_by_bms(domain_event: Dispatch.VerifiedByBms, facility: str) -> str:
    return f"The BMS of {facility} confirms that every zone is as commanded"


def _drift_detected(domain_event: Dispatch.DriftDetected, facility: str) -> str:
    state = "curtailed" if domain_event.curtailed else "not curtailed"
    return f"{facility}/{domain_event.zone_id} was found at {setpoint_text(domain_event.found)}, {state}"


def _verified_by_meter(domain_event: Dispatch.VerifiedByMeter, facility: str) -> str:
    shed = kw_text(domain_event.delivered_kw)
    return f"The meter of {facility} shows {shed} less, at {moment_text(domain_event.measured_at)}"


def _restored(domain_event: Dispatch.Restored, facility: str) -> str:
    return f"{facility} is restored"


def _restored_by_hand(domain_event: Dispatch.RestoredByHand, facility: str) -> str:
    return f"{facility} was restored by hand ({', '.join(domain_event.zone_ids)}); its BMS is not asked for it any more"


def _restore_failed(domain_event: Dispatch.RestoreFailed, facility: str) -> str:
    return f"{facility} may still be curtailed; tried again at {moment_text(domain_event.retry_at)}"


def _failed(domain_event: Dispatch.Failed, facility: str) -> str:
    return f"{facility} will not serve this DR event: its {domain_event.phase} failed"


def _compensated(domain_event: Dispatch.Compensated, facility: str) -> str:
    return f"What was begun at {facility} is undone"


def _aborted(domain_event: Dispatch.Aborted, facility: str) -> str:
    return f"{facility} is released before it was curtailed"


def _dispatch_measured(domain_event: Dispatch.Measured, facility: str) -> str:
    figures = domain_event.figures
    return (
        f"{facility} delivered {kw_text(figures.delivered_kw)} against {figures.baseline_method} over "
        f"{len(figures.days_used)} day(s), {figures.coverage_pct:.0f} % of the readings"
    )


def _not_measurable(domain_event: Dispatch.NotMeasurable, facility: str) -> str:
    return f"What {facility} delivered cannot be measured"


def _remeasured(domain_event: Dispatch.Remeasured, facility: str) -> str:
    before = "not measurable" if domain_event.previous_kw is None else kw_text(domain_event.previous_kw)
    return (
        f"{facility} is measured again (revision {domain_event.revision}): it delivered "
        f"{kw_text(domain_event.figures.delivered_kw)}, before {before}; {domain_event.reason or CORRECTED}"
    )


def _measurement_withdrawn(domain_event: Dispatch.MeasurementWithdrawn, facility: str) -> str:
    previous = kw_text(domain_event.previous_kw)
    return f"Corrected readings no longer show what {facility} delivered; {previous} does not hold"


CORRECTED = "readings were corrected"
"""The reason of every remeasurement whose version records none."""
DISPATCH_DESCRIPTIONS: dict[type[DomainEvent], Callable[[Any, str], str]] = {
    Dispatch.Planned: _planned,
    Dispatch.Blocked: _blocked,
    Dispatch.Unblocked: _unblocked,
    Dispatch.ForecastOverridden: _overridden,
    Dispatch.BmsCommandRequested: _requested,
    Dispatch.BmsCommandReissued: _reissued,
    Dispatch.BmsCommandAttempted: _attempted,
    Dispatch.BmsCommandSucceeded: _succeeded,
    Dispatch.BmsCommandRefused: _refused,
    Dispatch.BmsCommandGaveUp: _gave_up,
    Dispatch.Prepared: _prepared,
    Dispatch.Committed: _committed,
    Dispatch.Amended: _amended,
    Dispatch.PreparationReleased: _preparation_released,
    Dispatch.LeftEarly: _left_early,
    Dispatch.Recommitted: _recommitted,
    Dispatch.RecommitFailed: _recommit_failed,
    Dispatch.RestorePlanned: _restore_planned,
    Dispatch.VerifiedByBms: _verified_by_bms,
    Dispatch.DriftDetected: _drift_detected,
    Dispatch.VerifiedByMeter: _verified_by_meter,
    Dispatch.Restored: _restored,
    Dispatch.RestoreFailed: _restore_failed,
    Dispatch.RestoredByHand: _restored_by_hand,
    Dispatch.Failed: _failed,
    Dispatch.Compensated: _compensated,
    Dispatch.Aborted: _aborted,
    Dispatch.Measured: _dispatch_measured,
    Dispatch.NotMeasurable: _not_measurable,
    Dispatch.Remeasured: _remeasured,
    Dispatch.MeasurementWithdrawn: _measurement_withdrawn,
}
