"""The dispatch aggregate and all its methods. Most of its decisions are functions of other modules."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any, ClassVar, Self, TypeAlias
from uuid import UUID

from domain.dispatch import (
    amendment,
    command_events,
    command_outcomes,
    event_base,
    events,
    measurement,
    observation_events,
    verification,
)
from domain.dispatch.decisions import command_requests, zones_in_order
from domain.dispatch.restore import AT_ONCE, Place, restore_all_events, restore_events, undo_events
from domain.dispatch.state import (
    CURTAILED,
    RESTORABLE_BY_HAND,
    DispatchState,
    DispatchStatus,
    LeaveCause,
    Setpoint,
    ZonePlan,
)
from domain.errors import NotAllowedNow, ReasonRequired
from domain.event_sourcing.aggregate import Aggregate, DomainEvent, Provenance, decision, timed_decision
from domain.facility import BmsLink
from domain.identifiers import dispatch_id


class Dispatch(Aggregate[DispatchState]):
    """A facility's part in one DR event."""

    TOPIC: ClassVar[str] = "dispatch"

    Event: TypeAlias = event_base.Event
    Planned: TypeAlias = events.Planned
    Blocked: TypeAlias = events.Blocked
    Unblocked: TypeAlias = events.Unblocked
    ForecastOverridden: TypeAlias = events.ForecastOverridden
    Amended: TypeAlias = events.Amended
    PreparationReleased: TypeAlias = events.PreparationReleased
    LeftEarly: TypeAlias = events.LeftEarly
    BmsCommandRequested: TypeAlias = command_events.BmsCommandRequested
    BmsCommandReissued: TypeAlias = command_events.BmsCommandReissued
    BmsCommandAttempted: TypeAlias = command_events.BmsCommandAttempted
    BmsCommandSucceeded: TypeAlias = command_events.BmsCommandSucceeded
    BmsCommandRefused: TypeAlias = command_events.BmsCommandRefused
    BmsCommandGaveUp: TypeAlias = command_events.BmsCommandGaveUp
    Prepared: TypeAlias = events.Prepared
    Committed: TypeAlias = events.Committed
    Recommitted: TypeAlias = events.Recommitted
    RecommitFailed: TypeAlias = events.RecommitFailed
    RestorePlanned: TypeAlias = events.RestorePlanned
    VerifiedByBms: TypeAlias = observation_events.VerifiedByBms
    DriftDetected: TypeAlias = observation_events.DriftDetected
    VerifiedByMeter: TypeAlias = observation_events.VerifiedByMeter
    Restored: TypeAlias = events.Restored
    RestoredByHand: TypeAlias = events.RestoredByHand
    RestoreFailed: TypeAlias = events.RestoreFailed
    Failed: TypeAlias = events.Failed
    Compensated: TypeAlias = events.Compensated
    Aborted: TypeAlias = events.Aborted
    Measured: TypeAlias = observation_events.Measured
    NotMeasurable: TypeAlias = observation_events.NotMeasurable
    Remeasured: TypeAlias = observation_events.Remeasured
    MeasurementWithdrawn: TypeAlias = observation_events.MeasurementWithdrawn

    align = decision(amendment.align_events)
    attempt = decision(command_outcomes.attempt)
    command_succeeded = timed_decision(command_outcomes.command_succeeded)
    command_refused = timed_decision(command_outcomes.command_refused)
    command_gave_up = timed_decision(command_outcomes.command_gave_up)
    reissue = timed_decision(command_outcomes.reissue)
    retry_restore = decision(command_outcomes.retry_restore)
    verify_by_bms = decision(verification.verify_by_bms)
    verify_by_meter = decision(verification.verify_by_meter)
    measure = decision(measurement.measure)
    not_measurable = decision(measurement.not_measurable)
    remeasure = timed_decision(measurement.remeasure)
    withdraw_measurement = timed_decision(measurement.withdraw_measurement)

    def record(self, domain_event_class: type[DomainEvent], provenance: Provenance, **fields: Any) -> None:
        """Append a domain event of this dispatch, with the ids of its DR event and facility."""
        super().record(
            domain_event_class,
            provenance,
            dr_event_id=self.state.dr_event_id,
            facility_id=self.state.facility_id,
            **fields,
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
        """Begin a dispatch with its share of the plan."""
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
        """Block the dispatch until a better forecast unblocks it, or an operator overrides it."""
        self._require({"planned"}, "be blocked")
        self.record(self.Blocked, provenance, data_quality=data_quality, reason=reason)

    def unblock(
        self,
        provenance: Provenance,
        *,
        forecast_id: UUID,
        forecast_position: int,
        data_quality: str,
        headroom_kw: float,
        reason: str,
    ) -> None:
        """Record that the forecast in force does not block the dispatch; one that is not blocked records nothing."""
        if self.state.status == "blocked":
            self.record(
                self.Unblocked,
                provenance,
                forecast_id=forecast_id,
                forecast_position=forecast_position,
                data_quality=data_quality,
                headroom_kw=headroom_kw,
                reason=reason,
            )

    def override_forecast(self, provenance: Provenance, *, reason: str) -> None:
        """Record that an operator accepts the degraded forecast; the dispatch is planned again."""
        if not reason.strip():
            raise ReasonRequired("an override needs a reason")
        self._require({"blocked"}, "be overridden")
        self.record(self.ForecastOverridden, provenance, reason=reason)

    def amend(
        self,
        provenance: Provenance,
        *,
        plan_revision: int,
        starts_at: datetime,
        ends_at: datetime,
        expires_at: datetime,
        target_kw: float,
        zones: tuple[ZonePlan, ...],
        forecast_id: UUID | None,
        data_quality: str,
        hold: bool,
    ) -> None:
        """Apply a changed plan.

        If it is too early to `hold` what was prepared, all of it is released; else only zones that are no
        longer in the plan. A curtailed building keeps its zones and stays curtailed; `align` sends the
        changes to it.
        """
        state = self.state
        rejoined = amendment.can_rejoin(state)
        if not (rejoined or amendment.can_be_amended(state)):
            raise NotAllowedNow(f"the dispatch of {state.facility_id} is {state.status}; its plan is closed")
        if amendment.is_curtailing(state) and {zone.zone_id for zone in zones} != set(state.zones):
            raise NotAllowedNow(f"{state.facility_id} is curtailed; its zones are fixed until it is restored")
        again = amendment.needs_prepare_again(state, zones, starts_at=starts_at, expires_at=expires_at)
        self.record(
            self.Amended,
            provenance,
            plan_revision=plan_revision,
            starts_at=starts_at,
            ends_at=ends_at,
            expires_at=expires_at,
            target_kw=target_kw,
            zones=zones,
            forecast_id=forecast_id,
            data_quality=data_quality,
            prepare_again=again and not rejoined,
            rejoined=rejoined,
        )
        changed = self.state
        drops = amendment.drop_events(changed, now=provenance.recorded_at)
        self.record_all(provenance, drops if hold else amendment.release_events(changed))

    def reconcile(
        self, provenance: Provenance, *, states: dict[str, tuple[Setpoint, bool]], not_after: datetime
    ) -> tuple[str, ...]:
        """Record and correct drift, and align the building with the plan; returns the zones that drifted.

        A building that was not verified after its commit, because it did not answer then, is verified by this one.
        """
        drifted = tuple(verification.drifted_zones(self.state, states))
        if not drifted and not self.state.has_open_command:
            self.verify_by_bms(provenance, states=states)
        self.record_all(provenance, verification.drift_corrections(self.state, states, not_after=not_after))
        self.align(provenance, not_after=not_after)
        return drifted

    def leave(
        self, provenance: Provenance, *, cause: LeaveCause, reason: str, place: Place = AT_ONCE
    ) -> None:
        """End this facility's part. A second call, or a call after the end, records nothing."""
        if not reason.strip():
            raise ReasonRequired("leaving a DR event needs a reason")
        now = provenance.recorded_at
        decided = amendment.leave_events(self.state, cause=cause, reason=reason, now=now, place=place)
        self.record_all(provenance, decided)

    def prepare(self, provenance: Provenance) -> None:
        """Request a prepare for every zone. A dispatch that is blocked or already begun requests nothing."""
        state = self.state
        again = state.prepare_again and state.status == "prepared"
        if state.left is None and (state.status == "planned" or again):
            not_after = amendment.prepare_by(state, provenance.recorded_at)
            wanted = command_requests(state, zones_in_order(state), "prepare", not_after=not_after)
            self.record_all(provenance, wanted)

    def commit(self, provenance: Provenance, *, not_after: datetime) -> None:
        """Request a commit for every prepared zone whose comfort limit leaves room."""
        state = self.state
        if state.status != "prepared" or state.prepare_again or state.left is not None:
            return
        zones = [zone for zone in zones_in_order(state) if state.magnitude_of(zone) != 0]
        if not zones:
            reason = "no zone can be curtailed within its comfort limit"
            self.record(self.Failed, provenance, phase="commit", reason=reason)
        wanted = command_requests(state, zones, "commit", not_after=min(not_after, state.ends_at))
        self.record_all(provenance, wanted)

    def restore(
        self, provenance: Provenance, *, released_at: datetime | None = None, place: Place = AT_ONCE
    ) -> None:
        """Restore every curtailed zone at its time. While a commit is open, nothing is requested."""
        state, now = self.state, provenance.recorded_at
        if state.status in CURTAILED and not state.has_open_command:
            decided = restore_all_events(state, released_at=released_at or now, now=now, place=place)
            self.record_all(provenance, decided)

    def restore_due(self, provenance: Provenance) -> None:
        """Request the restores that are due. A call that is too early, or repeated, records nothing."""
        state, now = self.state, provenance.recorded_at
        if any(step.not_before <= now for step in state.restore_steps):
            self.record_all(provenance, restore_events(state, state.restore_steps, now=now))

    def fail_unprepared(self, provenance: Provenance, *, reason: str) -> None:
        """Fail a dispatch that is blocked or was never prepared when its window begins."""
        if self.state.status in {"planned", "blocked"}:
            self.record(self.Failed, provenance, phase="plan", reason=reason)

    def fail_held_back(self, provenance: Provenance, *, reason: str) -> None:
        """Fail a dispatch whose building must not be commanded when its window begins."""
        self.fail_unprepared(provenance, reason=reason)
        if self.state.status == "prepared" and self.state.left is None:
            self.record(self.Failed, provenance, phase="commit", reason=reason)

    def abort(self, provenance: Provenance, *, reason: str) -> None:
        """Release the dispatch before its commit. Prepared zones are aborted once open prepares have an
        outcome.
        """
        if self.state.status in {"planned", "blocked"}:
            self.record(self.Aborted, provenance, reason=reason)
        self.record_all(provenance, amendment.release_events(self.state))

    def compensate(self, provenance: Provenance) -> None:
        """Undo what a failed dispatch began."""
        self.record_all(provenance, undo_events(self.state, now=provenance.recorded_at))

    def restored_by_hand(self, provenance: Provenance, *, reason: str) -> None:
        """Record that an operator confirms a manual restore; a repeated call records nothing.

        It is for every building that is curtailed or may be. During the window the facility thereby leaves the
        DR event.
        """
        if not reason.strip():
            raise ReasonRequired("a restore by hand needs a reason")
        state, now = self.state, provenance.recorded_at
        if state.status in {"restored", "compensated"} and state.was_restored_by_hand:
            return
        self._require(RESTORABLE_BY_HAND, "be restored by hand; that is for a building that may be curtailed")
        zone_ids = state.not_restored_zones
        if not zone_ids:
            raise NotAllowedNow(
                f"no commit was sent to {state.facility_id}, so that there is nothing to restore by hand"
            )
        if amendment.can_be_amended(state) and now < state.ends_at:
            leaving = {"cause": "opted_out", "reason": reason, "left_at": now}
            self.record(self.LeftEarly, provenance, **leaving)
        self.record(
            self.RestoredByHand,
            provenance,
            reason=reason,
            zone_ids=zone_ids,
            open_commands=tuple(
                record.command.command_id for record in state.commands.values() if record.state == "requested"
            ),
        )

    def _require(self, allowed: AbstractSet[DispatchStatus], doing: str) -> None:
        if self.state.status not in allowed:
            raise NotAllowedNow(
                f"the dispatch of {self.state.facility_id} is {self.state.status} and cannot {doing}"
            )
