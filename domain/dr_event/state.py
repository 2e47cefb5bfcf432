"""The state of a DR event, and the values in it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from domain.errors import NotAllowedNow
from domain.units import DecimalString

DREventStatus = Literal[
    "opened",
    "rejected",
    "accepted",
    "scheduled",
    "preparing",
    "active",
    "recovering",
    "completed",
    "cancelled",
    "cancelled_while_active",
]
Outcome = Literal["full", "partial", "failed"]
SettlementStatus = Literal["none", "measured", "not_measurable", "settled", "resettled", "not_settled"]
CallbackKind = Literal[
    "accepted",
    "rejected",
    "started",
    "completed",
    "cancelled",
    "measured",
    "settled",
    "resettled",
    "modified",
    "preempted",
]
ReplanCause = Literal["modified", "shortfall", "rejoined"]

BEFORE_START: frozenset[DREventStatus] = frozenset({"accepted", "scheduled", "preparing"})
"""The statuses between the acceptance and the start."""
RUNNING: frozenset[DREventStatus] = BEFORE_START | {"active"}
"""From the acceptance to the end of the window: only then can it be modified or cancelled."""
PLANNED: frozenset[DREventStatus] = RUNNING - {"accepted"}
"""The statuses with a plan, until the end of the window."""
FINAL: frozenset[DREventStatus] = frozenset({"completed", "cancelled", "cancelled_while_active"})
"""The statuses without further execution."""
OVER: frozenset[DREventStatus] = FINAL | {"recovering"}
"""The window will not begin, or is over: nothing new is begun."""
ENDED: frozenset[DREventStatus] = OVER - {"cancelled"}
"""The window is over, or was cut short: what was delivered is settled, and prices may still come."""


ORDINARY_KIND = "event"
"""The kind of a DR event that was requested without one; every program knows it."""

MAX_UNMEASURED_REASONS = 20
OTHER_REASONS = "other reasons"


def measurement_status(delivered_kw: float | None) -> Literal["measured", "not_measurable"]:
    """The settlement status after a measurement of the whole DR event."""
    return "not_measurable" if delivered_kw is None else "measured"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A utility's request. Once recorded, its window is the one in force: see `requested_starts_at`."""

    notification_id: str
    modification_number: int
    program_id: str
    starts_at: datetime
    ends_at: datetime
    target_kw: float
    facility_ids: tuple[str, ...]
    priority: int
    callback_url: str | None = None
    """As recorded until the addresses had a table of their own; see `callback_address_id`."""
    callback_address_id: UUID | None = None
    """The id of the callback address in the table that can forget it (ADR 0071)."""
    randomize_start_s: int = 0
    """The start may be delayed by up to this time, so that not all loads fall at once."""
    requested_starts_at: datetime | None = None
    """The start in the utility's notice, if another is in force: a random start, or a late notice."""

    @property
    def notified_starts_at(self) -> datetime:
        """The start in the utility's notice, whatever start is in force."""
        return self.requested_starts_at or self.starts_at

    @property
    def wants_callbacks(self) -> bool:
        return self.callback_url is not None or self.callback_address_id is not None


class EventPrice(msgspec.Struct, frozen=True, kw_only=True):
    """The price of the settlement interval that begins then, in the program's currency per kWh; it may be negative."""

    starts_at: datetime
    per_kwh: DecimalString


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """A reason of a refusal; `code` is stable."""

    code: str
    detail: str
    facility_id: str | None = None


class FacilityTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A facility's share in the plan, and the forecast behind it."""

    facility_id: str
    target_kw: float
    headroom_kw: float
    forecast_id: UUID | None
    forecast_position: int | None
    data_quality: str
    blocked: bool


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """How many facilities reached each phase."""

    asked: int
    prepared: int
    committed: int
    failed: int
    restored: int
    opted_out: int = 0

    @property
    def served(self) -> int:
        """How many did what was requested: served + failed + opted out = asked."""
        return self.asked - self.failed - self.opted_out

    @property
    def partial_success(self) -> bool:
        return 0 < self.served < self.asked

    @property
    def total_failure(self) -> bool:
        return self.asked > 0 and self.served == 0


class SettlementFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A settlement without its lines, which its document has."""

    status: Literal["settled", "not_settled"]
    reasons: tuple[str, ...] = ()
    """Why nothing is settled; empty: it is settled."""
    program_id: str
    program_version: int
    """The version whose rule it follows: that of the acceptance, or a newer one by a person's decision."""
    rule_digest: str | None
    """SHA-256 (hex) of the rule; None: the version has none."""
    currency: str | None
    """ISO 4217; None without a rule."""
    total: str | None
    """Exact decimal, above 0 if the utility owes it; None: nothing is settled."""
    inputs_digest: str
    """SHA-256 (hex) of the rule, the DR event as it ended, and the metering steps."""
    digest: str | None
    """SHA-256 (hex) of the document; None: without a rule, or without what one is computed from, there is none."""
    final_at: datetime | None = None
    """No resettlement after this moment; None without a rule."""


class SettlementRevision(msgspec.Struct, frozen=True, kw_only=True):
    """A settlement that is in force, or was; revision 0 is the first."""

    revision: int
    figures: SettlementFigures
    settled_at: datetime


class DREventState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a DR event."""

    dr_event_id: UUID
    utility_id: str
    utility_event_id: str
    status: DREventStatus = "opened"
    settlement_status: SettlementStatus = "none"
    notice: Notice | None = None
    kind: str = ORDINARY_KIND
    """Of the program's settlement rule: `event`, or a key of its `kinds`."""
    prices: tuple[EventPrice, ...] = ()
    """As the utility sent them last; empty: none yet."""
    reasons: tuple[Reason, ...] = ()
    reason_counts: dict[str, int] = {}
    """Code -> how many reasons have it; empty where `reasons` lists all."""
    plan_retry_at: datetime | None = None
    """Planning was refused, and is not retried before this moment."""
    program_version: int = 0
    capacity_kw: float = 0.0
    capacity_source: str = ""
    capacity_degraded_kw: float = 0.0
    """The part of the capacity that rests on degraded forecasts."""
    shortfall_kw: float = 0.0
    blocked_facilities: int | None = None
    """How many forecasts block under the guardrail, as judged with the notice."""
    at_risk_facilities: int | None = None
    start_offset_s: int | None = None
    """The delay of the start, drawn once; None: no random start was requested."""
    plan_outdated: bool = False
    """The request was modified after the plan was made."""
    withdrawn_number: int | None = None
    """Cancelled before it was accepted: only a notice with a higher number is judged."""
    withdrawn_for_good: bool = False
    """That cancellation had no number: no notice is judged any more."""
    modification_number: int = -1
    """The highest number that the utility used with effect; -1: none yet."""
    plan_revision: int = 0
    prepare_at: datetime | None = None
    targets: tuple[FacilityTarget, ...] = ()
    missing_kw: float = 0.0
    dispatched: tuple[str, ...] = ()
    """Every facility that was ever in the plan, in order. Each has a dispatch that must become final."""
    released_at: datetime | None = None
    """When the batch was released before its end: cancelled while active, or aborted."""
    outcome: Outcome | None = None
    batch: Batch | None = None
    failed_facilities: tuple[str, ...] = ()
    opted_out_facilities: tuple[str, ...] = ()
    """Set with `batch`. Served, failed and opted-out facilities are all that were asked."""
    delivered_kw: float | None = None
    """None: not measured yet, or not measurable; see `settlement_status`."""
    measured_facilities: int = 0
    unmeasured: tuple[str, ...] = ()
    """The facilities that were dispatched and are not in `delivered_kw`."""
    unmeasured_reasons: dict[str, int] = {}
    """Why -> how many of them."""
    measurements: int = 0
    """How often the sum was recorded; above 1 it was measured again."""
    settlement: SettlementRevision | None = None
    """The revision in force."""
    callbacks: dict[str, Literal["requested", "delivered", "undeliverable"]] = {}

    @property
    def judged_notice(self) -> Notice:
        """The notice that was accepted or rejected. Raises NotAllowedNow before that."""
        if self.notice is None:
            raise NotAllowedNow(f"DR event {self.dr_event_id} was not judged yet; it has no notice")
        return self.notice
