"""Documents of DR events and dispatches, as the API publishes them.

Each lists its fields. A field of a row that is not listed here is not published (ADR 0056).
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal
from uuid import UUID

import msgspec

from domain.baseline.expected_error import ExpectedError
from domain.baseline.regression.uncertainty import SavingsUncertainty
from domain.dispatch import LeaveCause
from domain.dr_event import (
    ORDINARY_KIND,
    CallbackKind,
    DREventStatus,
    EventPrice,
    FacilityTarget,
    Outcome,
    Reason,
    SettlementStatus,
)
from domain.event_sourcing.decoders import converted
from projections.dispatch.row import DispatchRow
from projections.dr_event.row import CallbackRow, DREventRow


class CallbackState(msgspec.Struct, frozen=True, kw_only=True):
    """A callback to the utility, in the DR event that it belongs to."""

    kind: CallbackKind
    state: Literal["requested", "delivered", "undeliverable"]
    requested_at: datetime
    concluded_at: datetime | None = None
    attempts: int = 0
    failure: str | None = None


class CallbackDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A callback in the list of callbacks; its attempts are counted once it is concluded."""

    callback_id: UUID
    kind: CallbackKind
    state: Literal["requested", "delivered", "undeliverable"]
    requested_at: datetime
    concluded_at: datetime | None
    attempts: int
    failure: str | None
    """The kind of failure: a status of HTTP, or why nothing was sent or answered."""


class BatchDocument(msgspec.Struct, frozen=True, kw_only=True):
    """How many facilities reached which step, and what that makes of the whole."""

    asked: int
    prepared: int
    committed: int
    failed: int
    restored: int
    opted_out: int = 0
    partial_success: bool
    """Some facilities served, but not all that were asked."""
    total_failure: bool
    """No facility served."""


class DREventDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A DR event. kW are means over the window; times are UTC; a time that has not come is null."""

    dr_event_id: UUID
    utility_id: str
    utility_event_id: str
    status: DREventStatus
    settlement_status: SettlementStatus = "none"
    outcome: Outcome | None = None

    notification_id: str | None = None
    modification_number: int = 0
    program_id: str | None = None
    program_version: int = 0
    priority: int = 0
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    requested_starts_at: datetime | None = None
    """The start as requested, where another one is in force."""
    target_kw: float = 0.0
    facility_ids: tuple[str, ...] = ()
    wants_callbacks: bool = False
    kind: str = ORDINARY_KIND
    """Of the program's settlement rule: `event`, or a key of its `kinds`."""
    prices: tuple[EventPrice, ...] = ()
    """By settlement interval, in the program's currency per kWh; empty: none yet."""

    capacity_kw: float = 0.0
    capacity_source: str = ""
    capacity_degraded_kw: float = 0.0
    """The part of the capacity that is based on degraded forecasts."""
    shortfall_kw: float = 0.0
    reasons: tuple[Reason, ...] = ()
    """Of the rejection, or of the last refusal to plan; empty once planning succeeds."""
    reason_counts: dict[str, int] = {}
    """Code -> how many reasons have it, where there are more than `reasons` lists."""
    refused_modification: tuple[Reason, ...] = ()
    """Why the last modification was refused, at most the first ones; empty once one is accepted."""
    plan_revision: int = 0
    prepare_at: datetime | None = None
    plan_retry_at: datetime | None = None
    targets: tuple[FacilityTarget, ...] = ()
    missing_kw: float = 0.0
    """Of the plan. The share of a facility that failed or left since is missing too: see its dispatch."""

    batch: BatchDocument | None = None
    failed_facilities: tuple[str, ...] = ()
    opted_out_facilities: tuple[str, ...] = ()
    preempted_facilities: tuple[str, ...] = ()
    """Not available any more: DR events of higher priority have taken them."""
    cancellation_reason: str | None = None
    delivered_kw: float | None = None
    measured_facilities: int | None = None
    unmeasured_facilities: tuple[str, ...] = ()
    unmeasured_reasons: dict[str, int] = {}
    """Why -> how many facilities could not be measured."""
    callbacks: dict[str, CallbackState] = {}
    """By callback id."""

    opened_at: datetime
    accepted_at: datetime | None = None
    rejected_at: datetime | None = None
    scheduled_at: datetime | None = None
    preparation_started_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    completed_at: datetime | None = None
    modified_at: datetime | None = None
    released_at: datetime | None = None
    """When the batch was released before its end: cancelled while active, or aborted."""
    cancelled_at: datetime | None = None
    measured_at: datetime | None = None
    remeasured_at: datetime | None = None
    """When corrected readings last changed `delivered_kw`."""
    changed_at: datetime
    correlation_id: UUID
    trace_id: str
    domain_events: int
    """How many are recorded in its stream."""


class MeasurementDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Baseline minus meter, in sum; `/performance/{facility_id}` returns the intervals."""

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
    """What was delivered by the measurement that this one replaces."""
    corrected_at: datetime | None = None
    """Of the newest correction of readings that caused it."""
    reason: str = ""
    """Why it was measured again."""
    uncertainty: SavingsUncertainty | None = None
    """Of the delivered power, for a baseline by regression."""
    expected_error: ExpectedError | None = None
    """Of another baseline, on the facility's days without a DR event; null: none could be computed."""


class DispatchDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A facility's part in a DR event, without the commands to its building."""

    dr_event_id: UUID
    facility_id: str
    status: str
    starts_at: datetime
    ends_at: datetime
    target_kw: float
    data_quality: str
    delivered_kw: float | None
    measurement: MeasurementDocument | None
    not_measurable_reason: str | None
    blocked_reason: str | None
    override_reason: str | None
    failure: str | None
    left: LeaveCause | None
    left_reason: str | None
    """Why it left before the end, if it did."""
    what_went_wrong: str | None
    """Why it does not serve or did not serve to the end: what failed, what blocks it, why it left."""
    restored_by_hand: str | None
    prepared_at: datetime | None
    committed_at: datetime | None
    restored_at: datetime | None
    failed_at: datetime | None
    changed_at: datetime


def dr_event_document(row: DREventRow) -> DREventDocument:
    return converted(row, DREventDocument, from_attributes=True)


def dispatch_document(row: DispatchRow) -> DispatchDocument:
    return converted(row, DispatchDocument, from_attributes=True)


def callback_document(callback_id: str, row: CallbackRow) -> CallbackDocument:
    return CallbackDocument(
        callback_id=UUID(callback_id),
        kind=row.kind,
        state=row.state,
        requested_at=row.requested_at,
        concluded_at=row.concluded_at,
        attempts=row.attempts,
        failure=None if row.failure is None else _kind_of(row.failure),
    )


def _kind_of(failure: str) -> str:
    """Without the text of an answer or an address."""
    return "its address is not public" if "not a public address" in failure else failure.partition(": ")[0]
