"""Handlers for callbacks: record the request first, then its outcome."""

from application.command_bus.decision_context import Decision, DecisionContext
from application.commands.dr_event import (
    RecordCallbackDelivered,
    RecordCallbackUndeliverable,
    RequestCallback,
)
from application.handlers.callback.body import callback_body


def request_callback(command: RequestCallback, deciding: DecisionContext) -> Decision:
    dr_event = deciding.dr_event(command.dr_event_id)
    dr_event.request_callback(
        deciding.provenance, kind=command.kind, body=callback_body(dr_event, command.kind, deciding)
    )
    return Decision(dr_event)


def record_callback_delivered(command: RecordCallbackDelivered, deciding: DecisionContext) -> Decision:
    dr_event = deciding.dr_event(command.dr_event_id)
    dr_event.callback_delivered(
        deciding.provenance,
        callback_id=command.callback_id,
        kind=command.kind,
        attempts=command.attempts,
        status_code=command.status_code,
    )
    return Decision(dr_event)


def record_callback_undeliverable(
    command: RecordCallbackUndeliverable, deciding: DecisionContext
) -> Decision:
    dr_event = deciding.dr_event(command.dr_event_id)
    dr_event.callback_undeliverable(
        deciding.provenance,
        callback_id=command.callback_id,
        kind=command.kind,
        attempts=command.attempts,
        reason=command.reason,
    )
    return Decision(dr_event)
