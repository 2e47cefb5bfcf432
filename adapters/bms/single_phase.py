"""Commands for a BMS without commands: setpoints are written and read back.

The command id is not sent. Writing the same setpoint again changes nothing. So after a lost response the zone is read,
and a write that does not show is repeated.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import msgspec

from application.dispatch.time_limits import TIME_LIMITS
from application.ports.clock import Clock
from application.ports.dispatch.building_control import (
    BmsAnswerInvalid,
    BmsConnection,
    BmsRefused,
    BmsTimedOut,
    BmsUnreachable,
    CommandReceipt,
    CommandStatus,
    Setpoint,
    ZoneCommand,
    ZoneState,
)

TOLERANCE = 0.05
"""Kelvin or percent: how far a BMS may round."""


class ReadSetpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The present setpoint of a zone."""

    setpoint: Setpoint
    changed_at: datetime
    until: datetime | None
    """When a timed override ends by itself; None where there is none."""


class Setpoints(Protocol):
    """A BMS that can read and write setpoints. Both methods raise the port's errors."""

    async def read(self, connection: BmsConnection, zone_id: str, *, urgent: bool = True) -> ReadSetpoint: ...

    async def write(
        self,
        connection: BmsConnection,
        zone_id: str,
        setpoint: Setpoint,
        *,
        until: datetime | None,
        reference: str,
    ) -> None:
        """`until` None means permanently. Repeating a write changes nothing. `reference` is for the building's own
        log."""
        ...


class SinglePhase:
    """The commands of BuildingControl by reading and writing setpoints."""

    def __init__(self, setpoints: Setpoints, clock: Clock) -> None:
        self._setpoints = setpoints
        self._wall_seconds: Callable[[float], float] = clock.wall_seconds

    async def execute(self, connection: BmsConnection, command: ZoneCommand) -> CommandReceipt:
        if command.phase in ("prepare", "abort"):
            return await self._only_read(connection, command)
        target, until = target_setpoint(command), command.expires_at if command.phase == "commit" else None
        await self._setpoints.write(
            connection, command.zone_id, target, until=until, reference=write_reference(command)
        )
        try:
            result = await self._read_back(connection, command, target, until)
        except (BmsUnreachable, BmsRefused) as error:
            # The write was made. That nothing was sent, or that it was refused, applies to the read only.
            raise BmsTimedOut(f"written, but not read back: {error.reason}") from error
        return _receipt(command, result, result.setpoint)

    async def command_status(self, connection: BmsConnection, command: ZoneCommand) -> CommandStatus:
        """Determined by the zone's setpoint. Prepare and abort change nothing, so repeating them is harmless."""
        unknown = CommandStatus(command_id=command.command_id, state="unknown")
        if command.phase in ("prepare", "abort"):
            return unknown
        result = await self._setpoints.read(connection, command.zone_id)
        until = command.expires_at if command.phase == "commit" else None
        if not _matches(result, target_setpoint(command), until):
            return unknown
        receipt = _receipt(command, result, result.setpoint)
        return CommandStatus(command_id=command.command_id, state="executed", receipt=receipt)

    async def zone_state(self, connection: BmsConnection, zone_id: str) -> ZoneState:
        result = await self._setpoints.read(connection, zone_id, urgent=False)
        return ZoneState(zone_id=zone_id, setpoint=result.setpoint, curtailed=result.until is not None)

    async def _read_back(
        self, connection: BmsConnection, command: ZoneCommand, target: Setpoint, until: datetime | None
    ) -> ReadSetpoint:
        result = await self._setpoints.read(connection, command.zone_id)
        for _ in range(TIME_LIMITS.read_backs - 1):
            if _matches(result, target, until):
                return result
            await asyncio.sleep(self._wall_seconds(TIME_LIMITS.read_back_pause_s))
            result = await self._setpoints.read(connection, command.zone_id)
        if not _matches(result, target, until):
            raise BmsAnswerInvalid(
                f"zone {command.zone_id} was written {target.value:g} and still reads {result.setpoint.value:g}"
            )
        return result

    async def _only_read(self, connection: BmsConnection, command: ZoneCommand) -> CommandReceipt:
        result = await self._setpoints.read(connection, command.zone_id)
        if command.phase == "abort" and result.until is not None:
            raise BmsRefused("curtailed", "the zone is curtailed: restore it instead")
        if command.phase == "prepare" and result.until is not None and command.previous is None:
            # The zone shows the curtailment of another system, which must not become the setpoint to return to.
            raise BmsRefused(
                "zone_held", f"zone {command.zone_id} is curtailed until {result.until.isoformat()}"
            )
        # The earlier setpoint counts: the present one may be a curtailment of ours.
        return _receipt(command, result, command.previous or result.setpoint)


def target_setpoint(command: ZoneCommand) -> Setpoint:
    """The setpoint that a commit or restore requests. Raises ValueError where it cannot be determined."""
    if command.phase == "restore":
        if command.restore_to is None:
            raise ValueError("a restore command needs restore_to, the setpoint that prepare reported")
        return command.restore_to
    if command.previous is None:
        raise ValueError("a single-phase commit needs previous, the setpoint that prepare reported")
    return Setpoint(value=command.previous.value + command.magnitude, unit=command.previous.unit)


def write_reference(command: ZoneCommand) -> str:
    """The reference that the building may log: `dr_event_id plan_revision round command_id`."""
    return f"{command.dr_event_id} {command.plan_revision} {command.round} {command.command_id}"


def _matches(result: ReadSetpoint, target: Setpoint, until: datetime | None) -> bool:
    if result.setpoint.unit != target.unit or abs(result.setpoint.value - target.value) > TOLERANCE:
        return False
    if until is None or result.until is None:
        return until is result.until
    return abs((result.until - until).total_seconds()) < 1.0


def _receipt(command: ZoneCommand, result: ReadSetpoint, setpoint: Setpoint) -> CommandReceipt:
    return CommandReceipt(
        command_id=command.command_id,
        zone_id=command.zone_id,
        phase=command.phase,
        executed_at=result.changed_at,
        setpoint=setpoint,
    )
