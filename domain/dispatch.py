"""The dispatch of one facility in one DR event: the unit of the saga.

Every BMS command is requested (the intent) before it is sent, attempted before each call, and concluded by its
outcome. Nothing is guessed: a command without a known outcome stays open until the BMS was asked.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal, Self
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.errors import NotAllowedNow, ReasonRequired, UnknownBmsCommand
from domain.event_sourcing import Aggregate, CreationEvent, DomainEvent, Provenance
from domain.facility import BmsLink, Strategy
from domain.identifiers import bms_command_id, dispatch_id

Phase = Literal["prepare", "commit", "abort", "restore"]
DispatchStatus = Literal[
    "planned",
    "blocked",
    "preparing",
    "prepared",
    "committing",
    "committed",
    "verified_by_bms",
    "verified_by_meter",
    "restoring",
    "restored",
    "restore_failed",
    "compensating",
    "compensated",
    "aborting",
    "aborted",
    "failed",
]
CommandState = Literal["requested", "succeeded", "refused", "gave_up"]

CURTAILED: frozenset[DispatchStatus] = frozenset({"committed", "verified_by_bms", "verified_by_meter"})
FINAL: frozenset[DispatchStatus] = frozenset(
    {"restored", "restore_failed", "compensated", "aborted", "failed"}
)
UNDOING: frozenset[DispatchStatus] = frozenset({"restoring", "compensating", "restore_failed"})


class Setpoint(msgspec.Struct, frozen=True, kw_only=True):
    value: float
    unit: Literal["celsius", "percent"]


class ZonePlan(msgspec.Struct, frozen=True, kw_only=True):
    """A zone's share: `magnitude` (kelvin or percent) is what gives `target_kw`."""

    zone_id: str
    target_kw: float
    strategy: Strategy
    magnitude: float


class BmsCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command to the BMS for one zone, as intended."""

    command_id: UUID
    zone_id: str
    phase: Phase
    plan_revision: int
    round: int
    strategy: Strategy
    magnitude: float
    restore_to: Setpoint | None
    expires_at: datetime
    """When a BMS that hears nothing more restores itself."""
    not_after: datetime | None
    """From then on the command must not be sent any more; None: it must succeed however late."""


class CommandRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a requested command."""

    command: BmsCommand
    state: CommandState = "requested"
    attempts: int = 0
    issue: int = 1
    """How often it was put to work: a person or the schedule may issue the same id again."""


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """One interval of a measurement, mean kW; None where the meter or the baseline is missing."""

    starts_at: datetime
    baseline_kw: float | None
    adjusted_kw: float | None
    metered_kw: float | None
    delivered_kw: float | None


class DispatchState(msgspec.Struct, frozen=True, kw_only=True):
    dr_event_id: UUID
    facility_id: str
    plan_revision: int
    starts_at: datetime
    ends_at: datetime
    expires_at: datetime
    target_kw: float
    bms: BmsLink
    zones: dict[str, ZonePlan]
    status: DispatchStatus = "planned"
    commands: dict[str, CommandRecord] = {}
    previous: dict[str, Setpoint] = {}
    """Zone -> the setpoint found at prepare; restore sends it back."""
    was_prepared: bool = False
    was_committed: bool = False
    failure: str | None = None
    delivered_kw: float | None = None
    measured: bool = False

    def latest(self, phase: Phase) -> dict[str, CommandRecord]:
        """Zone -> its newest command of that phase."""
        newest: dict[str, CommandRecord] = {}
        for record in self.commands.values():
            if record.command.phase == phase:
                known = newest.get(record.command.zone_id)
                if known is None or record.command.round > known.command.round:
                    newest[record.command.zone_id] = record
        return newest

    def to_undo(self) -> list[tuple[str, Literal["abort", "restore"]]]:
        """What a failed dispatch still has to undo: (zone, how). A prepare of unknown outcome expires by itself."""
        if self.status != "failed":
            return []
        commits, prepares = self.latest("commit"), self.latest("prepare")
        undo: list[tuple[str, Literal["abort", "restore"]]] = []
        for zone_id in sorted(self.zones):
            commit, prepare = commits.get(zone_id), prepares.get(zone_id)
            if commit is not None and commit.state in {"succeeded", "gave_up"}:
                undo.append((zone_id, "restore"))
            elif prepare is not None and prepare.state == "succeeded":
                undo.append((zone_id, "abort"))
        return undo

    @property
    def is_final(self) -> bool:
        """Nothing more will happen by itself, but for a failed restore, which is tried until it succeeds."""
        return self.status in FINAL and not self.to_undo()


