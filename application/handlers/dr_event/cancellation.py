"""Handlers that cancel a DR event: by an operator or its utility, before its notification, before its start,
or while it runs."""

from application.command_bus.decision_context import Decision, DecisionContext
from application.commands.dr_event import (
    CancelDREvent,
    Cancellation,
    CancellationOutcome,
    CancelNotifiedDREvent,
)
from application.handlers.dr_event.release import release_facilities
from domain.dr_event import RUNNING, DREvent
from domain.errors import UnknownDREvent
from domain.identifiers import dr_event_id


def cancel_dr_event(command: CancelDREvent, context: DecisionContext) -> Decision:
    """Cancel by DR event id. Raises NotAllowedNow where it was not accepted, or is over."""
    dr_event = context.dr_event(command.dr_event_id)
    return _cancelled(dr_event, command.reason, None, context)


def cancel_notified_dr_event(command: CancelNotifiedDREvent, context: DecisionContext) -> Decision:
    """Cancel by the utility's own id. An event that was not notified yet, or was rejected, is recorded as
    withdrawn.

    Raises UnknownDREvent for such an event, unless the command may withdraw it.
    """
    number = command.modification_number
    dr_event = context.find_dr_event(dr_event_id(command.utility_id, command.utility_event_id))
    dr_event = dr_event or DREvent.open(
        context.provenance, utility_id=command.utility_id, utility_event_id=command.utility_event_id
    )
    state = dr_event.state
    if state.status in {"opened", "rejected"} or state.withdrawn_number is not None:
        before = dr_event.version
        dr_event.withdraw(context.provenance, modification_number=number, reason=command.reason)
        if dr_event.pending_events and not command.may_withdraw:
            raise UnknownDREvent(f"no DR event {command.utility_event_id!r} was ever accepted")
        again = state.withdrawn_number is not None and dr_event.version == before
        reply = _reply(dr_event, "already_cancelled" if again else "cancelled")
        return Decision(dr_event, reply=reply) if dr_event.pending_events else Decision(reply=reply)
    if state.status in {"recovering", "completed"}:
        return Decision(reply=_reply(dr_event, "ended"))
    if number is not None and number < state.modification_number and state.status in RUNNING:
        return Decision(reply=_reply(dr_event, "stale"))
    return _cancelled(dr_event, command.reason, number, context)


def _cancelled(dr_event: DREvent, reason: str, number: int | None, context: DecisionContext) -> Decision:
    """Before the start the facilities are released at once; otherwise after their buildings are restored."""
    dr_event.cancel(context.provenance, reason=reason, modification_number=number)
    if not dr_event.pending_events:
        return Decision(reply=_reply(dr_event, "already_cancelled"))
    reply = _reply(dr_event, "cancelled")
    if dr_event.state.status == "cancelled":
        return Decision(dr_event, *release_facilities(dr_event, context, served=False), reply=reply)
    return Decision(dr_event, reply=reply)


def _reply(dr_event: DREvent, outcome: CancellationOutcome) -> Cancellation:
    return Cancellation(dr_event_id=dr_event.id, status=dr_event.state.status, outcome=outcome)
