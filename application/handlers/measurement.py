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


def record_measurement(command: RecordMeasurement, deciding: DecisionContext) -> Decision:
    dispatch = _load(command, deciding)
    dispatch.measure(deciding.provenance, **_figures(command))
    return Decision(dispatch)


def record_not_measurable(command: RecordNotMeasurable, deciding: DecisionContext) -> Decision:
    dispatch = _load(command, deciding)
    dispatch.not_measurable(deciding.provenance, reason=command.reason)
    return Decision(dispatch)


def record_remeasurement(command: RecordRemeasurement, deciding: DecisionContext) -> Decision:
    dispatch = _load(command, deciding)
    dispatch.remeasure(deciding.provenance, corrected_at=command.corrected_at, **_figures(command))
    return Decision(dispatch)


def withdraw_measurement(command: WithdrawMeasurement, deciding: DecisionContext) -> Decision:
    dispatch = _load(command, deciding)
    dispatch.withdraw_measurement(
        deciding.provenance, corrected_at=command.corrected_at, reason=command.reason
    )
    return Decision(dispatch)


def _figures(command: RecordMeasurement) -> dict[str, Any]:
    return {name: getattr(command, name) for name in _FIGURES}


def _load(command: DispatchCommand, deciding: DecisionContext) -> Dispatch:
    return deciding.dispatch(command.dr_event_id, command.facility_id)
