"""The dispatch of one facility in one DR event: the unit of the saga.

Every BMS command is requested (the intent) before it is sent, attempted before each call, and concluded by its
outcome. Nothing is guessed: a command without a known outcome stays open until the BMS was asked.
"""

from domain.dispatch.aggregate import Dispatch
from domain.dispatch.measurement import REMEASURED_FOR
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
    Interval,
    LeaveCause,
    Phase,
    RestoreStep,
    Setpoint,
    ZonePlan,
)

__all__ = [
    "CURTAILED",
    "FINAL",
    "LONGEST_RESTORE_RETRY",
    "REMEASURED_FOR",
    "RESTORE_RETRY",
    "UNDOING",
    "BmsCommand",
    "CommandRecord",
    "CommandState",
    "Dispatch",
    "DispatchState",
    "DispatchStatus",
    "Interval",
    "LeaveCause",
    "Phase",
    "RestoreStep",
    "Setpoint",
    "ZonePlan",
]
