"""A simulated building with its BMS: a state machine without I/O. Time and journal are parameters."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import msgspec

from application.facility.portfolio_entries import BmsProfile, FacilityEntry, ZoneEntry
from application.ports.dispatch.building_control import (
    CommandReceipt,
    CommandStatus,
    Setpoint,
    ZoneCommand,
    ZoneState,
)
from interfaces.simulators.bms.journal import Action, JournalEntry
from interfaces.simulators.bms.rules import (
    Refusal,
    UnknownZone,
    commit,
    identity,
    prepare,
    refuse_if_held_by_another,
    restore,
    write,
)
from interfaces.simulators.bms.zone import Hold, Zone

__all__ = ["Building", "Refusal", "SetpointReading", "UnknownZone", "WriteCause"]

MAX_RECEIPTS = 10_000


class WriteCause(msgspec.Struct, frozen=True, kw_only=True):
    """The purpose of a written setpoint, taken from its reference. The BMS itself ignores it."""

    dr_event_id: UUID | None = None
    plan_revision: int = 0
    round: int = 0
    command_id: UUID | None = None


class SetpointReading(msgspec.Struct, frozen=True, kw_only=True):
    """A single-phase BMS's reading of a zone."""

    zone_id: str
    setpoint: Setpoint
    changed_at: datetime
    until: datetime | None


