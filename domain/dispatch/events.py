"""Domain events of a dispatch from plan to end, and their effect on its state. Used as `Dispatch.<Name>`."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from msgspec.structs import replace

from domain.dispatch.event_base import Event, commands_done_by_hand, status_during
from domain.dispatch.state import DispatchState, LeaveCause, PromisedPower, RestoreStep, ZonePlan
from domain.event_sourcing.aggregate import CreationEvent
from domain.facility import BmsLink


class Planned(CreationEvent, Event, frozen=True, kw_only=True):
    """The dispatch was planned: the facility has a share of the target."""

    TOPIC: ClassVar[str] = "dispatch.planned.v1"
    originator_topic: str
    plan_revision: int
    starts_at: datetime
    ends_at: datetime
    expires_at: datetime
    target_kw: float
    bms: BmsLink
    zones: tuple[ZonePlan, ...]
    forecast_id: UUID | None
    data_quality: str

    def initial_state(self) -> DispatchState:
        return DispatchState(
            dr_event_id=self.dr_event_id,
            facility_id=self.facility_id,
            plan_revision=self.plan_revision,
            starts_at=self.starts_at,
            ends_at=self.ends_at,
            expires_at=self.expires_at,
            target_kw=self.target_kw,
            bms=self.bms,
            zones={zone.zone_id: zone for zone in self.zones},
            promised=(PromisedPower(self.starts_at, self.target_kw),),
            data_quality=self.data_quality,
        )


class Blocked(Event, frozen=True, kw_only=True):
    """A degraded forecast blocks the dispatch until a better one unblocks it, or an operator overrides it."""

    TOPIC: ClassVar[str] = "dispatch.blocked.v1"
    data_quality: str
    reason: str

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, status="blocked", blocked_by=self.data_quality, data_quality=self.data_quality)


class Unblocked(Event, frozen=True, kw_only=True):
    """The forecast in force does not block the dispatch any more; it is planned again."""

    TOPIC: ClassVar[str] = "dispatch.unblocked.v1"
    forecast_id: UUID
    forecast_position: int
    """The forecast's position in the log of forecasts."""
    data_quality: str
    headroom_kw: float
    """The load reduction that is possible by that forecast; below the planned share the DR event is replanned."""
    reason: str

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, status="planned", blocked_by=None, data_quality=self.data_quality)


class ForecastOverridden(Event, frozen=True, kw_only=True):
    """An operator accepted the degraded forecast."""

    TOPIC: ClassVar[str] = "dispatch.forecast-overridden.v1"
    reason: str

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, status="planned", overridden=True, blocked_by=None)


class Amended(Event, frozen=True, kw_only=True):
    """The plan changed. Phases that have begun continue, and a curtailed building stays curtailed."""

    TOPIC: ClassVar[str] = "dispatch.amended.v1"
    plan_revision: int
    starts_at: datetime
    ends_at: datetime
    expires_at: datetime
    target_kw: float
    zones: tuple[ZonePlan, ...]
    forecast_id: UUID | None
    data_quality: str
    prepare_again: bool = False
    rejoined: bool = False
    """The facility left before anything was curtailed, and takes part again."""

    def evolve(self, state: DispatchState) -> DispatchState:
        status = "planned" if self.rejoined else state.status
        return replace(
            state,
            status=status,
            plan_revision=self.plan_revision,
            starts_at=self.starts_at,
            ends_at=self.ends_at,
            expires_at=self.expires_at,
            target_kw=self.target_kw,
            zones={zone.zone_id: zone for zone in self.zones},
            promised=self._promised(state),
            data_quality=self.data_quality,
            prepare_again=self.prepare_again or (state.prepare_again and not self.rejoined),
            left=None if self.rejoined else state.left,
            left_at=None if self.rejoined else state.left_at,
            left_reason=None if self.rejoined else state.left_reason,
            aborted_reason=None if self.rejoined else state.aborted_reason,
            blocked_by=None if self.rejoined else state.blocked_by,
        )

    def _promised(self, state: DispatchState) -> tuple[PromisedPower, ...]:
        """A change before the start replaces what was promised; one during the window holds from then on."""
        if self.rejoined:
            return (PromisedPower(max(self.starts_at, self.recorded_at), self.target_kw),)
        if self.recorded_at <= self.starts_at or not state.promised:
            return (PromisedPower(self.starts_at, self.target_kw),)
        if state.promised[-1].kw == self.target_kw:
            return state.promised
        return (*state.promised, PromisedPower(self.recorded_at, self.target_kw))


