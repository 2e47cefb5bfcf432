"""Preparation of one facility's building: whether it still takes part, with a forecast that is still good."""

from application.command_bus.decision_context import Decision, DecisionContext
from application.commands.dispatch import PrepareDispatch
from application.handlers.dispatch.unblocking import unblock
from application.handlers.dr_event.feasibility_check import terms_of
from application.handlers.dr_event.guardrail import blocked_by_forecast
from application.handlers.dr_event.plan_building import block
from domain.dispatch import Dispatch
from domain.dr_event import OVER, DREvent
from domain.facility import MOST_ZONES, Facility
from domain.forecast import quality_at


def prepare_dispatch(command: PrepareDispatch, context: DecisionContext) -> Decision:
    """Prepare within the lead time, on a forecast that is still good; a dispatch prepared too early is
    released. One that is blocked is judged again by the forecast in force.

    A released dispatch is aborted once the DR event is over.
    """
    dispatch = context.dispatch(command.dr_event_id, command.facility_id)
    dr_event = context.dr_event(command.dr_event_id)
    facility = context.facility(dispatch.state.facility_id)
    status = dr_event.state.status
    if status not in OVER:
        _leave_if_deactivated(dispatch, facility, context)
    if status in {"preparing", "active"} and not was_reassigned(dispatch, context):
        _leave_if_opted_out(dispatch, dr_event, facility, context)
        is_excluded = facility is not None and facility.state.awaits_restore_of_other(dr_event.id)
        if not is_excluded:  # else it is prepared after the restore
            if facility is not None:
                unblock(dispatch, dr_event, facility, context)
            _guard(dispatch, dr_event, context)
            _fail_if_too_large(dispatch, context)
            dispatch.prepare(context.provenance)
    elif status == "scheduled" and dispatch.state.prepare_again:
        dispatch.abort(context.provenance, reason="the start was moved away")
    elif status in OVER and dispatch.state.status == "planned":
        dispatch.abort(context.provenance, reason=f"the DR event is {status}")
    return Decision(dispatch)


def _fail_if_too_large(dispatch: Dispatch, context: DecisionContext) -> None:
    """A plan may be older than the bound on zones. Its facility fails alone; its share goes to others."""
    count = len(dispatch.state.zones)
    if count > MOST_ZONES:
        reason = f"its plan has {count} zones, at most {MOST_ZONES} are commanded; register it as several facilities"
        dispatch.fail_unprepared(context.provenance, reason=reason)


def was_reassigned(dispatch: Dispatch, context: DecisionContext) -> bool:
    """True if a modification or a stronger DR event has taken the facility, and the dispatch has no event of it yet.

    Such a facility counts as not having served, so no BMS command may be issued any more.
    """
    if dispatch.state.left is not None:
        return False
    facility = context.facility(dispatch.state.facility_id)
    return facility is not None and str(dispatch.state.dr_event_id) not in facility.state.reservations


def _leave_if_opted_out(
    dispatch: Dispatch, dr_event: DREvent, facility: Facility | None, context: DecisionContext
) -> None:
    """A plan and an opt-out at the same moment write different streams, so neither sees the other."""
    if dispatch.state.status not in {"planned", "blocked"}:
        return
    if facility is not None and facility.state.opted_out_of_this(dr_event.id):
        dispatch.leave(context.provenance, cause="opted_out", reason="the facility has opted out")


def _leave_if_deactivated(dispatch: Dispatch, facility: Facility | None, context: DecisionContext) -> None:
    """A plan and a deactivation at the same moment do not see each other either. The reservation is gone then."""
    if dispatch.state.status not in {"planned", "blocked"}:
        return
    if facility is not None and facility.state.status == "deactivated":
        dispatch.leave(context.provenance, cause="opted_out", reason="the facility was deactivated")


def _guard(dispatch: Dispatch, dr_event: DREvent, context: DecisionContext) -> None:
    """A forecast that was good at planning may be stale now. An operator must then override it."""
    state = dispatch.state
    if state.status != "planned" or state.overridden:
        return
    forecast = context.forecasts.newest_of((state.facility_id,), at=context.now).get(state.facility_id)
    quality = "degraded_stale_data"
    if forecast is not None:
        quality = quality_at(forecast.data_quality, forecast.cycle_start, context.now)
    if blocked_by_forecast({state.facility_id: quality}, terms_of(dr_event, context), context):
        block(dispatch, quality, context)
