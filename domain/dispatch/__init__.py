"""A dispatch: one facility's part in one DR event, and the unit of the saga.

Every BMS command is recorded as requested (the intent) before it is sent, as attempted before each call, and
with its outcome after it. A command whose outcome is unknown stays open until the BMS has been queried.
"""

from domain.dispatch.aggregate import Dispatch
from domain.dispatch.measured_load import AdjustmentFigures, Interval, MeasuredLoad
from domain.dispatch.measurement import MEASURED_WITHIN, REMEASURED_FOR
from domain.dispatch.measurement_figures import MeasuredDay, MeasurementFigures
from domain.dispatch.phase_conclusion import LONGEST_RESTORE_RETRY, RESTORE_RETRY
from domain.dispatch.state import (
    CURTAILED,
    FINAL,
    UNDOING,
    BmsCommand,
    CommandRecord,
    CommandState,
    DispatchState,
    DispatchStatus,
    LeaveCause,
    Phase,
    PromisedPower,
    RestoreStep,
    Setpoint,
    ZonePlan,
)

__all__ = [
    "CURTAILED",
    "FINAL",
    "LONGEST_RESTORE_RETRY",
    "MEASURED_WITHIN",
    "REMEASURED_FOR",
    "RESTORE_RETRY",
    "UNDOING",
    "AdjustmentFigures",
    "BmsCommand",
    "CommandRecord",
    "CommandState",
    "Dispatch",
    "DispatchState",
    "DispatchStatus",
    "Interval",
    "LeaveCause",
    "MeasuredDay",
    "MeasuredLoad",
    "MeasurementFigures",
    "Phase",
    "PromisedPower",
    "RestoreStep",
    "Setpoint",
    "ZonePlan",
]