class PreparationReleased(Event, frozen=True, kw_only=True):
    """The start was postponed: what was prepared is released, and prepared again later."""

    TOPIC: ClassVar[str] = "dispatch.preparation-released.v1"
    target_kw: float

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, status="planned", prepare_again=False)


class LeftEarly(Event, frozen=True, kw_only=True):
    """The facility stops serving at `left_at`; what it delivered until then counts."""

    TOPIC: ClassVar[str] = "dispatch.left-early.v1"
    cause: LeaveCause
    reason: str
    left_at: datetime

    def evolve(self, state: DispatchState) -> DispatchState:
        ends_at = min(state.ends_at, self.left_at) if self.left_at > state.starts_at else state.ends_at
        return replace(state, left=self.cause, left_at=self.left_at, left_reason=self.reason, ends_at=ends_at)


class RestorePlanned(Event, frozen=True, kw_only=True):
    """Zones that are restored later, because of minimum off times or to spread the load rebound."""

    TOPIC: ClassVar[str] = "dispatch.restore-planned.v1"
    steps: tuple[RestoreStep, ...]

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, status=status_during("restore", state), restore_steps=self.steps)


class Prepared(Event, frozen=True, kw_only=True):
    """Every zone of the plan is prepared."""

    TOPIC: ClassVar[str] = "dispatch.prepared.v1"

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, status="prepared", was_prepared=True)


class Committed(Event, frozen=True, kw_only=True):
    """Every zone of the plan is curtailed."""

    TOPIC: ClassVar[str] = "dispatch.committed.v1"

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, status="committed", was_committed=True, committed_at=self.timestamp)


class Recommitted(Event, frozen=True, kw_only=True):
    """A new commit to a curtailed building succeeded: a changed plan, or corrected drift."""

    TOPIC: ClassVar[str] = "dispatch.recommitted.v1"


class RecommitFailed(Event, frozen=True, kw_only=True):
    """A new commit failed or its outcome is unknown; the building stays curtailed as before."""

    TOPIC: ClassVar[str] = "dispatch.recommit-failed.v1"
    reason: str


class Restored(Event, frozen=True, kw_only=True):
    """Every zone is restored."""

    TOPIC: ClassVar[str] = "dispatch.restored.v1"

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, status="restored")


class RestoredByHand(Event, frozen=True, kw_only=True):
    """An operator confirms a manual restore; the BMS receives no further restore."""

    TOPIC: ClassVar[str] = "dispatch.restored-by-hand.v1"
    reason: str
    zone_ids: tuple[str, ...]
    """The zones that were curtailed, or may have been, and whose restore had not succeeded."""
    open_commands: tuple[UUID, ...] = ()
    """The commands that had no outcome; they are not sent any more."""

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(
            state,
            status="restored" if state.failure is None else "compensated",
            commands=commands_done_by_hand(state),
            curtailed_at={},
            restore_steps=(),
            by_hand_at=self.recorded_at,
        )


class RestoreFailed(Event, frozen=True, kw_only=True):
    """The building may still be curtailed. The restore is retried until it succeeds or is done by hand."""

    TOPIC: ClassVar[str] = "dispatch.restore-failed.v1"
    reason: str
    retry_at: datetime

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, status="restore_failed", restore_failures=state.restore_failures + 1)


class Failed(Event, frozen=True, kw_only=True):
    """The facility will not serve this DR event; what was begun is undone."""

    TOPIC: ClassVar[str] = "dispatch.failed.v1"
    phase: Literal["plan", "prepare", "commit"]
    reason: str

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, status="failed", failure=self.reason)


class Compensated(Event, frozen=True, kw_only=True):
    """The commands that a failed dispatch began are undone."""

    TOPIC: ClassVar[str] = "dispatch.compensated.v1"

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, status="compensated")


class Aborted(Event, frozen=True, kw_only=True):
    """The dispatch was released before its commit."""

    TOPIC: ClassVar[str] = "dispatch.aborted.v1"
    reason: str

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, status="aborted", aborted_reason=self.reason)