RESTORE_RETRY = timedelta(seconds=60)
"""How long after a failed restore it is tried again."""


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


class Dispatch(Aggregate[DispatchState]):
    TOPIC: ClassVar[str] = "dispatch"

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

    def record(self, domain_event_class: type[DomainEvent], provenance: Provenance, **facts: Any) -> None:
        """Append a domain event of this dispatch; each names its DR event and facility."""
        super().record(
            domain_event_class,
            provenance,
            dr_event_id=self.state.dr_event_id,
            facility_id=self.state.facility_id,
            **facts,
        )

    @classmethod
    def plan(
        cls,
        provenance: Provenance,
        *,
        dr_event_id: UUID,
        facility_id: str,
        plan_revision: int,
        starts_at: datetime,
        ends_at: datetime,
        expires_at: datetime,
        target_kw: float,
        bms: BmsLink,
        zones: tuple[ZonePlan, ...],
        forecast_id: UUID | None,
        data_quality: str,
    ) -> Self:
        return cls.open_stream(
            dispatch_id(dr_event_id, facility_id),
            cls.Planned,
            provenance,
            dr_event_id=dr_event_id,
            facility_id=facility_id,
            plan_revision=plan_revision,
            starts_at=starts_at,
            ends_at=ends_at,
            expires_at=expires_at,
            target_kw=target_kw,
            bms=bms,
            zones=zones,
            forecast_id=forecast_id,
            data_quality=data_quality,
        )

    def block(self, provenance: Provenance, *, data_quality: str, reason: str) -> None:
        self._require({"planned"}, "be blocked")
        self.record(self.Blocked, provenance, data_quality=data_quality, reason=reason)

    def override_forecast(self, provenance: Provenance, *, reason: str) -> None:
        """An operator answers for the degraded forecast."""
        if not reason.strip():
            raise ReasonRequired("an override needs a reason")
        self._require({"blocked"}, "be overridden")
        self.record(self.ForecastOverridden, provenance, reason=reason)

    def prepare(self, provenance: Provenance) -> None:
        """Request a prepare for every zone; a blocked or begun dispatch requests nothing."""
        if self.state.status == "planned":
            for zone in self._zones():
                self._request(provenance, zone, "prepare", not_after=self.state.starts_at)

    def commit(self, provenance: Provenance, *, not_after: datetime) -> None:
        """Request a commit for every prepared zone; a dispatch not prepared requests nothing."""
        if self.state.status == "prepared":
            for zone in self._zones():
                self._request(provenance, zone, "commit", not_after=min(not_after, self.state.ends_at))

    def restore(self, provenance: Provenance) -> None:
        """Request to restore every curtailed zone; where a commit is still open nothing is requested yet."""
        if self.state.status in CURTAILED:
            for zone in self._zones():
                self._request(provenance, zone, "restore", not_after=None)

    def fail_unprepared(self, provenance: Provenance, *, reason: str) -> None:
        """The window begins and this dispatch was blocked, or never prepared."""
        if self.state.status in {"planned", "blocked"}:
            self.record(self.Failed, provenance, phase="plan", reason=reason)

    def abort(self, provenance: Provenance, *, reason: str) -> None:
        """Release the dispatch before it is committed: prepared zones are aborted, open prepares settle first."""
        status = self.state.status
        if status in {"planned", "blocked"}:
            self.record(self.Aborted, provenance, reason=reason)
        elif status == "prepared":
            for zone in self._zones():
                self._request(provenance, zone, "abort", not_after=self.state.expires_at)

    def compensate(self, provenance: Provenance) -> None:
        """Undo what a failed dispatch began: restore what was or may be committed, abort what was only prepared."""
        for zone_id, phase in self.state.to_undo():
            not_after = None if phase == "restore" else self.state.expires_at
            self._request(provenance, self.state.zones[zone_id], phase, not_after=not_after)

    def retry_restore(self, provenance: Provenance, *, reason: str) -> None:
        """Try the unrestored zones again: a new round after a refusal, else the same command id."""
        if self.state.status != "restore_failed":
            return
        for zone_id, record in sorted(self.state.latest("restore").items()):
            if record.state == "refused":
                self._request(provenance, self.state.zones[zone_id], "restore", not_after=None)
            elif record.state == "gave_up":
                self._reissue(provenance, record, reason)

    def reissue(self, provenance: Provenance, *, command_id: UUID, reason: str) -> None:
        """Put a dead-lettered command to work again, under the same id; by a person, with a reason."""
        if not reason.strip():
            raise ReasonRequired("a replay needs a reason")
        record = self._record_of(command_id)
        if record.state != "gave_up":
            raise NotAllowedNow(f"command {command_id} is {record.state}; only one given up can be replayed")
        if record.command.phase not in {"restore", "abort"}:
            raise NotAllowedNow(
                f"the {record.command.phase} of {self.state.facility_id} can no longer be replayed: "
                "its dispatch has failed and was compensated"
            )
        self._reissue(provenance, record, reason)

    def attempt(self, provenance: Provenance, *, command_id: UUID) -> int:
        """Record that a call is about to be made; gives the number of this attempt."""
        record = self._record_of(command_id)
        if record.state != "requested":
            raise NotAllowedNow(f"command {command_id} is already {record.state}")
        attempt = record.attempts + 1
        self.record(self.BmsCommandAttempted, provenance, command_id=command_id, attempt=attempt)
        return attempt

    def command_succeeded(
        self,
        provenance: Provenance,
        *,
        command_id: UUID,
        executed_at: datetime,
        setpoint: Setpoint,
        learned_by: Literal["answer", "status_query"],
    ) -> None:
        """Record a success and what follows from it; a second report of an outcome records nothing."""
        record = self._record_of(command_id)
        if record.state != "requested":
            return
        command = record.command
        self.record(
            self.BmsCommandSucceeded,
            provenance,
            command_id=command_id,
            zone_id=command.zone_id,
            phase=command.phase,
            executed_at=executed_at,
            setpoint=setpoint,
            learned_by=learned_by,
        )
        self._conclude(provenance, command.phase)

    def command_refused(self, provenance: Provenance, *, command_id: UUID, code: str, reason: str) -> None:
        record = self._record_of(command_id)
        if record.state != "requested":
            return
        command = record.command
        self.record(
            self.BmsCommandRefused,
            provenance,
            command_id=command_id,
            zone_id=command.zone_id,
            phase=command.phase,
            code=code,
            reason=reason,
        )
        self._conclude(provenance, command.phase)

    def command_gave_up(
        self, provenance: Provenance, *, command_id: UUID, was_sent: bool, reason: str
    ) -> None:
        record = self._record_of(command_id)
        if record.state != "requested":
            return
        command = record.command
        self.record(
            self.BmsCommandGaveUp,
            provenance,
            command_id=command_id,
            zone_id=command.zone_id,
            phase=command.phase,
            attempts=record.attempts,
            was_sent=was_sent,
            reason=reason,
        )
        self._conclude(provenance, command.phase)

    def verify_by_bms(self, provenance: Provenance, *, states: dict[str, tuple[Setpoint, bool]]) -> None:
        """Compare each zone's (setpoint, curtailed) with what was commanded."""
        if self.state.status != "committed":
            return
        drifted = [zone_id for zone_id in sorted(self.state.zones) if not states[zone_id][1]]
        for zone_id in drifted:
            found, curtailed = states[zone_id]
            self.record(self.DriftFound, provenance, zone_id=zone_id, found=found, curtailed=curtailed)
        if not drifted:
            self.record(self.VerifiedByBms, provenance)

    def verify_by_meter(self, provenance: Provenance, *, delivered_kw: float, measured_at: datetime) -> None:
        if self.state.status in {"committed", "verified_by_bms"}:
            self.record(self.VerifiedByMeter, provenance, delivered_kw=delivered_kw, measured_at=measured_at)

    def measure(
        self,
        provenance: Provenance,
        *,
        baseline_method: str,
        days: tuple[str, ...],
        adjustment_kind: str,
        adjustment_value: float | None,
        adjustment_clipped: bool,
        intervals: tuple[Interval, ...],
        coverage_pct: float,
        delivered_kw: float,
        data_hash: str,
    ) -> None:
        """Record the measurement; only once (a later correction is a resettlement)."""
        if self.state.measured:
            return
        if not self.state.was_committed:
            raise NotAllowedNow(f"{self.state.facility_id} was never committed: there is nothing to measure")
        self.record(
            self.Measured,
            provenance,
            baseline_method=baseline_method,
            days=days,
            adjustment_kind=adjustment_kind,
            adjustment_value=adjustment_value,
            adjustment_clipped=adjustment_clipped,
            intervals=intervals,
            coverage_pct=coverage_pct,
            delivered_kw=delivered_kw,
            data_hash=data_hash,
        )

    def not_measurable(self, provenance: Provenance, *, reason: str) -> None:
        if not self.state.measured:
            self.record(self.NotMeasurable, provenance, reason=reason)

    def _zones(self) -> list[ZonePlan]:
        return [self.state.zones[zone_id] for zone_id in sorted(self.state.zones)]

    def _request(
        self, provenance: Provenance, zone: ZonePlan, phase: Phase, *, not_after: datetime | None
    ) -> None:
        state = self.state
        known = state.latest(phase).get(zone.zone_id)
        round_number = known.command.round + 1 if known else 1
        undoing = phase in {"abort", "restore"}
        command = BmsCommand(
            command_id=bms_command_id(
                state.dr_event_id,
                state.facility_id,
                zone.zone_id,
                phase,
                plan_revision=state.plan_revision,
                round_number=round_number,
            ),
            zone_id=zone.zone_id,
            phase=phase,
            plan_revision=state.plan_revision,
            round=round_number,
            strategy=zone.strategy,
            magnitude=0.0 if undoing else zone.magnitude,
            restore_to=state.previous[zone.zone_id] if phase == "restore" else None,
            expires_at=state.expires_at,
            not_after=not_after,
        )
        self.record(self.BmsCommandRequested, provenance, command=command)

    def _reissue(self, provenance: Provenance, record: CommandRecord, reason: str) -> None:
        self.record(
            self.BmsCommandReissued,
            provenance,
            command_id=record.command.command_id,
            issue=record.issue + 1,
            reason=reason,
        )

    def _conclude(self, provenance: Provenance, phase: Phase) -> None:
        """Once every open command is settled, say what the phase came to."""
        records = self.state.commands.values()
        if any(record.state == "requested" for record in records):
            return
        latest = self.state.latest(phase)
        unsuccessful = {zone: record for zone, record in latest.items() if record.state != "succeeded"}
        if phase in ("prepare", "commit"):
            self._conclude_forward(provenance, phase, unsuccessful)
        else:
            self._conclude_undoing(provenance)

    def _conclude_forward(
        self,
        provenance: Provenance,
        phase: Literal["prepare", "commit"],
        unsuccessful: dict[str, CommandRecord],
    ) -> None:
        if unsuccessful:
            named = ", ".join(f"{zone} {record.state}" for zone, record in sorted(unsuccessful.items()))
            self.record(self.Failed, provenance, phase=phase, reason=f"{phase} did not succeed: {named}")
        elif phase == "prepare":
            self.record(self.Prepared, provenance)
        else:
            self.record(self.Committed, provenance)

    def _conclude_undoing(self, provenance: Provenance) -> None:
        restores = self.state.latest("restore")
        if any(record.state != "succeeded" for record in restores.values()):
            self.record(
                self.RestoreFailed,
                provenance,
                reason="not every zone could be restored",
                retry_at=provenance.recorded_at + RESTORE_RETRY,
            )
        elif self.state.failure is not None:
            self.record(self.Compensated, provenance)
        elif restores:
            self.record(self.Restored, provenance)
        else:
            self.record(self.Aborted, provenance, reason="released before the commit")

    def _record_of(self, command_id: UUID) -> CommandRecord:
        try:
            return self.state.commands[str(command_id)]
        except KeyError:
            raise UnknownBmsCommand(
                f"command {command_id} was never requested of {self.state.facility_id}"
            ) from None

    def _require(self, allowed: set[DispatchStatus], doing: str) -> None:
        if self.state.status not in allowed:
            raise NotAllowedNow(
                f"the dispatch of {self.state.facility_id} is {self.state.status} and cannot {doing}"
            )
