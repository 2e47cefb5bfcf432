"""What can happen to a dispatch: every domain event, and how it evolves the state. Written as `Dispatch.<Name>`."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from msgspec.structs import replace

from domain.dispatch.state import (
    BmsCommand,
    CommandRecord,
    DispatchState,
    DispatchStatus,
    Interval,
    Phase,
    Setpoint,
    ZonePlan,
)
from domain.event_sourcing import Aggregate, CreationEvent
from domain.facility import BmsLink


def _underway(phase: Phase, state: DispatchState) -> DispatchStatus:
    """The status while commands of `phase` are open."""
    if phase == "prepare":
        return "preparing"
    if phase == "commit":
        return "committing"
    if state.failure is not None:
        return "compensating"
    return "restoring" if phase == "restore" else "aborting"


def _with_command(state: DispatchState, record: CommandRecord) -> DispatchState:
    return replace(state, commands={**state.commands, str(record.command.command_id): record})


class Event(Aggregate.Event, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "dispatch.event"
    dr_event_id: UUID
    facility_id: str


class Planned(CreationEvent, Event, frozen=True, kw_only=True):
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
        )


class Blocked(Event, frozen=True, kw_only=True):
    """A degraded forecast blocks the dispatch until an operator overrides it."""

    TOPIC: ClassVar[str] = "dispatch.blocked.v1"
    data_quality: str
    reason: str

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, status="blocked")


class ForecastOverridden(Event, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "dispatch.forecast-overridden.v1"
    reason: str

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, status="planned")


class BmsCommandRequested(Event, frozen=True, kw_only=True):
    """The intent, recorded before anything is sent."""

    TOPIC: ClassVar[str] = "dispatch.bms-command-requested.v1"
    command: BmsCommand

    def evolve(self, state: DispatchState) -> DispatchState:
        record = CommandRecord(command=self.command)
        return _with_command(replace(state, status=_underway(self.command.phase, state)), record)


class BmsCommandReissued(Event, frozen=True, kw_only=True):
    """The same command is put to work again, under the same id: its outcome was not known."""

    TOPIC: ClassVar[str] = "dispatch.bms-command-reissued.v1"
    command_id: UUID
    issue: int
    reason: str

    def evolve(self, state: DispatchState) -> DispatchState:
        record = state.commands[str(self.command_id)]
        changed = replace(record, state="requested", issue=self.issue)
        status = _underway(record.command.phase, state)
        return _with_command(replace(state, status=status), changed)


class BmsCommandAttempted(Event, frozen=True, kw_only=True):
    """A call is about to be made; from here on the outcome is unknown until it is recorded."""

    TOPIC: ClassVar[str] = "dispatch.bms-command-attempted.v1"
    command_id: UUID
    attempt: int

    def evolve(self, state: DispatchState) -> DispatchState:
        record = state.commands[str(self.command_id)]
        return _with_command(state, replace(record, attempts=self.attempt))


class BmsCommandSucceeded(Event, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "dispatch.bms-command-succeeded.v1"
    command_id: UUID
    zone_id: str
    phase: Phase
    executed_at: datetime
    setpoint: Setpoint
    """Prepare: the setpoint found; other phases: the setpoint now in force."""
    learned_by: Literal["answer", "status_query"]

    def evolve(self, state: DispatchState) -> DispatchState:
        record = state.commands[str(self.command_id)]
        changed = _with_command(state, replace(record, state="succeeded"))
        if self.phase == "prepare":
            return replace(changed, previous={**changed.previous, self.zone_id: self.setpoint})
        return changed


class BmsCommandRefused(Event, frozen=True, kw_only=True):
    """A definite failure: the BMS said no and did nothing."""

    TOPIC: ClassVar[str] = "dispatch.bms-command-refused.v1"
    command_id: UUID
    zone_id: str
    phase: Phase
    code: str
    reason: str

    def evolve(self, state: DispatchState) -> DispatchState:
        record = state.commands[str(self.command_id)]
        return _with_command(state, replace(record, state="refused"))


class BmsCommandGaveUp(Event, frozen=True, kw_only=True):
    """No outcome could be learned by the deadline; it is a dead letter now."""

    TOPIC: ClassVar[str] = "dispatch.bms-command-gave-up.v1"
    command_id: UUID
    zone_id: str
    phase: Phase
    attempts: int
    was_sent: bool
    """False: it never left, so the zone is surely untouched by it."""
    reason: str

    def evolve(self, state: DispatchState) -> DispatchState:
        record = state.commands[str(self.command_id)]
        if not self.was_sent:
            return _with_command(state, replace(record, state="refused"))
        return _with_command(state, replace(record, state="gave_up"))


class Prepared(Event, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "dispatch.prepared.v1"

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, status="prepared", was_prepared=True)


class Committed(Event, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "dispatch.committed.v1"

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, status="committed", was_committed=True)


class VerifiedByBms(Event, frozen=True, kw_only=True):
    """Every zone's own state says that the command is in force."""

    TOPIC: ClassVar[str] = "dispatch.verified-by-bms.v1"

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, status="verified_by_bms")


class DriftFound(Event, frozen=True, kw_only=True):
    """A zone's state differs from what was commanded."""

    TOPIC: ClassVar[str] = "dispatch.drift-found.v1"
    zone_id: str
    found: Setpoint
    curtailed: bool


class VerifiedByMeter(Event, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "dispatch.verified-by-meter.v1"
    delivered_kw: float
    measured_at: datetime

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, status="verified_by_meter")


class Restored(Event, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "dispatch.restored.v1"

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, status="restored")


class RestoreFailed(Event, frozen=True, kw_only=True):
    """The building may still be curtailed; it is tried again until it succeeds."""

    TOPIC: ClassVar[str] = "dispatch.restore-failed.v1"
    reason: str
    retry_at: datetime

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, status="restore_failed")


class Failed(Event, frozen=True, kw_only=True):
    """The facility will not serve this DR event; what was begun is undone."""

    TOPIC: ClassVar[str] = "dispatch.failed.v1"
    phase: Literal["plan", "prepare", "commit"]
    reason: str

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, status="failed", failure=self.reason)


class Compensated(Event, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "dispatch.compensated.v1"

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, status="compensated")


class Aborted(Event, frozen=True, kw_only=True):
    """Released before it was committed."""

    TOPIC: ClassVar[str] = "dispatch.aborted.v1"
    reason: str

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, status="aborted")


class Measured(Event, frozen=True, kw_only=True):
    """Baseline minus meter over the window; mean kW."""

    TOPIC: ClassVar[str] = "dispatch.measured.v1"
    baseline_method: str
    days: tuple[str, ...]
    adjustment_kind: str
    adjustment_value: float | None
    adjustment_clipped: bool
    intervals: tuple[Interval, ...]
    coverage_pct: float
    delivered_kw: float
    data_hash: str

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, measured=True, delivered_kw=self.delivered_kw)


class NotMeasurable(Event, frozen=True, kw_only=True):
    """The readings do not suffice for a measurement; nothing is guessed."""

    TOPIC: ClassVar[str] = "dispatch.not-measurable.v1"
    reason: str

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, measured=True)
