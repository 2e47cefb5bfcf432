"""Handlers for commands on dispatches."""

from datetime import datetime, timedelta

from application.command_bus.decision_context import Decision, DecisionContext
from application.commands.dispatch import (
    AbortDispatch,
    AlignDispatch,
    AttemptBmsCommand,
    CommitDispatch,
    CompensateDispatch,
    DispatchCommand,
    LeaveDispatch,
    OverrideForecast,
    PrepareDispatch,
    ReconcileDispatch,
    RecordBmsGivenUp,
    RecordBmsRefusal,
    RecordBmsSuccess,
    RecordMeterVerification,
    RecordZoneStates,
    ReissueBmsCommand,
    RestoreByHand,
    RestoreDispatch,
    RetryRestore,
)
from application.dispatch.time_limits import TIME_LIMITS
from application.handlers.dispatch.preparation import prepare_dispatch, was_reassigned
from application.handlers.dr_event.feasibility_check import terms_of
from application.handlers.dr_event.replanning import BATCH_ENDED
from domain.dispatch import Dispatch
from domain.dispatch.restore import AT_ONCE, Place
from domain.dr_event import OVER, DREventState


def commit_dispatch(command: CommitDispatch, context: DecisionContext) -> Decision:
    """Commit if the window is running; release a dispatch that was prepared in vain."""
    dispatch = _load(command, context)
    status = context.dr_event(command.dr_event_id).state.status
    if status == "active" and was_reassigned(dispatch, context):
        return Decision(dispatch)
    if dispatch.state.left is not None:
        dispatch.abort(context.provenance, reason=dispatch.state.left_reason or dispatch.state.left)
    elif status == "active" and _is_excluded(dispatch, context):
        reason = "its building was not restored from an earlier DR event when the window began"
        dispatch.fail_held_back(context.provenance, reason=reason)
    elif status == "active" and dispatch.state.status == "planned" and _is_single_phase(command, context):
        return prepare_dispatch(
            PrepareDispatch(dr_event_id=command.dr_event_id, facility_id=command.facility_id), context
        )
    elif status == "active":
        if not _joined_late(dispatch, context):
            reason = dispatch.state.reason_unprepared("not prepared when the window began")
            dispatch.fail_unprepared(context.provenance, reason=reason)
        dispatch.commit(context.provenance, not_after=_deadline(context))
    elif status in OVER:
        dispatch.abort(context.provenance, reason=f"the DR event is {status}")
    return Decision(dispatch)


def restore_dispatch(command: RestoreDispatch, context: DecisionContext) -> Decision:
    """Release the building at its time, after the window ended or the facility left.

    A dispatch with an open command is concluded first and handled again here; so is one whose zones have
    release times.
    """
    dispatch = _load(command, context)
    dr_event = context.dr_event(command.dr_event_id).state
    if dr_event.status == "recovering" and dr_event.released_at is not None:
        # The batch was aborted: this may come before the command that says so to this dispatch, and serves nobody.
        dispatch.leave(context.provenance, cause="batch_aborted", reason=BATCH_ENDED)
    if dispatch.state.left not in {None, "cancelled"}:
        dispatch.restore(context.provenance)
    elif dr_event.status in {"recovering", "completed", "cancelled_while_active"}:
        released_at = dr_event.released_at or dr_event.judged_notice.ends_at
        dispatch.restore(
            context.provenance, released_at=released_at, place=_place(command.facility_id, dr_event)
        )
        reason = dispatch.state.reason_unprepared("the window is over")
        dispatch.abort(context.provenance, reason=reason)
    dispatch.restore_due(context.provenance)
    return Decision(dispatch)


def leave_dispatch(command: LeaveDispatch, context: DecisionContext) -> Decision:
    """Record that the facility leaves. When a whole DR event is cancelled, the buildings are released one
    after the other."""
    dispatch = _load(command, context)
    place = AT_ONCE
    if command.cause == "cancelled":
        place = _place(command.facility_id, context.dr_event(command.dr_event_id).state)
    dispatch.leave(context.provenance, cause=command.cause, reason=command.reason, place=place)
    return Decision(dispatch)


def align_dispatch(command: AlignDispatch, context: DecisionContext) -> Decision:
    dispatch = _load(command, context)
    if context.dr_event(command.dr_event_id).state.status == "active":
        dispatch.align(context.provenance, not_after=_deadline(context))
    return Decision(dispatch)


def reconcile_dispatch(command: ReconcileDispatch, context: DecisionContext) -> Decision:
    """Reply: the zones that drifted. Outside the window nothing is compared."""
    dispatch = _load(command, context)
    if context.dr_event(command.dr_event_id).state.status != "active":
        return Decision(reply=())
    seen = {zone.zone_id: (zone.setpoint, zone.curtailed) for zone in command.zones}
    drifted = dispatch.reconcile(context.provenance, states=seen, not_after=_deadline(context))
    return Decision(dispatch, reply=drifted)


