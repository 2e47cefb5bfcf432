"""What a dispatch decides: which command is allowed when, and what is recorded of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal, Self, TypeAlias
from uuid import UUID

from domain.dispatch import events
from domain.dispatch.conclusion import conclusion
from domain.dispatch.state import (
    CURTAILED,
    CommandRecord,
    DispatchState,
    DispatchStatus,
    Interval,
    Phase,
    Setpoint,
    ZonePlan,
)
from domain.errors import NotAllowedNow, ReasonRequired, UnknownBmsCommand
from domain.event_sourcing import Aggregate, DomainEvent, Provenance
from domain.facility import BmsLink
from domain.identifiers import dispatch_id


class Dispatch(Aggregate[DispatchState]):
    TOPIC: ClassVar[str] = "dispatch"

    Event: TypeAlias = events.Event
    Planned: TypeAlias = events.Planned
    Blocked: TypeAlias = events.Blocked
    ForecastOverridden: TypeAlias = events.ForecastOverridden
    BmsCommandRequested: TypeAlias = events.BmsCommandRequested
    BmsCommandReissued: TypeAlias = events.BmsCommandReissued
    BmsCommandAttempted: TypeAlias = events.BmsCommandAttempted
    BmsCommandSucceeded: TypeAlias = events.BmsCommandSucceeded
    BmsCommandRefused: TypeAlias = events.BmsCommandRefused
    BmsCommandGaveUp: TypeAlias = events.BmsCommandGaveUp
    Prepared: TypeAlias = events.Prepared
    Committed: TypeAlias = events.Committed
    VerifiedByBms: TypeAlias = events.VerifiedByBms
    DriftFound: TypeAlias = events.DriftFound
    VerifiedByMeter: TypeAlias = events.VerifiedByMeter
    Restored: TypeAlias = events.Restored
    RestoreFailed: TypeAlias = events.RestoreFailed
    Failed: TypeAlias = events.Failed
    Compensated: TypeAlias = events.Compensated
    Aborted: TypeAlias = events.Aborted
    Measured: TypeAlias = events.Measured
    NotMeasurable: TypeAlias = events.NotMeasurable

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
        command = self.state.next_command(zone, phase, not_after=not_after)
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
        """Once every open command is settled, record what the phase came to."""
        concluded = conclusion(self.state, phase, now=provenance.recorded_at)
        if concluded is not None:
            kind, facts = concluded
            self.record(kind, provenance, **facts)

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
