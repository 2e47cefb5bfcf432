"""Handlers of the commands on dispatches."""

from datetime import timedelta

from application.commands.dispatch import (
    AbortDispatch,
    AttemptBmsCommand,
    CommitDispatch,
    CompensateDispatch,
    DispatchCommand,
    OverrideForecast,
    PrepareDispatch,
    RecordBmsGivenUp,
    RecordBmsRefusal,
    RecordBmsSuccess,
    RecordMeasurement,
    RecordMeterVerification,
    RecordNotMeasurable,
    RecordZoneStates,
    ReissueBmsCommand,
    RestoreDispatch,
    RetryRestore,
)
from application.deciding import Deciding, Decision
from domain.dispatch import Dispatch


def prepare_dispatch(command: PrepareDispatch, deciding: Deciding) -> Decision:
    """Prepare inside the lead time; a dispatch whose override comes late is prepared while there is time."""
    dispatch = _load(command, deciding)
    if deciding.dr_event(command.dr_event_id).state.status in {"preparing", "active"}:
        dispatch.prepare(deciding.provenance)
    return Decision(dispatch)


def commit_dispatch(command: CommitDispatch, deciding: Deciding) -> Decision:
    """Commit if the window is running; release a dispatch that was prepared for nothing."""
    dispatch = _load(command, deciding)
    status = deciding.dr_event(command.dr_event_id).state.status
    if status == "active":
        not_after = deciding.now + timedelta(seconds=deciding.command_sla_s)
        dispatch.fail_unprepared(deciding.provenance, reason="not prepared when the window began")
        dispatch.commit(deciding.provenance, not_after=not_after)
    elif status in {"cancelled", "recovering", "completed"}:
        dispatch.abort(deciding.provenance, reason=f"the DR event is {status}")
    return Decision(dispatch)


def restore_dispatch(command: RestoreDispatch, deciding: Deciding) -> Decision:
    """Restore once the window is over; a dispatch still open then is settled first and comes back here."""
    dispatch = _load(command, deciding)
    if deciding.dr_event(command.dr_event_id).state.status in {"recovering", "completed"}:
        dispatch.restore(deciding.provenance)
        dispatch.abort(deciding.provenance, reason="the window is over")
    return Decision(dispatch)


def abort_dispatch(command: AbortDispatch, deciding: Deciding) -> Decision:
    dispatch = _load(command, deciding)
    dispatch.abort(deciding.provenance, reason=command.reason)
    return Decision(dispatch)


def compensate_dispatch(command: CompensateDispatch, deciding: Deciding) -> Decision:
    dispatch = _load(command, deciding)
    dispatch.compensate(deciding.provenance)
    return Decision(dispatch)


def retry_restore(command: RetryRestore, deciding: Deciding) -> Decision:
    dispatch = _load(command, deciding)
    dispatch.retry_restore(deciding.provenance, reason=command.reason)
    return Decision(dispatch)


def override_forecast(command: OverrideForecast, deciding: Deciding) -> Decision:
    dispatch = _load(command, deciding)
    dispatch.override_forecast(deciding.provenance, reason=command.reason)
    return Decision(dispatch)


def reissue_bms_command(command: ReissueBmsCommand, deciding: Deciding) -> Decision:
    dispatch = _load(command, deciding)
    dispatch.reissue(deciding.provenance, command_id=command.command_id, reason=command.reason)
    return Decision(dispatch)


def attempt_bms_command(command: AttemptBmsCommand, deciding: Deciding) -> Decision:
    dispatch = _load(command, deciding)
    attempt = dispatch.attempt(deciding.provenance, command_id=command.command_id)
    return Decision(dispatch, reply=attempt)


def record_bms_success(command: RecordBmsSuccess, deciding: Deciding) -> Decision:
    dispatch = _load(command, deciding)
    dispatch.command_succeeded(
        deciding.provenance,
        command_id=command.command_id,
        executed_at=command.executed_at,
        setpoint=command.setpoint,
        learned_by=command.learned_by,
    )
    return Decision(dispatch)


def record_bms_refusal(command: RecordBmsRefusal, deciding: Deciding) -> Decision:
    dispatch = _load(command, deciding)
    dispatch.command_refused(
        deciding.provenance, command_id=command.command_id, code=command.code, reason=command.reason
    )
    return Decision(dispatch)


def record_bms_given_up(command: RecordBmsGivenUp, deciding: Deciding) -> Decision:
    dispatch = _load(command, deciding)
    dispatch.command_gave_up(
        deciding.provenance,
        command_id=command.command_id,
        was_sent=command.was_sent,
        reason=command.reason,
    )
    return Decision(dispatch)


def record_zone_states(command: RecordZoneStates, deciding: Deciding) -> Decision:
    dispatch = _load(command, deciding)
    dispatch.verify_by_bms(
        deciding.provenance, states={zone.zone_id: (zone.setpoint, zone.curtailed) for zone in command.zones}
    )
    return Decision(dispatch)


def record_meter_verification(command: RecordMeterVerification, deciding: Deciding) -> Decision:
    dispatch = _load(command, deciding)
    dispatch.verify_by_meter(
        deciding.provenance, delivered_kw=command.delivered_kw, measured_at=command.measured_at
    )
    return Decision(dispatch)


def record_measurement(command: RecordMeasurement, deciding: Deciding) -> Decision:
    dispatch = _load(command, deciding)
    dispatch.measure(
        deciding.provenance,
        baseline_method=command.baseline_method,
        days=command.days,
        adjustment_kind=command.adjustment_kind,
        adjustment_value=command.adjustment_value,
        adjustment_clipped=command.adjustment_clipped,
        intervals=command.intervals,
        coverage_pct=command.coverage_pct,
        delivered_kw=command.delivered_kw,
        data_hash=command.data_hash,
    )
    return Decision(dispatch)


def record_not_measurable(command: RecordNotMeasurable, deciding: Deciding) -> Decision:
    dispatch = _load(command, deciding)
    dispatch.not_measurable(deciding.provenance, reason=command.reason)
    return Decision(dispatch)


def _load(command: DispatchCommand, deciding: Deciding) -> Dispatch:
    return deciding.dispatch(command.dr_event_id, command.facility_id)
