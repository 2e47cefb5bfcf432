"""What is known of a dispatch: its state, and the values in it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from domain.facility import BmsLink, Strategy
from domain.identifiers import bms_command_id

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
CommandState = Literal["requested", "succeeded", "refused", "gave_up", "by_hand"]
"""`by_hand`: somebody in the building has done it, and it is not put to work any more."""
LeaveCause = Literal["opted_out", "preempted", "left_out", "cancelled", "batch_aborted"]

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
    comfort_limit_c: float | None = None
    """A setpoint is never commanded above it."""
    minimum_off_s: int = 0
    """Once curtailed, the zone stays so for at least this long: its machines must not be switched back sooner."""
    rebound_ramp_s: int = 0
    """How long the restores of a batch are spread over, so that the loads do not come back at one moment."""


class RestoreStep(msgspec.Struct, frozen=True, kw_only=True):
    """A zone that is to be restored, and the moment from which it may be."""

    zone_id: str
    not_before: datetime


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

    @property
    def may_be_done(self) -> bool:
        """Whether the BMS carried it out, or may have: of one that was refused, an earlier attempt may have been."""
        return self.state in {"succeeded", "gave_up"} or (self.state == "refused" and self.attempts > 1)


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
    committed_at: datetime | None = None
    failure: str | None = None
    overridden: bool = False
    """An operator answers for its degraded forecast."""
    left: LeaveCause | None = None
    left_reason: str | None = None
    """It left before the end: why. `ends_at` is then the moment it left."""
    restore_steps: tuple[RestoreStep, ...] = ()
    """Zones still to be restored, each in its time."""
    curtailed_at: dict[str, datetime] = {}
    """Zone -> when its BMS first curtailed it, until it is restored."""
    in_force: dict[str, Setpoint] = {}
    """Zone -> the setpoint that its BMS reported at the commit."""
    prepare_again: bool = False
    """The plan was changed after it was prepared, in what a commit cannot carry: window or zones."""
    delivered_kw: float | None = None
    measured: bool = False
    measurements: int = 0
    """How often what it delivered was stated: a number, that there is none, or that the last one does not hold."""
    data_hash: str | None = None
    """Of the readings that the newest measurement was computed from; None without one."""
    figures_hash: str | None = None
    """Of what it says."""
    restore_failures: int = 0
    """How often its restore has failed."""

    def latest(self, phase: Phase) -> dict[str, CommandRecord]:
        """Zone -> its newest command of that phase."""
        newest: dict[str, CommandRecord] = {}
        for record in self.commands.values():
            if record.command.phase == phase:
                known = newest.get(record.command.zone_id)
                if known is None or record.command.round > known.command.round:
                    newest[record.command.zone_id] = record
        return newest

    @property
    def has_open_command(self) -> bool:
        return any(record.state == "requested" for record in self.commands.values())

    def magnitude_of(self, zone: ZonePlan) -> float:
        """What may be commanded of a zone: the plan's, as far as its comfort limit leaves room for it."""
        found = self.previous.get(zone.zone_id)
        if zone.comfort_limit_c is None or found is None or found.unit != "celsius":
            return zone.magnitude
        return max(0.0, min(zone.magnitude, zone.comfort_limit_c - found.value))

    def next_command(self, zone: ZonePlan, phase: Phase, *, not_after: datetime | None) -> BmsCommand:
        """The next round's command of that phase to a zone; its id follows from what it is."""
        known = self.latest(phase).get(zone.zone_id)
        round_number = known.command.round + 1 if known else 1
        return BmsCommand(
            command_id=bms_command_id(
                self.dr_event_id,
                self.facility_id,
                zone.zone_id,
                phase,
                plan_revision=self.plan_revision,
                round_number=round_number,
            ),
            zone_id=zone.zone_id,
            phase=phase,
            plan_revision=self.plan_revision,
            round=round_number,
            strategy=zone.strategy,
            magnitude=self._commanded(zone, phase),
            restore_to=self.previous[zone.zone_id] if phase == "restore" else None,
            expires_at=self.expires_at,
            not_after=not_after,
        )

    def _commanded(self, zone: ZonePlan, phase: Phase) -> float:
        if phase in {"abort", "restore"}:
            return 0.0
        return self.magnitude_of(zone) if phase == "commit" else zone.magnitude

    def to_undo(self) -> list[tuple[str, Literal["abort", "restore"]]]:
        """What a failed dispatch still has to undo: (zone, how). A prepare of unknown outcome expires by itself."""
        if self.status != "failed":
            return []
        commits, prepares = self.latest("commit"), self.latest("prepare")
        undo: list[tuple[str, Literal["abort", "restore"]]] = []
        for zone_id in sorted(self.zones):
            commit, prepare = commits.get(zone_id), prepares.get(zone_id)
            if commit is not None and commit.may_be_done:
                undo.append((zone_id, "restore"))
            elif prepare is not None and prepare.state == "succeeded":
                undo.append((zone_id, "abort"))
        return undo

    @property
    def was_restored_by_hand(self) -> bool:
        return any(record.state == "by_hand" for record in self.commands.values())

    @property
    def may_have_curtailed(self) -> bool:
        """Whether a commit reached its building, or may have, or still may."""
        return any(
            record.command.phase == "commit" and (record.state == "requested" or record.may_be_done)
            for record in self.commands.values()
        )

    @property
    def is_final(self) -> bool:
        """Nothing more will happen by itself, but for a failed restore: it is tried until it succeeds, or by hand."""
        return self.status in FINAL and not self.to_undo()
