"""A simulated building and its BMS: a state machine without I/O. Time and the journal are given to it."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import msgspec

from application.portfolio import BmsProfile, FacilityEntry, ZoneEntry
from application.ports.building_control import CommandReceipt, CommandStatus, Setpoint, ZoneCommand, ZoneState
from interfaces.simulators.building_zone import Hold, Zone
from interfaces.simulators.journal import Action, JournalEntry

REMEMBERED_COMMANDS = 10_000


class Refusal(Exception):
    """A definite no: nothing was done, and nothing of it is remembered."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


class UnknownZone(Refusal):
    def __init__(self, zone_id: str) -> None:
        super().__init__("unknown_zone", f"this building has no zone {zone_id}")
        self.zone_id = zone_id


class Building:
    """Zones, holds and the memory of carried-out command ids.

    In profile `two_phase` a repeated command id is answered with the first answer; in `two_phase_no_dedup` it
    is carried out again. Every action that is carried out goes to `record`, whatever the profile.
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
        """Carry the command out, or answer a repeat from memory. Raises Refusal."""
        self.advance(now)
        zone = self._zone(command.zone_id)
        if self._deduplicates and command.command_id in self._executed:
            return self._remembered(command)
        before_kw = zone.shed_kw
        answered = self._carry_out(zone, command, now)
        receipt = CommandReceipt(
            command_id=command.command_id,
            zone_id=command.zone_id,
            phase=command.phase,
            executed_at=now,
            setpoint=answered,
        )
        self._executed[command.command_id] = (command, receipt)
        while len(self._executed) > REMEMBERED_COMMANDS:
            self._executed.popitem(last=False)
        self._journal(zone, command.phase, now, before_kw, command=command)
        return receipt

    def command_status(self, command_id: UUID, now: datetime) -> CommandStatus:
        """What was carried out, in either profile."""
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

    def override(self, zone_id: str, setpoint_value: float, now: datetime) -> None:
        """Somebody turns the knob: a curtailment ends, but the DR event keeps its hold and may commit again.

        Drift, from Gridproof's side. Raises UnknownZone.
        """
        self.advance(now)
        zone = self._zone(zone_id)
        before_kw, hold = zone.shed_kw, zone.hold
        zone.release(Setpoint(value=setpoint_value, unit=zone.setpoint.unit), now)
        zone.hold = None if hold is None else replace(hold, magnitude=0.0)
        self._journal(zone, "overridden", now, before_kw, hold=hold)

    def advance(self, now: datetime) -> None:
        """Let every hold whose expiry has passed end by itself, at the moment it expired."""
        for zone in self._zones.values():
            hold = zone.hold
            if hold is None or hold.expires_at > now:
                continue
            was_curtailed, before_kw = zone.curtailed, zone.shed_kw
            zone.release(hold.return_to if was_curtailed else None, hold.expires_at)
            if was_curtailed:
                self._journal(zone, "expired", hold.expires_at, before_kw, hold=hold)

    def shed_kw(self, now: datetime) -> float:
        """By how much the building's load is lowered; negative while a rebound outweighs the shed."""
        self.advance(now)
        return sum(zone.shed_kw - zone.rebound_kw(now) for zone in self._zones.values())

    def _zone(self, zone_id: str) -> Zone:
        if zone_id not in self._zones:
            raise UnknownZone(zone_id)
        return self._zones[zone_id]

    def _remembered(self, command: ZoneCommand) -> CommandReceipt:
        first, receipt = self._executed[command.command_id]
        if _identity(first) != _identity(command):
            raise Refusal("command_id_reused", "this command id was carried out as another command")
        return msgspec.structs.replace(receipt, repeated=True)

    def _carry_out(self, zone: Zone, command: ZoneCommand, now: datetime) -> Setpoint:
        """The setpoint to answer with. Raises Refusal before anything has changed."""
        _refuse_if_held_by_another(zone, command)
        if command.phase == "prepare":
            return _prepare(zone, command, now)
        if command.phase == "commit":
            return _commit(zone, command, now)
        if command.phase == "abort":
            if zone.curtailed:
                raise Refusal("curtailed", "the zone is curtailed: restore it instead")
            zone.release(None, now)
            return zone.setpoint
        return _restore(zone, command, now)

    def _journal(
        self,
        zone: Zone,
        action: Action,
        at: datetime,
        before_kw: float,
        *,
        command: ZoneCommand | None = None,
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
            )
        )


def _identity(command: ZoneCommand) -> tuple[object, ...]:
    return (command.dr_event_id, command.zone_id, command.phase, command.plan_revision, command.round)


def _refuse_if_held_by_another(zone: Zone, command: ZoneCommand) -> None:
    if zone.hold is not None and zone.hold.dr_event_id != command.dr_event_id:
        raise Refusal("zone_held", f"another DR event holds zone {command.zone_id}")


def _refuse_if_out_of_bounds(zone: Zone, command: ZoneCommand, now: datetime) -> None:
    if command.strategy != zone.entry.strategy:
        raise Refusal("wrong_strategy", f"zone {command.zone_id} is curtailed by {zone.entry.strategy}")
    if not 0 < command.magnitude <= zone.entry.max_magnitude + 1e-9:
        raise Refusal(
            "magnitude_out_of_range",
            f"{command.magnitude:g} is not above 0 and at most {zone.entry.max_magnitude:g}",
        )
    if command.expires_at <= now:
        raise Refusal("expired", f"the command expired at {command.expires_at.isoformat()}")


def _prepare(zone: Zone, command: ZoneCommand, now: datetime) -> Setpoint:
    _refuse_if_out_of_bounds(zone, command, now)
    if zone.hold is not None:
        # Held by this DR event already: a curtailed setpoint must not become the one to return to.
        zone.hold = replace(zone.hold, expires_at=command.expires_at, command_id=command.command_id)
        return zone.hold.return_to
    zone.hold = Hold(
        dr_event_id=command.dr_event_id,
        command_id=command.command_id,
        expires_at=command.expires_at,
        return_to=zone.setpoint,
    )
    return zone.setpoint


def _commit(zone: Zone, command: ZoneCommand, now: datetime) -> Setpoint:
    _refuse_if_out_of_bounds(zone, command, now)
    if zone.hold is None:
        raise Refusal("not_prepared", f"zone {command.zone_id} is not prepared for this DR event")
    zone.curtail(
        Hold(
            dr_event_id=command.dr_event_id,
            command_id=command.command_id,
            expires_at=command.expires_at,
            return_to=zone.hold.return_to,
            magnitude=command.magnitude,
        )
    )
    return zone.setpoint


def _restore(zone: Zone, command: ZoneCommand, now: datetime) -> Setpoint:
    if command.restore_to is None or command.restore_to.unit != zone.setpoint.unit:
        raise Refusal("wrong_unit", f"zone {command.zone_id} is set in {zone.setpoint.unit}")
    zone.release(command.restore_to, now)
    return zone.setpoint
