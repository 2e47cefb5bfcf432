"""The state of a dispatch, and the values in it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from domain.baseline import BaselineParameters
from domain.dispatch.measured_load import MeasuredLoad
from domain.facility import BmsLink, Strategy, within_comfort
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
"""`by_hand`: a person has done it in the building, and the command is not sent any more."""
LeaveCause = Literal["opted_out", "preempted", "left_out", "cancelled", "batch_aborted"]

CURTAILED: frozenset[DispatchStatus] = frozenset({"committed", "verified_by_bms", "verified_by_meter"})
"""The statuses of a curtailed building."""
FINAL: frozenset[DispatchStatus] = frozenset(
    {"restored", "restore_failed", "compensated", "aborted", "failed"}
)
"""The statuses after which only a failed restore continues."""
UNDOING: frozenset[DispatchStatus] = frozenset({"restoring", "compensating", "restore_failed"})
"""The statuses in which a building is being restored."""
RESTORABLE_BY_HAND: frozenset[DispatchStatus] = CURTAILED | UNDOING | {"committing", "failed"}
"""The statuses in which a building may be curtailed."""


class Setpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A setpoint or shed level of a zone."""

    value: float
    unit: Literal["celsius", "percent"]


class ZonePlan(msgspec.Struct, frozen=True, kw_only=True):
    """A zone's share: `magnitude` (kelvin or percent, below 0 to lower a setpoint) gives `target_kw`."""

    zone_id: str
    target_kw: float
    strategy: Strategy
    magnitude: float
    comfort_limit_c: float | None = None
    """A setpoint above this is never commanded."""
    minimum_off_s: int = 0
    """A curtailed zone stays curtailed for at least this long, to protect its machines."""
    rebound_ramp_s: int = 0
    """The restores of a batch are spread over this time, so that the loads do not return together."""
    lower_comfort_limit_c: float | None = None
    """A setpoint below this is never commanded."""


class RestoreStep(msgspec.Struct, frozen=True, kw_only=True):
    """A zone to restore, and the earliest moment for it."""

    zone_id: str
    not_before: datetime


class BmsCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command for one zone, as intended."""

    command_id: UUID
    zone_id: str
    phase: Phase
    plan_revision: int
    round: int
    strategy: Strategy
    magnitude: float
    restore_to: Setpoint | None
    expires_at: datetime
    """When a BMS that receives nothing further restores the zone by itself."""
    not_after: datetime | None
    """The command must not be sent after this moment; None: it must succeed, however late."""


class CommandRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A requested command and its outcome so far."""

    command: BmsCommand
    state: CommandState = "requested"
    attempts: int = 0
    issue: int = 1
    """How often it was issued: a person or the watch worker may issue the same id again."""

    def is_open_in(self, issue: int) -> bool:
        """True if it has no outcome, and was not issued again since that issue."""
        return self.state == "requested" and self.issue == issue

    @property
    def may_be_done(self) -> bool:
        """True if the BMS carried it out, or may have. If refused, an earlier attempt may have succeeded."""
        return self.state in {"succeeded", "gave_up"} or (self.state == "refused" and self.attempts > 1)


class PromisedPower(msgspec.Struct, frozen=True):
    """The power that the plan asks of the facility from that moment on, mean kW."""

    starts_at: datetime
    kw: float


