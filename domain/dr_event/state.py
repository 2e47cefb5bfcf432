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
CallbackKind = Literal["accepted", "rejected", "started", "completed", "cancelled", "measured", "settled"]

BEFORE_START: frozenset[DREventStatus] = frozenset({"accepted", "scheduled", "preparing"})
FINAL: frozenset[DREventStatus] = frozenset({"completed", "cancelled", "cancelled_while_active"})


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What the utility asked for, as it asked."""

    notification_id: str
    modification_number: int
    program_id: str
    starts_at: datetime
    ends_at: datetime
    target_kw: float
    facility_ids: tuple[str, ...]
    priority: int
    callback_url: str | None = None


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
    shortfall_kw: float = 0.0
    plan_revision: int = 0
    prepare_at: datetime | None = None
    targets: tuple[FacilityTarget, ...] = ()
    missing_kw: float = 0.0
    outcome: Outcome | None = None
    batch: Batch | None = None
    delivered_kw: float | None = None
    callbacks: dict[str, Literal["requested", "delivered", "undeliverable"]] = {}

    @property
    def judged_notice(self) -> Notice:
        """The notice that it was judged by. Raises NotAllowedNow before that."""
        if self.notice is None:
            raise NotAllowedNow(f"DR event {self.dr_event_id} was not judged yet; it has no notice")
        return self.notice
