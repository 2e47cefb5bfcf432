"""Walks: a DR event or a dispatch taken through named commands, for tests of states and replay."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from domain.dispatch import Dispatch, Setpoint, ZonePlan
from domain.dr_event import Batch, DREvent, EventPrice, Reason
from domain.event_sourcing.aggregate import DomainEvent, Provenance
from tests.measured_figures import figures
from tests.sample_settlement import settlement_figures
from tests.sample_values import (
    BMS,
    DR_EVENT_ID,
    ENDS_AT,
    NOW,
    STARTS_AT,
    UTILITY,
    UTILITY_EVENT,
    notice,
    provenance,
    target,
)

PREPARE_AT = STARTS_AT - timedelta(minutes=10)
INSTANT = timedelta(microseconds=1)
FOUND = Setpoint(value=22.0, unit="celsius")


@dataclass
class Walk:
    """An aggregate in the course of its commands, with what it recorded."""

    aggregate: Any
    recorded: list[DomainEvent] = field(default_factory=list)
    steps: int = 0

    def __post_init__(self) -> None:
        self._keep()

    @property
    def provenance(self) -> Provenance:
        return provenance(NOW + timedelta(seconds=self.steps))

    def take(self, step: str) -> int:
        """Execute one command by its name; returns how many domain events it recorded. Raises the domain's
        error.
        """
        self.steps += 1
        try:
            getattr(self, step)()
        finally:
            recorded = self._keep()
        return recorded

    def _keep(self) -> int:
        collected: Sequence[Any] = self.aggregate.collect_events()
        self.recorded += collected
        return len(collected)


def dr_event_walk() -> "DREventWalk":
    return DREventWalk(DREvent.open(provenance(), utility_id=UTILITY, utility_event_id=UTILITY_EVENT))


class DREventWalk(Walk):
    aggregate: DREvent

    def accept(self) -> None:
        self._accept(0)

    def accept_newer(self) -> None:
        self._accept(1)

    def _accept(self, number: int) -> None:
        self.aggregate.accept(
            self.provenance,
            notice=notice(modification_number=number),
            program_version=1,
            capacity_kw=200.0,
            capacity_source="forecast",
            shortfall_kw=0.0,
        )

    def reject(self) -> None:
        why = Reason(code="overlap", detail="taken", facility_id="fac-001")
        self.aggregate.reject(self.provenance, notice=notice(), reasons=(why,))

    def schedule(self) -> None:
        self.aggregate.schedule(
            self.provenance, prepare_at=PREPARE_AT, targets=(target(), target("fac-002")), missing_kw=0.0
        )

    def refuse_planning(self) -> None:
        """A refusal that is repeated has the reasons recorded before."""
        why = Reason(code="no_forecast", detail="none")
        self._refuse_planning(*(self.aggregate.state.reasons or (why,)))

    def refuse_planning_anew(self) -> None:
        """For other reasons than the recorded ones."""
        number = len(self.recorded)
        self._refuse_planning(Reason(code="no_forecast", detail=f"none after {number} domain events"))

    def _refuse_planning(self, *reasons: Reason) -> None:
        self.aggregate.refuse_planning(self.provenance, reasons=reasons, retry_at=NOW)

    def modify(self) -> None:
        self._modify(1)

    def modify_stale(self) -> None:
        self._modify(0)

    def _modify(self, more: int) -> None:
        number = self.aggregate.state.modification_number + more
        self.aggregate.modify(
            self.provenance,
            notice=notice(modification_number=number),
            capacity_kw=180.0,
            capacity_source="forecast",
            capacity_degraded_kw=20.0,
            shortfall_kw=0.0,
            start_offset_s=None,
        )

    def reprice(self) -> None:
        """Prices that differ from those in force, for an unchanged request."""
        self._reprice(kind=self.aggregate.state.kind)

    def rename_kind(self) -> None:
        self._reprice(kind=f"{self.aggregate.state.kind}-2")

    def _reprice(self, kind: str) -> None:
        state = self.aggregate.state
        number = state.modification_number + 1
        price = EventPrice(starts_at=STARTS_AT, per_kwh=f"0.{number}")
        self.aggregate.reprice(
            self.provenance, notice=notice(modification_number=number), kind=kind, prices=(price,)
        )

    def refuse_modification(self) -> None:
        number = self.aggregate.state.modification_number + 1
        self.aggregate.refuse_modification(
            self.provenance,
            notice=notice(modification_number=number),
            reasons=(Reason(code="too_long", detail="lasts too long"),),
        )

    def replan_far(self) -> None:
        self._replan(PREPARE_AT)

    def replan_near(self) -> None:
        self._replan(NOW)

    def _replan(self, prepare_at: datetime) -> None:
        self.aggregate.replan(
            self.provenance, prepare_at=prepare_at, targets=(target(),), missing_kw=0.0, cause="modified"
        )

    def preempt(self) -> None:
        self.aggregate.preempt(self.provenance, facility_ids=("fac-001",), by_dr_event_id=UUID(int=0xD0))

    def abort_batch(self) -> None:
        self.aggregate.abort_batch(self.provenance, facility_ids=("fac-001",), reason="one fell out")

    def withdraw(self) -> None:
        self.aggregate.withdraw(self.provenance, modification_number=0, reason="not needed")

    def wind_up(self) -> None:
        batch = Batch(asked=2, prepared=2, committed=1, failed=0, restored=1, opted_out=1)
        self.aggregate.wind_up(
            self.provenance, batch=batch, failed_facilities=(), opted_out_facilities=("fac-002",)
        )

    def prepare_early(self) -> None:
        due_at = self.aggregate.state.prepare_at or PREPARE_AT
        self.aggregate.start_preparation(self.provenance, now=due_at - INSTANT)

    def prepare_due(self) -> None:
        self.aggregate.start_preparation(self.provenance, now=PREPARE_AT)

    def start_early(self) -> None:
        self.aggregate.start(self.provenance, now=STARTS_AT - INSTANT)

    def start_due(self) -> None:
        self.aggregate.start(self.provenance, now=STARTS_AT)

    def end_early(self) -> None:
        self.aggregate.end(self.provenance, now=ENDS_AT - INSTANT)

    def end_due(self) -> None:
        self.aggregate.end(self.provenance, now=ENDS_AT)

    def give_up_early(self) -> None:
        self.aggregate.give_up_planning(self.provenance, now=STARTS_AT - INSTANT)

    def give_up_due(self) -> None:
        self.aggregate.give_up_planning(self.provenance, now=STARTS_AT)

    def complete(self) -> None:
        batch = Batch(asked=2, prepared=2, committed=1, failed=1, restored=1)
        self.aggregate.complete(self.provenance, batch=batch, failed_facilities=("fac-002",))

    def cancel(self) -> None:
        self.aggregate.cancel(self.provenance, reason="the heat wave is over")

    def measure(self) -> None:
        self.aggregate.measure(
            self.provenance, delivered_kw=74.5, measured_facilities=1, unmeasured_facilities=()
        )

    def remeasure(self) -> None:
        less_kw = (self.aggregate.state.delivered_kw or 0.0) - 1.0
        self.aggregate.remeasure(
            self.provenance, delivered_kw=less_kw, measured_facilities=1, unmeasured_facilities=()
        )

    def settle(self) -> None:
        """From other inputs than those before."""
        self.aggregate.settle(
            self.provenance,
            figures=settlement_figures(inputs_digest=f"{len(self.recorded):064x}"),
            why="corrected readings",
        )


def dispatch_walk(zones: Sequence[str] = ("hall",)) -> "DispatchWalk":
    return DispatchWalk(
        Dispatch.plan(
            provenance(),
            dr_event_id=DR_EVENT_ID,
            facility_id="fac-001",
            plan_revision=1,
            starts_at=STARTS_AT,
            ends_at=ENDS_AT,
            expires_at=ENDS_AT + timedelta(minutes=30),
            target_kw=75.0,
            bms=BMS,
            zones=tuple(
                ZonePlan(
                    zone_id=zone,
                    target_kw=75.0,
                    strategy="setpoint_offset",
                    magnitude=2.25,
                    comfort_limit_c=26.0,
                    rebound_ramp_s=600,
                )
                for zone in zones
            ),
            forecast_id=UUID(int=7),
            data_quality="full",
        )
    )


class DispatchWalk(Walk):
    """Outcomes are reported of `chosen`, by default of the command requested last."""

    aggregate: Dispatch
    choose: Callable[[list[UUID]], UUID] = staticmethod(lambda ids: ids[-1])

    @property
    def chosen(self) -> UUID:
        requested = [record.command.command_id for record in self.aggregate.state.commands.values()]
        return self.choose(requested) if requested else UUID(int=0)

    def block(self) -> None:
        self.aggregate.block(self.provenance, data_quality="degraded_stale_data", reason="stale")

    def unblock(self) -> None:
        self.aggregate.unblock(
            self.provenance,
            forecast_id=UUID(int=8),
            forecast_position=8,
            data_quality="full",
            headroom_kw=80.0,
            reason="its forecast in force is full",
        )

    def override(self) -> None:
        self.aggregate.override_forecast(self.provenance, reason="I looked at the building")

    def prepare(self) -> None:
        self.aggregate.prepare(self.provenance)

    def commit(self) -> None:
        self.aggregate.commit(self.provenance, not_after=STARTS_AT + timedelta(minutes=15))

    def restore(self) -> None:
        self.aggregate.restore(self.provenance)

    def restore_spread(self) -> None:
        self.aggregate.restore(self.provenance, place=(1, 2))

    def restore_due_early(self) -> None:
        self.aggregate.restore_due(self.provenance)

    def restore_due(self) -> None:
        self.aggregate.restore_due(provenance(ENDS_AT))

    def leave(self) -> None:
        self.aggregate.leave(self.provenance, cause="opted_out", reason="guests are in the house")

    def abort(self) -> None:
        self.aggregate.abort(self.provenance, reason="cancelled")

    def fail_unprepared(self) -> None:
        self.aggregate.fail_unprepared(self.provenance, reason="not prepared when the window began")

    def compensate(self) -> None:
        self.aggregate.compensate(self.provenance)

    def restored_by_hand(self) -> None:
        self.aggregate.restored_by_hand(self.provenance, reason="the caretaker set it back")

    def retry_restore(self) -> None:
        self.aggregate.retry_restore(self.provenance, reason="its restore failed before")

    def success(self) -> None:
        self.aggregate.command_succeeded(
            self.provenance,
            command_id=self.chosen,
            executed_at=NOW,
            setpoint=FOUND,
            learned_by="answer",
        )

    def refusal(self) -> None:
        self.aggregate.command_refused(
            self.provenance, command_id=self.chosen, code="local_override", reason="somebody is in the room"
        )

    def gave_up(self) -> None:
        self.aggregate.command_gave_up(
            self.provenance, command_id=self.chosen, was_sent=True, reason="no answer"
        )

    def never_sent(self) -> None:
        self.aggregate.command_gave_up(
            self.provenance, command_id=self.chosen, was_sent=False, reason="unreachable"
        )

    def bms_agrees(self) -> None:
        self._verify(curtailed=True)

    def bms_drifted(self) -> None:
        self._verify(curtailed=False)

    def _verify(self, *, curtailed: bool) -> None:
        states = dict.fromkeys(self.aggregate.state.zones, (FOUND, curtailed))
        self.aggregate.verify_by_bms(self.provenance, states=states)

    def meter_agrees(self) -> None:
        self.aggregate.verify_by_meter(self.provenance, delivered_kw=70.0, measured_at=STARTS_AT)

    def measure(self) -> None:
        self.aggregate.measure(self.provenance, figures=figures())

    def not_measurable(self) -> None:
        self.aggregate.not_measurable(self.provenance, reason="too few days")

    def attempt(self) -> None:
        self.aggregate.attempt(self.provenance, command_id=self.chosen)

    def reissue(self) -> None:
        self.aggregate.reissue(self.provenance, command_id=self.chosen, reason="the network is back")