class Building:
    """Zones, holds and the receipts of executed commands.

    In profile `two_phase` a repeated command id is answered with the first answer; in `two_phase_no_dedup` it
    is carried out again; `single_phase` only reads and writes setpoints. Every executed action is passed to
    `record`, in every profile.
    """

    def __init__(
        self,
        facility_id: str,
        zones: Iterable[ZoneEntry],
        *,
        record: Callable[[JournalEntry], None],
        profile: BmsProfile = "two_phase",
        shed_factor: float = 1.0,
    ) -> None:
        self.facility_id = facility_id
        self._zones = {entry.zone_id: Zone(entry, shed_factor) for entry in zones}
        self._record = record
        self.profile = profile
        self._deduplicates = profile == "two_phase"
        self._executed: OrderedDict[UUID, tuple[ZoneCommand, CommandReceipt]] = OrderedDict()

    @classmethod
    def of(
        cls, facility: FacilityEntry, *, record: Callable[[JournalEntry], None], shed_factor: float = 1.0
    ) -> "Building":
        return cls(
            facility.facility_id,
            facility.zones,
            record=record,
            profile=facility.bms.profile,
            shed_factor=shed_factor,
        )

    def execute(self, command: ZoneCommand, now: datetime) -> CommandReceipt:
        """Carry the command out, or return the receipt of a repeated one. Raises Refusal."""
        self.advance(now)
        zone = self._zone(command.zone_id)
        if self._deduplicates and command.command_id in self._executed:
            return self._first_receipt(command)
        before_kw, since = zone.shed_kw, zone.curtailed_since
        answered = self._carry_out(zone, command, now)
        receipt = CommandReceipt(
            command_id=command.command_id,
            zone_id=command.zone_id,
            phase=command.phase,
            executed_at=now,
            setpoint=answered,
        )
        self._executed[command.command_id] = (command, receipt)
        while len(self._executed) > MAX_RECEIPTS:
            self._executed.popitem(last=False)
        self._journal(zone, command.phase, now, before_kw, since, command=command)
        return receipt

    def command_status(self, command_id: UUID, now: datetime) -> CommandStatus:
        """The status of a command, in both two-phase profiles."""
        self.advance(now)
        known = self._executed.get(command_id)
        if known is None:
            return CommandStatus(command_id=command_id, state="unknown")
        return CommandStatus(command_id=command_id, state="executed", receipt=known[1])

    def zone_state(self, zone_id: str, now: datetime) -> ZoneState:
        """Raises UnknownZone."""
        self.advance(now)
        zone = self._zone(zone_id)
        return ZoneState(
            zone_id=zone_id,
            setpoint=zone.setpoint,
            curtailed=zone.curtailed,
            active_command_id=None if zone.hold is None else zone.hold.command_id,
        )

    def read_setpoint(self, zone_id: str, now: datetime) -> SetpointReading:
        """Raises UnknownZone."""
        self.advance(now)
        zone = self._zone(zone_id)
        until = zone.hold.expires_at if zone.curtailed and zone.hold is not None else None
        return SetpointReading(
            zone_id=zone_id, setpoint=zone.setpoint, changed_at=zone.changed_at or now, until=until
        )

    def write_setpoint(
        self, zone_id: str, setpoint: Setpoint, until: datetime | None, cause: WriteCause, now: datetime
    ) -> None:
        """Write a timed override (`until`) or a permanent setpoint. Repeating it has no effect. Raises Refusal."""
        self.advance(now)
        zone = self._zone(zone_id)
        found = self.read_setpoint(zone_id, now)
        if (found.setpoint, found.until) == (setpoint, until):
            return
        before_kw, since = zone.shed_kw, zone.curtailed_since
        write(zone, setpoint, until, now, dr_event_id=cause.dr_event_id, command_id=cause.command_id)
        self._journal(zone, "restore" if until is None else "commit", now, before_kw, since, command=cause)

    def override(self, zone_id: str, setpoint_value: float, now: datetime) -> None:
        """A manual override: the curtailment ends, but the DR event keeps its hold and may commit again.

        Gridproof sees it as drift. Raises UnknownZone.
        """
        self.advance(now)
        zone = self._zone(zone_id)
        before_kw, since, hold = zone.shed_kw, zone.curtailed_since, zone.hold
        zone.release(Setpoint(value=setpoint_value, unit=zone.setpoint.unit), now)
        zone.hold = None if hold is None else replace(hold, magnitude=0.0)
        self._journal(zone, "overridden", now, before_kw, since, hold=hold)

    def restart(self, now: datetime) -> set[UUID]:
        """Restart as after a power failure: prepared holds are lost, curtailments stay.

        Returns the ids of the commands whose receipts are lost.
        """
        self.advance(now)
        forgotten: set[UUID] = set()
        for zone in self._zones.values():
            if zone.hold is not None and not zone.curtailed:
                forgotten.add(zone.hold.command_id)
                zone.release(None, now)
        for command_id in forgotten:
            self._executed.pop(command_id, None)
        return forgotten

    def advance(self, now: datetime) -> None:
        """End every hold that has expired, at its expiry time."""
        for zone in self._zones.values():
            hold = zone.hold
            if hold is None or hold.expires_at > now:
                continue
            was_curtailed, before_kw, since = zone.curtailed, zone.shed_kw, zone.curtailed_since
            zone.release(hold.return_to if was_curtailed else None, hold.expires_at)
            if was_curtailed:
                self._journal(zone, "expired", hold.expires_at, before_kw, since, hold=hold)

    def shed_kw(self, now: datetime) -> float:
        """The reduction of the building's load; negative while the rebound exceeds the shed load."""
        self.advance(now)
        return sum(zone.shed_kw - zone.rebound_kw(now) for zone in self._zones.values())

    def _zone(self, zone_id: str) -> Zone:
        if zone_id not in self._zones:
            raise UnknownZone(zone_id)
        return self._zones[zone_id]

    def _first_receipt(self, command: ZoneCommand) -> CommandReceipt:
        first, receipt = self._executed[command.command_id]
        if identity(first) != identity(command):
            raise Refusal("command_id_reused", "this command id was carried out as another command")
        return msgspec.structs.replace(receipt, repeated=True)

    def _carry_out(self, zone: Zone, command: ZoneCommand, now: datetime) -> Setpoint:
        """Execute the command; returns the setpoint to answer with. Raises Refusal before any change."""
        refuse_if_held_by_another(zone, command)
        if command.phase == "prepare":
            return prepare(zone, command, now)
        if command.phase == "commit":
            return commit(zone, command, now)
        if command.phase == "abort":
            if zone.curtailed:
                raise Refusal("curtailed", "the zone is curtailed: restore it instead")
            zone.release(None, now)
            return zone.setpoint
        return restore(zone, command, now)

    def _journal(
        self,
        zone: Zone,
        action: Action,
        at: datetime,
        before_kw: float,
        since: datetime | None,
        *,
        command: ZoneCommand | WriteCause | None = None,
        hold: Hold | None = None,
    ) -> None:
        cause = command or hold
        self._record(
            JournalEntry(
                at=at,
                facility_id=self.facility_id,
                zone_id=zone.entry.zone_id,
                action=action,
                dr_event_id=None if cause is None else cause.dr_event_id,
                plan_revision=0 if command is None else command.plan_revision,
                round=0 if command is None else command.round,
                command_id=None if cause is None else cause.command_id,
                shed_kw=zone.shed_kw,
                shed_change_kw=zone.shed_kw - before_kw,
                setpoint=zone.setpoint.value,
                curtailed=zone.curtailed,
                violations=zone.violations(since, at),
            )
        )
