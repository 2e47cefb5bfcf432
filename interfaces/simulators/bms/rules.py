"""The rules of a simulated BMS: which commands it accepts, and their effect on a zone. A refusal changes nothing."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from application.ports.dispatch.building_control import Setpoint, ZoneCommand
from interfaces.simulators.bms.zone import Hold, Zone

NOBODY = UUID(int=0)
"""The holder of a zone whose setpoint was written without a reference."""


class Refusal(Exception):
    """The command was refused: nothing was done and nothing was stored."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


class UnknownZone(Refusal):
    def __init__(self, zone_id: str) -> None:
        super().__init__("unknown_zone", f"this building has no zone {zone_id}")
        self.zone_id = zone_id


def identity(command: ZoneCommand) -> tuple[object, ...]:
    return (command.dr_event_id, command.zone_id, command.phase, command.plan_revision, command.round)


def refuse_if_held_by_another(zone: Zone, command: ZoneCommand) -> None:
    if zone.hold is not None and zone.hold.dr_event_id != command.dr_event_id:
        raise Refusal("zone_held", f"another DR event holds zone {command.zone_id}")


def _refuse_if_out_of_bounds(zone: Zone, command: ZoneCommand, now: datetime) -> None:
    if command.strategy != zone.entry.strategy:
        raise Refusal("wrong_strategy", f"zone {command.zone_id} is curtailed by {zone.entry.strategy}")
    _refuse_magnitude(zone, command.magnitude)
    if command.expires_at <= now:
        raise Refusal("expired", f"the command expired at {command.expires_at.isoformat()}")


def prepare(zone: Zone, command: ZoneCommand, now: datetime) -> Setpoint:
    _refuse_if_out_of_bounds(zone, command, now)
    if zone.hold is not None:
        # Already held by this DR event: a curtailed setpoint must not become the setpoint to restore.
        zone.hold = replace(zone.hold, expires_at=command.expires_at, command_id=command.command_id)
        return zone.hold.return_to
    zone.hold = Hold(
        dr_event_id=command.dr_event_id,
        command_id=command.command_id,
        expires_at=command.expires_at,
        return_to=zone.setpoint,
    )
    return zone.setpoint


def commit(zone: Zone, command: ZoneCommand, now: datetime) -> Setpoint:
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
        ),
        now,
    )
    return zone.setpoint


def restore(zone: Zone, command: ZoneCommand, now: datetime) -> Setpoint:
    if command.restore_to is None or command.restore_to.unit != zone.setpoint.unit:
        raise Refusal("wrong_unit", f"zone {command.zone_id} is set in {zone.setpoint.unit}")
    zone.release(command.restore_to, now)
    return zone.setpoint


def write(
    zone: Zone,
    setpoint: Setpoint,
    until: datetime | None,
    now: datetime,
    *,
    dr_event_id: UUID | None,
    command_id: UUID | None,
) -> None:
    """Write a permanent setpoint or a timed override. Raises Refusal."""
    if setpoint.unit != zone.setpoint.unit:
        raise Refusal("wrong_unit", f"zone {zone.entry.zone_id} is set in {zone.setpoint.unit}")
    if until is None:
        zone.release(setpoint, now)
        return
    if until <= now:
        raise Refusal("expired", f"the override ended at {until.isoformat()}")
    return_to = zone.setpoint if zone.hold is None else zone.hold.return_to
    magnitude = setpoint.value - return_to.value
    _refuse_magnitude(zone, magnitude)
    zone.curtail(
        Hold(
            dr_event_id=dr_event_id or NOBODY,
            command_id=command_id or NOBODY,
            expires_at=until,
            return_to=return_to,
            magnitude=magnitude,
        ),
        now,
    )


def _refuse_magnitude(zone: Zone, magnitude: float) -> None:
    most = zone.entry.max_magnitude
    if not 0 < magnitude / most <= 1 + 1e-9:
        raise Refusal("magnitude_out_of_range", f"{magnitude:g} is not between 0 and {most:g}")
