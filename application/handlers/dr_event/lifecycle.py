"""Handlers that move a DR event through its life cycle: preparation, start, end."""

from application.command_bus.decision_context import Decision, DecisionContext
from application.commands.dr_event import EndDREvent, StartDREvent, StartPreparation
from application.handlers.dr_event.planning import planned
from application.handlers.dr_event.release import released
from domain.dispatch import Dispatch


def start_preparation(command: StartPreparation, deciding: DecisionContext) -> Decision:
    dr_event = deciding.dr_event(command.dr_event_id)
    dr_event.start_preparation(deciding.provenance, now=deciding.now)
    return Decision(dr_event)


def start_dr_event(command: StartDREvent, deciding: DecisionContext) -> Decision:
    """Start the window. A DR event without a plan is planned now, or given up and its facilities released."""
    dr_event = deciding.dr_event(command.dr_event_id)
    dispatches: list[Dispatch] = []
    if dr_event.state.status == "accepted" and deciding.now >= dr_event.state.judged_notice.starts_at:
        dispatches = planned(dr_event, deciding)
    dr_event.start_preparation(deciding.provenance, now=deciding.now)
    dr_event.start(deciding.provenance, now=deciding.now)
    dr_event.give_up_planning(deciding.provenance, now=deciding.now)
    if dr_event.state.status == "completed":
        return Decision(dr_event, *released(dr_event, deciding, served=False))
    return Decision(dr_event, *dispatches)


def end_dr_event(command: EndDREvent, deciding: DecisionContext) -> Decision:
    dr_event = deciding.dr_event(command.dr_event_id)
    dr_event.end(deciding.provenance, now=deciding.now)
    return Decision(dr_event)
