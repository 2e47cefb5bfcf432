"""A demand-response event: one aggregate per event of a utility, and the batch of the saga.

`status` is the state of execution; `settlement_status` is a separate field. The window is half-open, in UTC.
"""

from domain.dr_event.aggregate import DREvent
from domain.dr_event.state import (
    BEFORE_START,
    ENDED,
    FINAL,
    ORDINARY_KIND,
    OVER,
    PLANNED,
    RUNNING,
    Batch,
    CallbackKind,
    DREventState,
    DREventStatus,
    EventPrice,
    FacilityTarget,
    Notice,
    Outcome,
    Reason,
    ReplanCause,
    SettlementFigures,
    SettlementRevision,
    SettlementStatus,
    measurement_status,
)

__all__ = [
    "BEFORE_START",
    "ENDED",
    "FINAL",
    "ORDINARY_KIND",
    "OVER",
    "PLANNED",
    "RUNNING",
    "Batch",
    "CallbackKind",
    "DREvent",
    "DREventState",
    "DREventStatus",
    "EventPrice",
    "FacilityTarget",
    "Notice",
    "Outcome",
    "Reason",
    "ReplanCause",
    "SettlementFigures",
    "SettlementRevision",
    "SettlementStatus",
    "measurement_status",
]
