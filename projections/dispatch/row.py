"""The rows of the read model `dispatches`."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal
from uuid import UUID

import msgspec

from domain.baseline.expected_error import ExpectedError
from domain.baseline.regression.uncertainty import SavingsUncertainty
from domain.dispatch import (
    CommandState,
    DispatchState,
    DispatchStatus,
    LeaveCause,
    Phase,
    RestoreStep,
    Setpoint,
)
from domain.facility import Strategy


class CommandRow(msgspec.Struct, frozen=True, kw_only=True):
    """A zone's newest BMS command of one phase."""

    command_id: UUID
    round: int
    state: CommandState
    attempts: int


class ZoneRow(msgspec.Struct, frozen=True, kw_only=True):
    """A zone's part in the dispatch; `magnitude` in kelvin or percent, by strategy."""

    zone_id: str
    target_kw: float
    strategy: Strategy
    magnitude: float
    previous: Setpoint | None = None
    """Read at prepare; a restore sends it back."""
    commands: dict[Phase, CommandRow] = {}
    curtailed: bool = False
    """A commit succeeded, or may have, and no restore succeeded since, by command or by hand."""
    drifted: bool = False


class MeasurementRow(msgspec.Struct, frozen=True, kw_only=True):
    """Baseline minus metered load, as sums; the intervals themselves are in the log."""

    baseline_method: str
    days: tuple[str, ...]
    skipped_days: int
    """Without those on which the facility served another DR event."""
    adjustment_kind: str
    adjustment_value: float | None
    adjustment_raw: float | None
    """Before clipping; null: none."""
    adjustment_clipped: bool
    holidays: tuple[date, ...]
    """Those that were regarded, in the look-back and on the day itself."""
    holidays_of: str
    """`program`, a region, or `none`."""
    coverage_pct: float
    intervals: int
    missing_intervals: int
    baseline_kw: float | None
    metered_kw: float | None
    """Means over the intervals that are not missing; `baseline_kw` is the adjusted one."""
    data_hash: str
    revision: int = 1
    """Above 1 it replaces an earlier measurement, which stays in the log."""
    previous_kw: float | None = None
    """The delivered power by the measurement that this one replaces."""
    corrected_at: datetime | None = None
    """The time of the newest correction of readings that caused it."""
    reason: str = ""
    """Why it was measured again."""
    uncertainty: SavingsUncertainty | None = None
    """Of a baseline by regression."""
    expected_error: ExpectedError | None = None
    """Of another baseline, on the facility's days without a DR event."""


class DispatchRow(msgspec.Struct, frozen=True, kw_only=True):
    """A facility's dispatch in one DR event."""

    dispatch_id: UUID
    dr_event_id: UUID
    facility_id: str
    status: DispatchStatus
    tenant: str | None
    plan_revision: int
    starts_at: datetime
    ends_at: datetime
    expires_at: datetime
    target_kw: float
    forecast_id: UUID | None
    data_quality: str
    zones: dict[str, ZoneRow]
    commands_outstanding: int = 0
    commands_given_up: int = 0
    was_prepared: bool = False
    was_committed: bool = False
    blocked_reason: str | None = None
    override_reason: str | None = None
    left: LeaveCause | None = None
    left_reason: str | None = None
    """Set if it left before the end; the moment is then `ends_at`."""
    restore_steps: tuple[RestoreStep, ...] = ()
    """Zones that are still to be restored, each at its time."""
    failed_phase: Literal["plan", "prepare", "commit"] | None = None
    failure: str | None = None
    restore_failure: str | None = None
    restore_retry_at: datetime | None = None
    restored_by_hand: str | None = None
    """The reason given by the operator who confirmed it."""
    delivered_kw_so_far: float | None = None
    """The load reduction that the meter showed during the window."""
    delivered_kw: float | None = None
    """The measurement after the window: mean kW."""
    measurement: MeasurementRow | None = None
    not_measurable_reason: str | None = None
    state: DispatchState
    """The aggregate's own state, from which the fields above are derived."""

    planned_at: datetime
    prepared_at: datetime | None = None
    committed_at: datetime | None = None
    verified_by_bms_at: datetime | None = None
    verified_by_meter_at: datetime | None = None
    restored_at: datetime | None = None
    failed_at: datetime | None = None
    concluded_at: datetime | None = None
    """Restored, compensated, aborted or, with nothing to undo, failed."""
    changed_at: datetime
    correlation_id: UUID
    trace_id: str

    @property
    def has_dropped_out(self) -> bool:
        """True if its share is lost to the DR event: it failed, or left while the DR event goes on."""
        return self.failure is not None or self.left not in {None, "cancelled"}

    @property
    def what_went_wrong(self) -> str | None:
        """Why it does not serve or did not serve to the end, and why its building is not restored."""
        blocked = f"blocked: {self.blocked_reason}" if self.status == "blocked" else None
        left = None if self.left is None else f"{self.left.replace('_', ' ')}: {self.left_reason}"
        ended = self.failure or blocked or left or self.state.aborted_reason
        return "; ".join(filter(None, (ended, self.restore_failure))) or None