def _deadline(context: DecisionContext) -> datetime:
    sla_s = context.command_sla_s or TIME_LIMITS.command_sla_s
    return context.now + timedelta(seconds=sla_s)


def _is_excluded(dispatch: Dispatch, context: DecisionContext) -> bool:
    facility = context.facility(dispatch.state.facility_id)
    return facility is not None and facility.state.awaits_restore_of_other(dispatch.state.dr_event_id)


def _is_single_phase(command: CommitDispatch, context: DecisionContext) -> bool:
    """True if its program prepares and commits each building at the start."""
    return not terms_of(context.dr_event(command.dr_event_id), context).two_phase


def _joined_late(dispatch: Dispatch, context: DecisionContext) -> bool:
    """True if it joined the plan during the window, so that it could not be prepared before."""
    return (
        dispatch.state.starts_at > context.dr_event(dispatch.state.dr_event_id).state.judged_notice.starts_at
    )


def _place(facility_id: str, dr_event: DREventState) -> Place:
    """The facility's position in the order in which the batch is restored."""
    order = dr_event.dispatched
    return (order.index(facility_id), len(order)) if facility_id in order else AT_ONCE


def abort_dispatch(command: AbortDispatch, context: DecisionContext) -> Decision:
    dispatch = _load(command, context)
    dispatch.abort(context.provenance, reason=command.reason)
    return Decision(dispatch)


def compensate_dispatch(command: CompensateDispatch, context: DecisionContext) -> Decision:
    dispatch = _load(command, context)
    dispatch.compensate(context.provenance)
    return Decision(dispatch)


def retry_restore(command: RetryRestore, context: DecisionContext) -> Decision:
    dispatch = _load(command, context)
    dispatch.retry_restore(context.provenance, reason=command.reason)
    return Decision(dispatch)


def restore_by_hand(command: RestoreByHand, context: DecisionContext) -> Decision:
    dispatch = _load(command, context)
    dispatch.restored_by_hand(context.provenance, reason=command.reason)
    return Decision(dispatch)


def override_forecast(command: OverrideForecast, context: DecisionContext) -> Decision:
    dispatch = _load(command, context)
    dispatch.override_forecast(context.provenance, reason=command.reason)
    return Decision(dispatch)


def reissue_bms_command(command: ReissueBmsCommand, context: DecisionContext) -> Decision:
    dispatch = _load(command, context)
    dispatch.reissue(context.provenance, command_id=command.command_id, reason=command.reason)
    return Decision(dispatch)


def attempt_bms_command(command: AttemptBmsCommand, context: DecisionContext) -> Decision:
    dispatch = _load(command, context)
    attempt = dispatch.attempt(context.provenance, command_id=command.command_id)
    return Decision(dispatch, reply=attempt)


def record_bms_success(command: RecordBmsSuccess, context: DecisionContext) -> Decision:
    dispatch = _load(command, context)
    dispatch.command_succeeded(
        context.provenance,
        command_id=command.command_id,
        executed_at=command.executed_at,
        setpoint=command.setpoint,
        learned_by=command.learned_by,
    )
    return Decision(dispatch)


def record_bms_refusal(command: RecordBmsRefusal, context: DecisionContext) -> Decision:
    dispatch = _load(command, context)
    dispatch.command_refused(
        context.provenance, command_id=command.command_id, code=command.code, reason=command.reason
    )
    return Decision(dispatch)


def record_bms_given_up(command: RecordBmsGivenUp, context: DecisionContext) -> Decision:
    dispatch = _load(command, context)
    dispatch.command_gave_up(
        context.provenance,
        command_id=command.command_id,
        was_sent=command.was_sent,
        reason=command.reason,
    )
    return Decision(dispatch)


def record_zone_states(command: RecordZoneStates, context: DecisionContext) -> Decision:
    dispatch = _load(command, context)
    dispatch.verify_by_bms(
        context.provenance, states={zone.zone_id: (zone.setpoint, zone.curtailed) for zone in command.zones}
    )
    return Decision(dispatch)


def record_meter_verification(command: RecordMeterVerification, context: DecisionContext) -> Decision:
    dispatch = _load(command, context)
    dispatch.verify_by_meter(
        context.provenance, delivered_kw=command.delivered_kw, measured_at=command.measured_at
    )
    return Decision(dispatch)


def _load(command: DispatchCommand, context: DecisionContext) -> Dispatch:
    return context.dispatch(command.dr_event_id, command.facility_id)
