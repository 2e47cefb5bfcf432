"""Domain events of a DR event's plan, and their effect on its state. Used as `DREvent.<Name>`."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from msgspec import field
from msgspec.structs import replace

from domain.dr_event.event_base import Event
from domain.dr_event.state import (
    ORDINARY_KIND,
    RUNNING,
    DREventState,
    EventPrice,
    FacilityTarget,
    Notice,
    Reason,
    ReplanCause,
)
from domain.dr_event.window import requests_the_same


def _joined(facility_ids: tuple[str, ...], targets: tuple[FacilityTarget, ...]) -> tuple[str, ...]:
    new = (target.facility_id for target in targets if target.facility_id not in facility_ids)
    return (*facility_ids, *new)


class Scheduled(Event, frozen=True, kw_only=True):
    """The plan was made: targets per facility."""

    TOPIC: ClassVar[str] = "dr-event.scheduled.v1"
    plan_revision: int
    prepare_at: datetime
    targets: tuple[FacilityTarget, ...]
    missing_kw: float

    def evolve(self, state: DREventState) -> DREventState:
        return replace(
            state,
            status="scheduled",
            plan_revision=self.plan_revision,
            prepare_at=self.prepare_at,
            targets=self.targets,
            missing_kw=self.missing_kw,
            dispatched=_joined(state.dispatched, self.targets),
            plan_outdated=False,
        )


class Modified(Event, frozen=True, kw_only=True):
    """The utility changed its request, and the changed one is feasible; a new plan follows.

    If only the kind or the prices differ, the plan stays. Prices may also change after the window.
    """

    TOPIC: ClassVar[str] = "dr-event.modified.v1"
    notice: Notice
    capacity_kw: float
    capacity_source: str
    capacity_degraded_kw: float
    shortfall_kw: float
    start_offset_s: int | None = None
    blocked_facilities: int | None = None
    at_risk_facilities: int | None = None
    kind: str = ORDINARY_KIND
    prices: tuple[EventPrice, ...] = ()

    def evolve(self, state: DREventState) -> DREventState:
        return replace(
            state,
            notice=self.notice,
            kind=self.kind,
            prices=self.prices,
            modification_number=self.notice.modification_number,
            reasons=(),
            reason_counts={},
            capacity_kw=self.capacity_kw,
            capacity_source=self.capacity_source,
            capacity_degraded_kw=self.capacity_degraded_kw,
            shortfall_kw=self.shortfall_kw,
            blocked_facilities=self.blocked_facilities,
            at_risk_facilities=self.at_risk_facilities,
            start_offset_s=self.start_offset_s,
            plan_outdated=state.plan_outdated or self._needs_a_plan(state),
            plan_retry_at=None,
        )

    def _needs_a_plan(self, state: DREventState) -> bool:
        """A notice repeated with a higher number is planned anew, as before kind and prices were known."""
        repriced = (self.kind, self.prices) != (state.kind, state.prices)
        same = state.notice is not None and requests_the_same(self.notice, state.notice)
        return state.status in RUNNING and not (repriced and same)


class ModificationRefused(Event, frozen=True, kw_only=True):
    """The changed request is not feasible; the earlier one stays in force."""

    TOPIC: ClassVar[str] = "dr-event.modification-refused.v1"
    notice: Notice
    reasons: tuple[Reason, ...]
    reason_counts: dict[str, int] = field(default_factory=dict)
    """Code -> how many reasons have it; empty where `reasons` lists all."""


class Replanned(Event, frozen=True, kw_only=True):
    """The plan was changed: `targets` are those that take part from now on."""

    TOPIC: ClassVar[str] = "dr-event.replanned.v1"
    plan_revision: int
    prepare_at: datetime
    targets: tuple[FacilityTarget, ...]
    missing_kw: float
    cause: ReplanCause
    back_to_scheduled: bool = False
    """The start was postponed: what was prepared is released, and prepared again later."""

    def evolve(self, state: DREventState) -> DREventState:
        return replace(
            state,
            status="scheduled" if self.back_to_scheduled else state.status,
            plan_revision=self.plan_revision,
            prepare_at=self.prepare_at,
            targets=self.targets,
            missing_kw=self.missing_kw,
            dispatched=_joined(state.dispatched, self.targets),
            plan_outdated=False,
        )


class Preempted(Event, frozen=True, kw_only=True):
    """A DR event of higher priority took these facilities."""

    TOPIC: ClassVar[str] = "dr-event.preempted.v1"
    facility_ids: tuple[str, ...]
    by_dr_event_id: UUID


class BatchAborted(Event, frozen=True, kw_only=True):
    """A facility failed, and the program's policy ends the whole batch, in reverse order of the commits."""

    TOPIC: ClassVar[str] = "dr-event.batch-aborted.v1"
    facility_ids: tuple[str, ...]
    reason: str
    aborted_at: datetime
    while_active: bool

    def evolve(self, state: DREventState) -> DREventState:
        return replace(state, status="recovering", released_at=self.aborted_at)


class PlanningRefused(Event, frozen=True, kw_only=True):
    """No plan is possible with the current facts; planning is retried until the start.

    A retry that is refused for the same reasons records nothing.
    """

    TOPIC: ClassVar[str] = "dr-event.planning-refused.v1"
    reasons: tuple[Reason, ...]
    retry_at: datetime
    """Not before this moment; from then on it is retried until a plan is made."""
    reason_counts: dict[str, int] = field(default_factory=dict)
    """Code -> how many reasons have it; empty where `reasons` lists all."""

    def evolve(self, state: DREventState) -> DREventState:
        return replace(
            state, reasons=self.reasons, reason_counts=self.reason_counts, plan_retry_at=self.retry_at
        )
