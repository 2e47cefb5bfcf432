"""Handlers for callbacks: record the request first, then its outcome."""

from application.command_bus.decision_context import Decision, DecisionContext
from application.commands.dr_event import (
    RecordCallbackDelivered,
    RecordCallbackUndeliverable,
    RequestCallback,
)
from application.handlers.callback.body import callback_body


def request_callback(command: RequestCallback, context: DecisionContext) -> Decision:
    dr_event = context.dr_event(command.dr_event_id)
    dr_event.request_callback(
        context.provenance, kind=command.kind, body=callback_body(dr_event, command.kind, context)
    )
    return Decision(dr_event)


def record_callback_delivered(command: RecordCallbackDelivered, context: DecisionContext) -> Decision:
    dr_event = context.dr_event(command.dr_event_id)
    dr_event.callback_delivered(
        context.provenance,
        callback_id=command.callback_id,
        kind=command.kind,
        attempts=command.attempts,
        status_code=command.status_code,
    )
    return Decision(dr_event)


def record_callback_undeliverable(command: RecordCallbackUndeliverable, context: DecisionContext) -> Decision:
    dr_event = context.dr_event(command.dr_event_id)
    dr_event.callback_undeliverable(
        context.provenance,
        callback_id=command.callback_id,
        kind=command.kind,
        attempts=command.attempts,
        reason=command.reason,
    )
    return Decision(dr_event)
