"""Commands on dispatches: those of the saga, and the outcomes that workers report."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from domain.dispatch import Interval, LeaveCause, Setpoint


class DispatchCommand(msgspec.Struct, frozen=True, kw_only=True):
    """Concerns the dispatch of one facility in one DR event."""

    dr_event_id: UUID
    facility_id: str


class PrepareDispatch(DispatchCommand, frozen=True, kw_only=True):
    """Request the prepare of every zone, once the DR event is preparing."""


class CommitDispatch(DispatchCommand, frozen=True, kw_only=True):
    """Request the commit of every zone if the DR event is active; abort it if that was cancelled."""


class RestoreDispatch(DispatchCommand, frozen=True, kw_only=True):
    """Request to restore every zone if the DR event has ended."""


class AbortDispatch(DispatchCommand, frozen=True, kw_only=True):
    reason: str


class LeaveDispatch(DispatchCommand, frozen=True, kw_only=True):
    """The facility leaves the DR event: it is released, or restored at once, and serves no further."""

    cause: LeaveCause
    reason: str


class AlignDispatch(DispatchCommand, frozen=True, kw_only=True):
    """Bring a curtailed building to the plan in force, where that was changed."""


class CompensateDispatch(DispatchCommand, frozen=True, kw_only=True):
    """Undo what a failed dispatch began."""


class RetryRestore(DispatchCommand, frozen=True, kw_only=True):
    reason: str


class NoteRestore(DispatchCommand, frozen=True, kw_only=True):
    """Keep the facility from other DR events while its restore fails, and no longer."""


class OverrideForecast(DispatchCommand, frozen=True, kw_only=True):
    """An operator lets a dispatch go on in spite of a degraded forecast."""

    reason: str


class RestoreByHand(DispatchCommand, frozen=True, kw_only=True):
    """An operator answers for it that a building whose restore fails was restored by whoever is there."""

    reason: str


class ReissueBmsCommand(DispatchCommand, frozen=True, kw_only=True):
    """A person replays a dead-lettered BMS command."""

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
    """No outcome could be learned; `was_sent` False says that nothing ever left."""

    command_id: UUID
    was_sent: bool
    reason: str


class SeenZone(msgspec.Struct, frozen=True, kw_only=True):
    zone_id: str
    setpoint: Setpoint
    curtailed: bool


class RecordZoneStates(DispatchCommand, frozen=True, kw_only=True):
    """What the BMS says of its zones after the commit."""

    zones: tuple[SeenZone, ...]


class ReconcileDispatch(DispatchCommand, frozen=True, kw_only=True):
    """What the BMS says of its zones while the DR event runs: drift is recorded, and corrected by a new round.

    Reply: the ids of the zones that drifted.
    """

    zones: tuple[SeenZone, ...]


class RecordMeterVerification(DispatchCommand, frozen=True, kw_only=True):
    delivered_kw: float
    measured_at: datetime


class RecordMeasurement(DispatchCommand, frozen=True, kw_only=True):
    """Baseline minus meter over the window, with the origin of each number."""

    baseline_method: str
    days: tuple[str, ...]
    adjustment_kind: str
    adjustment_value: float | None
    adjustment_clipped: bool
    intervals: tuple[Interval, ...]
    coverage_pct: float
    delivered_kw: float
    data_hash: str
    figures_hash: str | None = None
    """Two measurements with the same one say the same."""


class RecordRemeasurement(RecordMeasurement, frozen=True, kw_only=True):
    """The same on corrected readings, beside what was measured before."""

    figures_hash: str
    corrected_at: datetime
    """Of the newest correction that it was asked for."""


class WithdrawMeasurement(DispatchCommand, frozen=True, kw_only=True):
    """Corrected readings do not suffice for a measurement any more."""

    corrected_at: datetime
    reason: str


class RecordNotMeasurable(DispatchCommand, frozen=True, kw_only=True):
    reason: str
