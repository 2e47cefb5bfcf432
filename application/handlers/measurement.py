"""Handlers for results of the measure worker: first measurement, and remeasurement after corrected readings."""

from typing import Any

from application.command_bus.decision_context import Decision, DecisionContext
from application.commands.dispatch import (
    DispatchCommand,
    RecordMeasurement,
    RecordNotMeasurable,
    RecordRemeasurement,
    WithdrawMeasurement,
)
from domain.dispatch import Dispatch

_FIGURES = tuple(
    name for name in RecordMeasurement.__struct_fields__ if name not in DispatchCommand.__struct_fields__
)


def record_measurement(command: RecordMeasurement, context: DecisionContext) -> Decision:
    dispatch = _load(command, context)
    dispatch.measure(context.provenance, **_figures(command))
    return Decision(dispatch)


def record_not_measurable(command: RecordNotMeasurable, context: DecisionContext) -> Decision:
    dispatch = _load(command, context)
    dispatch.not_measurable(context.provenance, reason=command.reason)
    return Decision(dispatch)


def record_remeasurement(command: RecordRemeasurement, context: DecisionContext) -> Decision:
    dispatch = _load(command, context)
    dispatch.remeasure(context.provenance, corrected_at=command.corrected_at, **_figures(command))
    return Decision(dispatch)


def withdraw_measurement(command: WithdrawMeasurement, context: DecisionContext) -> Decision:
    dispatch = _load(command, context)
    dispatch.withdraw_measurement(
        context.provenance, corrected_at=command.corrected_at, reason=command.reason
    )
    return Decision(dispatch)


def _figures(command: RecordMeasurement) -> dict[str, Any]:
    return {name: getattr(command, name) for name in _FIGURES}


def _load(command: DispatchCommand, context: DecisionContext) -> Dispatch:
    return context.dispatch(command.dr_event_id, command.facility_id)
