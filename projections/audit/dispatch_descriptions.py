"""What each domain event of a dispatch says, in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from domain.dispatch import Dispatch
from domain.event_sourcing.aggregate import DomainEvent
from projections.audit.description_parts import kw_text, moment_text, setpoint_text, window_text


def _planned(happened: Dispatch.Planned, facility: str) -> str:
    zones = ", ".join(zone.zone_id for zone in happened.zones)
    return (
        f"{facility} is to shed {kw_text(happened.target_kw)} in {zones or 'no zone'} "
        f"(forecast {happened.forecast_id or 'none'}, {happened.data_quality})"
    )


def _blocked(happened: Dispatch.Blocked, facility: str) -> str:
    return f"{facility} is blocked by its forecast ({happened.data_quality})"


def _overridden(happened: Dispatch.ForecastOverridden, facility: str) -> str:
    return f"{facility} goes on in spite of its degraded forecast"


def _amended(happened: Dispatch.Amended, facility: str) -> str:
    again = " again" if happened.rejoined else ""
    return (
        f"{facility} is{again} to shed {kw_text(happened.target_kw)}, "
        f"{window_text(happened.starts_at, happened.ends_at)} (revision {happened.plan_revision})"
    )


def _preparation_released(happened: Dispatch.PreparationReleased, facility: str) -> str:
    return f"{facility} was prepared too early for the new start and is let go until its time"


def _left_early(happened: Dispatch.LeftEarly, facility: str) -> str:
    return f"{facility} leaves the DR event at {moment_text(happened.left_at)}: {happened.cause.replace('_', ' ')}"


def _recommitted(happened: Dispatch.Recommitted, facility: str) -> str:
    return f"What was commanded anew of {facility} is in force"


def _recommit_failed(happened: Dispatch.RecommitFailed, facility: str) -> str:
    return f"What was commanded anew of {facility} is not in force; it stays curtailed as it was"


def _restore_planned(happened: Dispatch.RestorePlanned, facility: str) -> str:
    steps = ", ".join(f"{step.zone_id} from {moment_text(step.not_before)}" for step in happened.steps)
    return f"{facility} is restored in steps: {steps}"


def _requested(happened: Dispatch.BmsCommandRequested, facility: str) -> str:
    command = happened.command
    to = f" to {setpoint_text(command.restore_to)}" if command.restore_to else ""
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
        f"{happened.phase.capitalize()} of {facility}/{happened.zone_id} done at {moment_text(happened.executed_at)}, "
        f"{found} {setpoint_text(happened.setpoint)} (known by {learned})"
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
    return f"{facility}/{happened.zone_id} was found at {setpoint_text(happened.found)}, {state}"


def _verified_by_meter(happened: Dispatch.VerifiedByMeter, facility: str) -> str:
    shed = kw_text(happened.delivered_kw)
    return f"The meter of {facility} shows {shed} less, at {moment_text(happened.measured_at)}"


def _restored(happened: Dispatch.Restored, facility: str) -> str:
    return f"{facility} is restored"


def _restored_by_hand(happened: Dispatch.RestoredByHand, facility: str) -> str:
    return f"{facility} was restored by hand ({', '.join(happened.zone_ids)}); its BMS is not asked for it any more"


def _restore_failed(happened: Dispatch.RestoreFailed, facility: str) -> str:
    return f"{facility} may still be curtailed; tried again at {moment_text(happened.retry_at)}"


def _failed(happened: Dispatch.Failed, facility: str) -> str:
    return f"{facility} will not serve this DR event: its {happened.phase} failed"


def _compensated(happened: Dispatch.Compensated, facility: str) -> str:
    return f"What was begun at {facility} is undone"


def _aborted(happened: Dispatch.Aborted, facility: str) -> str:
    return f"{facility} is released before it was curtailed"


def _dispatch_measured(happened: Dispatch.Measured, facility: str) -> str:
    return (
        f"{facility} delivered {kw_text(happened.delivered_kw)} against {happened.baseline_method} over "
        f"{len(happened.days)} day(s), {happened.coverage_pct:.0f} % of the readings"
    )


def _not_measurable(happened: Dispatch.NotMeasurable, facility: str) -> str:
    return f"What {facility} delivered cannot be measured"


def _remeasured(happened: Dispatch.Remeasured, facility: str) -> str:
    before = "not measurable" if happened.previous_kw is None else kw_text(happened.previous_kw)
    return (
        f"{facility} is measured again on corrected readings (revision {happened.revision}): it delivered "
        f"{kw_text(happened.delivered_kw)}, before {before}"
    )


def _measurement_withdrawn(happened: Dispatch.MeasurementWithdrawn, facility: str) -> str:
    return f"Corrected readings no longer show what {facility} delivered; {kw_text(happened.previous_kw)} does not hold"


DISPATCH_SENTENCES: dict[type[DomainEvent], Callable[[Any, str], str]] = {
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
    Dispatch.Amended: _amended,
    Dispatch.PreparationReleased: _preparation_released,
    Dispatch.LeftEarly: _left_early,
    Dispatch.Recommitted: _recommitted,
    Dispatch.RecommitFailed: _recommit_failed,
    Dispatch.RestorePlanned: _restore_planned,
    Dispatch.VerifiedByBms: _verified_by_bms,
    Dispatch.DriftFound: _drift_found,
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
