"""Commands on dispatches: those of the saga, and the outcomes that workers report."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from domain.dispatch import LeaveCause, MeasurementFigures, Setpoint


class DispatchCommand(msgspec.Struct, frozen=True, kw_only=True):
    """Concerns the dispatch of one facility in one DR event."""

    dr_event_id: UUID
    facility_id: str


class PrepareDispatch(DispatchCommand, frozen=True, kw_only=True):
    """Request the prepare of every zone, once the DR event is preparing."""


class CommitDispatch(DispatchCommand, frozen=True, kw_only=True):
    """Request the commit of every zone if the DR event is active; abort the dispatch if the DR event was
    cancelled."""


class RestoreDispatch(DispatchCommand, frozen=True, kw_only=True):
    """Request to restore every zone if the DR event has ended."""


class AbortDispatch(DispatchCommand, frozen=True, kw_only=True):
    reason: str


class LeaveDispatch(DispatchCommand, frozen=True, kw_only=True):
    """Remove the facility from the DR event. It is released, or restored at once, and takes no further part."""

    cause: LeaveCause
    reason: str


class AlignDispatch(DispatchCommand, frozen=True, kw_only=True):
    """Bring a curtailed building in line with a changed plan."""


class CompensateDispatch(DispatchCommand, frozen=True, kw_only=True):
    """Undo what a failed dispatch began."""


class RetryRestore(DispatchCommand, frozen=True, kw_only=True):
    reason: str


class NoteRestore(DispatchCommand, frozen=True, kw_only=True):
    """Exclude the facility from other DR events while its restore fails, and include it again afterwards."""


class JudgeBlockedDispatch(DispatchCommand, frozen=True, kw_only=True):
    """Judge a blocked dispatch by the forecast in force: it is unblocked, or stays as it is."""


class OverrideForecast(DispatchCommand, frozen=True, kw_only=True):
    """Let a dispatch continue in spite of a degraded forecast, on an operator's decision."""

    reason: str


class RestoreByHand(DispatchCommand, frozen=True, kw_only=True):
    """Record an operator's statement that a building that may be curtailed was restored on site."""

    reason: str


class ReissueBmsCommand(DispatchCommand, frozen=True, kw_only=True):
    """Issue a dead-lettered BMS command again, on a person's decision."""

    command_id: UUID
    reason: str


class AttemptBmsCommand(DispatchCommand, frozen=True, kw_only=True):
    """Record that a call is about to be made. Reply: the attempt's number."""

    command_id: UUID


class RecordBmsSuccess(DispatchCommand, frozen=True, kw_only=True):
    command_id: UUID
    executed_at: datetime
    setpoint: Setpoint
    learned_by: Literal["answer", "status_query"]


class RecordBmsRefusal(DispatchCommand, frozen=True, kw_only=True):
    command_id: UUID
    code: str
    reason: str


class RecordBmsGivenUp(DispatchCommand, frozen=True, kw_only=True):
    """No outcome could be determined. `was_sent` False: the command was never sent."""

    command_id: UUID
    was_sent: bool
    reason: str


class ZoneObservation(msgspec.Struct, frozen=True, kw_only=True):
    zone_id: str
    setpoint: Setpoint
    curtailed: bool


class RecordZoneStates(DispatchCommand, frozen=True, kw_only=True):
    """The states of the zones that the BMS reported after the commit."""

    zones: tuple[ZoneObservation, ...]


class ReconcileDispatch(DispatchCommand, frozen=True, kw_only=True):
    """The states of the zones that the BMS reported while the DR event runs. Drift is recorded and corrected
    by a new round.

    Reply: the ids of the zones that drifted.
    """

    zones: tuple[ZoneObservation, ...]


class RecordMeterVerification(DispatchCommand, frozen=True, kw_only=True):
    delivered_kw: float
    measured_at: datetime


class RecordMeasurement(DispatchCommand, frozen=True, kw_only=True):
    figures: MeasurementFigures


class RecordRemeasurement(RecordMeasurement, frozen=True, kw_only=True):
    """A measurement on corrected readings, beside the earlier one."""

    corrected_at: datetime
    """The time of the newest correction that caused it."""
    reason: str
    """What changed since the earlier measurement."""


class WithdrawMeasurement(DispatchCommand, frozen=True, kw_only=True):
    """Corrected readings no longer suffice for a measurement."""

    corrected_at: datetime
    reason: str


class RecordNotMeasurable(DispatchCommand, frozen=True, kw_only=True):
    reason: str
