"""What is known of a DR event: its state, and the values in it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from domain.errors import NotAllowedNow

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
SettlementStatus = Literal["none", "measured", "settled", "resettled"]
CallbackKind = Literal[
    "accepted",
    "rejected",
    "started",
    "completed",
    "cancelled",
    "measured",
    "settled",
    "modified",
    "preempted",
]
ReplanCause = Literal["modified", "shortfall", "rejoined"]

BEFORE_START: frozenset[DREventStatus] = frozenset({"accepted", "scheduled", "preparing"})
RUNNING: frozenset[DREventStatus] = BEFORE_START | {"active"}
"""From the acceptance to the end of the window: modified and cancelled only here."""
PLANNED: frozenset[DREventStatus] = RUNNING - {"accepted"}
FINAL: frozenset[DREventStatus] = frozenset({"completed", "cancelled", "cancelled_while_active"})
OVER: frozenset[DREventStatus] = FINAL | {"recovering"}
"""The window will not run, or runs no more: nothing is begun any more."""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What the utility asked for. Once recorded, the window is the one in force: see `requested_starts_at`."""

    notification_id: str
    modification_number: int
    program_id: str
    starts_at: datetime
    ends_at: datetime
    target_kw: float
    facility_ids: tuple[str, ...]
    priority: int
    callback_url: str | None = None
    randomize_start_s: int = 0
    """The start may be put off by up to this much, so that not all loads fall at one moment."""
    requested_starts_at: datetime | None = None
    """The start that the utility asked for, where another is in force: it was drawn, or the notice came late."""

    @property
    def asked_starts_at(self) -> datetime:
        """The start as asked, whatever is in force."""
        return self.requested_starts_at or self.starts_at


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """One reason of a refusal; `code` is stable."""

    code: str
    detail: str
    facility_id: str | None = None


class FacilityTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A facility's share in the plan and the forecast that it rests on."""

    facility_id: str
    target_kw: float
    headroom_kw: float
    forecast_id: UUID | None
    forecast_position: int | None
    data_quality: str
    blocked: bool


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """How many facilities got how far."""

    asked: int
    prepared: int
    committed: int
    failed: int
    restored: int
    opted_out: int = 0

    @property
    def served(self) -> int:
        """Those that did what was asked of them: served + failed + opted out = asked."""
        return self.asked - self.failed - self.opted_out

    @property
    def partial_success(self) -> bool:
        return 0 < self.served < self.asked

    @property
    def total_failure(self) -> bool:
        return self.asked > 0 and self.served == 0


class DREventState(msgspec.Struct, frozen=True, kw_only=True):
    dr_event_id: UUID
    utility_id: str
    utility_event_id: str
    status: DREventStatus = "opened"
    settlement_status: SettlementStatus = "none"
    notice: Notice | None = None
    reasons: tuple[Reason, ...] = ()
    plan_retry_at: datetime | None = None
    """Planning was refused; before that it is not tried again."""
    program_version: int = 0
    capacity_kw: float = 0.0
    capacity_source: str = ""
    capacity_degraded_kw: float = 0.0
    """The part of the capacity that rests on degraded forecasts."""
    shortfall_kw: float = 0.0
    start_offset_s: int | None = None
    """By how much the start was put off, drawn once; None: nothing was to be drawn."""
    plan_outdated: bool = False
    """Modified since the plan was made."""
    withdrawn_number: int | None = None
    """Cancelled before it was accepted: only a notice with a higher modification number is judged then."""
    withdrawn_for_good: bool = False
    """That cancellation had no number: no notice is judged any more, whatever its number."""
    modification_number: int = -1
    """The highest number that the utility has used with effect; -1: none yet."""
    plan_revision: int = 0
    prepare_at: datetime | None = None
    targets: tuple[FacilityTarget, ...] = ()
    missing_kw: float = 0.0
    dispatched: tuple[str, ...] = ()
    """Every facility that was ever in the plan, in order: each has a dispatch that must come to an end."""
    released_at: datetime | None = None
    """When the batch was let go before its end: cancelled while active, or aborted."""
    outcome: Outcome | None = None
    batch: Batch | None = None
    failed_facilities: tuple[str, ...] = ()
    opted_out_facilities: tuple[str, ...] = ()
    """With those that served, all that were asked; known once the batch is."""
    delivered_kw: float | None = None
    unmeasured: tuple[str, ...] = ()
    """The facilities that ran and are not in `delivered_kw`."""
    measurements: int = 0
    """How often it was added up; above 1 it was measured again."""
    callbacks: dict[str, Literal["requested", "delivered", "undeliverable"]] = {}

    @property
    def judged_notice(self) -> Notice:
        """The notice that it was judged by. Raises NotAllowedNow before that."""
        if self.notice is None:
            raise NotAllowedNow(f"DR event {self.dr_event_id} was not judged yet; it has no notice")
        return self.notice
