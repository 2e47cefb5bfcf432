"""The rows of the read model `dr_events`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from math import fsum
from typing import Literal
from uuid import UUID

import msgspec

from domain.dr_event import (
    ORDINARY_KIND,
    Batch,
    CallbackKind,
    DREventStatus,
    EventPrice,
    FacilityTarget,
    Outcome,
    Reason,
    SettlementStatus,
)
from projections.dispatch.row import DispatchRow


class CallbackRow(msgspec.Struct, frozen=True, kw_only=True):
    """A callback to the utility."""

    kind: CallbackKind
    state: Literal["requested", "delivered", "undeliverable"]
    requested_at: datetime
    concluded_at: datetime | None = None
    attempts: int = 0
    failure: str | None = None


class SettlementRow(msgspec.Struct, frozen=True, kw_only=True):
    """A revision of the settlement; 0 is the first."""

    revision: int
    status: Literal["settled", "not_settled"]
    reasons: tuple[str, ...] = ()
    """Why nothing is settled."""
    program_version: int
    """The version whose rule it follows."""
    currency: str | None
    total: str | None
    """Exact decimal, above 0 if the utility owes it; None: nothing is settled."""
    difference: str | None = None
    """To the revision before; None for the first."""
    why: str
    digest: str | None
    """SHA-256 (hex) of its document, if it has one."""
    settled_at: datetime
    final_at: datetime | None = None
    """No resettlement after this moment; None without a rule."""


class DREventRow(msgspec.Struct, frozen=True, kw_only=True):
    """A DR event. kW are means over the window; times are UTC; a time is None until it is reached."""

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
    """The start in the notice, if another is in force."""
    target_kw: float = 0.0
    facility_ids: tuple[str, ...] = ()
    wants_callbacks: bool = False
    kind: str = ORDINARY_KIND
    """Of the program's settlement rule."""
    prices: tuple[EventPrice, ...] = ()

    capacity_kw: float = 0.0
    capacity_source: str = ""
    capacity_degraded_kw: float = 0.0
    """The part of the capacity that rests on degraded forecasts."""
    shortfall_kw: float = 0.0
    reasons: tuple[Reason, ...] = ()
    """Of the rejection, or of the last refusal to plan; empty once it continues."""
    reason_counts: dict[str, int] = {}
    """Code -> how many reasons have it; empty where `reasons` lists all."""
    refused_modification: tuple[Reason, ...] = ()
    """Why the last modification was refused, at most the first ones; empty once one is accepted."""
    plan_revision: int = 0
    prepare_at: datetime | None = None
    plan_retry_at: datetime | None = None
    targets: tuple[FacilityTarget, ...] = ()
    missing_kw: float = 0.0
    """Of the plan; see `missing_now_kw`."""

    batch: Batch | None = None
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
    settlements: tuple[SettlementRow, ...] = ()
    """Every revision of the settlement; the last one is in force."""
    callbacks: dict[str, CallbackRow] = {}
    """Callback id -> the callback."""

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
    """When corrected readings last changed the delivered power."""
    changed_at: datetime
    correlation_id: UUID
    trace_id: str
    domain_events: int
    """The number of domain events in its stream."""

    @property
    def settlement(self) -> SettlementRow | None:
        """The revision in force."""
        return self.settlements[-1] if self.settlements else None

    @property
    def is_not_measurable(self) -> bool:
        """True if facilities were curtailed, and none of them could be measured."""
        return self.delivered_kw is None and bool(self.unmeasured_facilities)

    def missing_now_kw(self, dispatches: Iterable[DispatchRow]) -> float:
        """The power that is missing of the target: what the plan lacks, and the planned shares of facilities that have
        dropped out since."""
        dropped_out = {row.facility_id for row in dispatches if row.has_dropped_out}
        return self.missing_kw + fsum(t.target_kw for t in self.targets if t.facility_id in dropped_out)
