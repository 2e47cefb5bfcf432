"""Handlers for results of the compute worker: first measurement, and remeasurement after corrected readings."""

from application.command_bus.decision_context import Decision, DecisionContext
from application.commands.dispatch import (
    DispatchCommand,
    RecordMeasurement,
    RecordNotMeasurable,
    RecordRemeasurement,
    WithdrawMeasurement,
)
from domain.dispatch import Dispatch


def record_measurement(command: RecordMeasurement, context: DecisionContext) -> Decision:
    dispatch = _load(command, context)
    dispatch.measure(context.provenance, figures=command.figures)
    return Decision(dispatch)


def record_not_measurable(command: RecordNotMeasurable, context: DecisionContext) -> Decision:
    dispatch = _load(command, context)
    dispatch.not_measurable(context.provenance, reason=command.reason)
    return Decision(dispatch)


def record_remeasurement(command: RecordRemeasurement, context: DecisionContext) -> Decision:
    dispatch = _load(command, context)
    dispatch.remeasure(
        context.provenance,
        corrected_at=command.corrected_at,
        reason=command.reason,
        figures=command.figures,
    )
    return Decision(dispatch)


def withdraw_measurement(command: WithdrawMeasurement, context: DecisionContext) -> Decision:
    dispatch = _load(command, context)
    dispatch.withdraw_measurement(
        context.provenance, corrected_at=command.corrected_at, reason=command.reason
    )
    return Decision(dispatch)


def _load(command: DispatchCommand, context: DecisionContext) -> Dispatch:
    return context.dispatch(command.dr_event_id, command.facility_id)
