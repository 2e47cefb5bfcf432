"""Handlers that move a DR event through its life cycle: preparation, start, end."""

from application.command_bus.decision_context import Decision, DecisionContext
from application.commands.dr_event import EndDREvent, StartDREvent, StartPreparation
from application.handlers.dr_event.planning import plan_and_schedule
from application.handlers.dr_event.release import release_facilities
from domain.dispatch import Dispatch


def start_preparation(command: StartPreparation, context: DecisionContext) -> Decision:
    dr_event = context.dr_event(command.dr_event_id)
    dr_event.start_preparation(context.provenance, now=context.now)
    return Decision(dr_event)


def start_dr_event(command: StartDREvent, context: DecisionContext) -> Decision:
    """Start the window. A DR event without a plan is planned now, or given up and its facilities released."""
    dr_event = context.dr_event(command.dr_event_id)
    dispatches: list[Dispatch] = []
    if dr_event.state.status == "accepted" and context.now >= dr_event.state.judged_notice.starts_at:
        dispatches = plan_and_schedule(dr_event, context)
    dr_event.start_preparation(context.provenance, now=context.now)
    dr_event.start(context.provenance, now=context.now)
    dr_event.give_up_planning(context.provenance, now=context.now)
    if dr_event.state.status == "completed":
        return Decision(dr_event, *release_facilities(dr_event, context, served=False))
    return Decision(dr_event, *dispatches)


def end_dr_event(command: EndDREvent, context: DecisionContext) -> Decision:
    dr_event = context.dr_event(command.dr_event_id)
    dr_event.end(context.provenance, now=context.now)
    return Decision(dr_event)
