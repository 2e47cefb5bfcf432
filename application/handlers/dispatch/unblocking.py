"""A blocked dispatch, judged again by the forecast in force: at each forecast cycle, and at its preparation."""

from application.command_bus.decision_context import Decision, DecisionContext
from application.commands.dispatch import JudgeBlockedDispatch
from application.handlers.dr_event.feasibility_check import terms_of
from application.handlers.dr_event.guardrail import blocked_by_forecast
from application.handlers.dr_event.plan_building import MIN_SHARE_KW, offer_in_force
from domain.dispatch import Dispatch
from domain.dr_event import PLANNED, DREvent
from domain.facility import Facility


def judge_blocked_dispatch(command: JudgeBlockedDispatch, context: DecisionContext) -> Decision:
    """Unblock the dispatch if the forecast in force does not block it any more. Repeated or late, it records
    nothing."""
    dispatch = context.dispatch(command.dr_event_id, command.facility_id)
    if dispatch.state.status != "blocked":
        return Decision()
    dr_event = context.dr_event(command.dr_event_id)
    facility = context.facility(command.facility_id)
    if dr_event.state.status in PLANNED and facility is not None and facility.state.serves(dr_event.id):
        unblock(dispatch, dr_event, facility, context)
    return Decision(dispatch)


def unblock(dispatch: Dispatch, dr_event: DREvent, facility: Facility, context: DecisionContext) -> None:
    """Record `Dispatch.Unblocked` where the newest forecast, as of now, covers the window, does not block under the
    program's guardrail, and leaves something to shed."""
    if dispatch.state.status != "blocked":
        return
    found = offer_in_force(dr_event, facility, dispatch.state, context)
    if found is None or found.offer.headroom_kw < MIN_SHARE_KW:
        return
    qualities = {facility.state.facility_id: found.data_quality}
    if blocked_by_forecast(qualities, terms_of(dr_event, context), context):
        return
    dispatch.unblock(
        context.provenance,
        forecast_id=found.forecast.forecast_id,
        forecast_position=found.forecast.position,
        data_quality=found.data_quality,
        headroom_kw=found.offer.headroom_kw,
        reason=f"its forecast in force is {found.data_quality}",
    )