class DispatchState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a dispatch."""

    dr_event_id: UUID
    facility_id: str
    plan_revision: int
    starts_at: datetime
    ends_at: datetime
    expires_at: datetime
    target_kw: float
    bms: BmsLink
    zones: dict[str, ZonePlan]
    promised: tuple[PromisedPower, ...] = ()
    """`target_kw` from the start on, and each change of it during the window; rising."""
    status: DispatchStatus = "planned"
    commands: dict[str, CommandRecord] = {}
    previous: dict[str, Setpoint] = {}
    """Zone -> the setpoint that was read at prepare; a restore sends it back."""
    was_prepared: bool = False
    was_committed: bool = False
    committed_at: datetime | None = None
    failure: str | None = None
    overridden: bool = False
    """An operator accepted its degraded forecast."""
    data_quality: str = "full"
    """The quality of the forecast behind the plan; of one from before this field existed it is not known."""
    blocked_by: str | None = None
    """The quality of the forecast that blocks it, until it is unblocked or overridden. It stays when the window begins
    before that."""
    aborted_reason: str | None = None
    """Why it was released before its commit."""
    left: LeaveCause | None = None
    left_at: datetime | None = None
    left_reason: str | None = None
    """The reason for leaving before the end. `ends_at` is then the moment of leaving."""
    restore_steps: tuple[RestoreStep, ...] = ()
    """Zones that are still to be restored, each at its time."""
    curtailed_at: dict[str, datetime] = {}
    """Zone -> when its BMS first curtailed it, until it is restored."""
    in_force: dict[str, Setpoint] = {}
    """Zone -> the setpoint that its BMS reported at the commit."""
    prepare_again: bool = False
    """The window or the zones changed after the prepare; a commit cannot carry such a change."""
    delivered_kw: float | None = None
    measured: bool = False
    measurements: int = 0
    """How often a measurement was recorded, found impossible, or withdrawn."""
    data_hash: str | None = None
    """Hash of the readings behind the newest measurement; None without one."""
    measured_load: MeasuredLoad | None = None
    """Of the newest measurement; None without one."""
    baseline_parameters: BaselineParameters | None = None
    """Those of the newest measurement; None without one."""
    not_measurable_reason: str | None = None
    """Why it is not measured, or not any more."""
    restore_failures: int = 0
    """How often the restore has failed."""
    by_hand_at: datetime | None = None
    """When an operator confirmed that the building was restored on site."""

    def latest(self, phase: Phase) -> dict[str, CommandRecord]:
        """Zone -> its newest command of that phase."""
        newest: dict[str, CommandRecord] = {}
        for record in self.commands.values():
            if record.command.phase == phase:
                previous = newest.get(record.command.zone_id)
                if previous is None or record.command.round > previous.command.round:
                    newest[record.command.zone_id] = record
        return newest

    @property
    def has_open_command(self) -> bool:
        return any(record.state == "requested" for record in self.commands.values())

    def magnitude_of(self, zone: ZonePlan) -> float:
        """The magnitude that may be commanded of a zone: the planned one, bounded by its comfort limits.

        0: they leave no room, so the zone is not commanded.
        """
        previous = self.previous.get(zone.zone_id)
        if previous is None or previous.unit != "celsius":
            return zone.magnitude
        return within_comfort(
            zone.magnitude, previous.value, lower_c=zone.lower_comfort_limit_c, upper_c=zone.comfort_limit_c
        )

    def next_command(self, zone: ZonePlan, phase: Phase, *, not_after: datetime | None) -> BmsCommand:
        """The command of the next round of a phase for a zone, with a deterministic id."""
        latest = self.latest(phase).get(zone.zone_id)
        round_number = latest.command.round + 1 if latest else 1
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
        """The steps that a failed dispatch still has to undo: (zone, how). A prepare of unknown outcome expires by
        itself.
        """
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
        # Snapshots from before `by_hand_at` show it only by their commands.
        return self.by_hand_at is not None or any(
            record.state == "by_hand" for record in self.commands.values()
        )

    @property
    def not_restored_zones(self) -> tuple[str, ...]:
        """The zones that are curtailed, or may be: a commit was sent to them, and no restore succeeded since.

        A commit that was never sent curtails nothing, even if it is still open.
        """
        restores = self.latest("restore")
        sent = {
            record.command.zone_id
            for record in self.commands.values()
            if record.command.phase == "commit"
            and (record.may_be_done or (record.state == "requested" and record.attempts > 0))
        }
        return tuple(
            zone_id
            for zone_id in sorted({*sent, *self.curtailed_at, *restores})
            if zone_id in self.curtailed_at
            or zone_id not in restores
            or restores[zone_id].state not in {"succeeded", "by_hand"}
        )

    @property
    def may_have_curtailed(self) -> bool:
        """True if a commit reached the building, or may have, or still may."""
        return any(
            record.command.phase == "commit" and (record.state == "requested" or record.may_be_done)
            for record in self.commands.values()
        )

    @property
    def remains_blocked(self) -> bool:
        """True if its forecast blocks it, or blocked it until the window began."""
        return self.blocked_by is not None and self.left is None

    @property
    def is_at_risk(self) -> bool:
        """True if it takes part, or is to, on a degraded forecast."""
        takes_part = self.left is None and self.failure is None and self.status != "aborted"
        return takes_part and self.data_quality != "full" and not self.remains_blocked

    def reason_unprepared(self, otherwise: str) -> str:
        """Why nothing was prepared: what blocks it, else `otherwise`."""
        if self.status != "blocked":
            return otherwise
        quality = self.blocked_by or "degraded"  # not known in a snapshot from before `blocked_by` existed
        return f"blocked: its forecast is {quality}, and neither a better one nor an override came in time"

    @property
    def is_final(self) -> bool:
        """True if nothing more happens by itself, apart from retries of a failed restore."""
        return self.status in FINAL and not self.to_undo()
