"""Building control: what Gridproof asks of a facility's building management system (BMS).

Every command has a deterministic id. A two-phase BMS remembers the ids it has carried out and answers a repeat with
the first answer; a single-phase one knows no ids, and what became of a command is read off its setpoints. Either way a
caller that does not know an outcome asks `command_status`, or sends the same again.
"""

from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

import msgspec

Phase = Literal["prepare", "commit", "abort", "restore"]
SetpointUnit = Literal["celsius", "percent"]
ControlStrategy = Literal["setpoint_offset", "shed_level"]


class BmsConnection(msgspec.Struct, frozen=True, kw_only=True):
    """Where a facility's BMS is, and how it behaves."""

    facility_id: str
    address: str
    profile: str = "two_phase"
    """`two_phase`; `two_phase_no_dedup`: it carries out a repeated command again; `single_phase`: it only knows how to
    read and write setpoints."""
    credentials_ref: str | None = None
    """Names where the secret is kept (`env:NAME`, `file:/path`); never the secret itself."""


class Setpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a zone is set to: a temperature, or the shed level in percent (0: nothing shed)."""

    value: float
    unit: SetpointUnit


class ZoneCommand(msgspec.Struct, frozen=True, kw_only=True):
    """One command for one zone."""

    command_id: UUID
    """uuid5 of (dr_event, facility, zone, phase, plan revision, round)."""
    dr_event_id: UUID
    facility_id: str
    zone_id: str
    phase: Phase
    plan_revision: int
    round: int
    strategy: ControlStrategy
    magnitude: float
    """Kelvin (`setpoint_offset`) or percent (`shed_level`); 0 for abort and restore."""
    restore_to: Setpoint | None = None
    """Only for restore: the setpoint that prepare reported."""
    previous: Setpoint | None = None
    """The setpoint that prepare reported, where it is known: what a single-phase BMS's setpoint is counted from."""
    expires_at: datetime
    """When the BMS restores the zone by itself if it hears nothing (UTC)."""


class CommandReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """The BMS carried the command out."""

    command_id: UUID
    zone_id: str
    phase: Phase
    executed_at: datetime
    setpoint: Setpoint
    """Prepare: the setpoint to be kept and restored later. Other phases: the one now in force."""
    repeated: bool = False
    """True: answered from the BMS's memory, nothing was done again."""


class CommandStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the BMS knows of a command id: `executed` with its receipt, or `unknown` (never carried out)."""

    command_id: UUID
    state: Literal["executed", "unknown"]
    receipt: CommandReceipt | None = None


class ZoneState(msgspec.Struct, frozen=True, kw_only=True):
    """A zone as the BMS sees it at this moment."""

    zone_id: str
    setpoint: Setpoint
    curtailed: bool
    active_command_id: UUID | None = None
    """The commit in force, or the prepare waiting for its commit; None where the BMS knows no ids."""


class BmsError(Exception):
    """A BMS call did not end with a valid answer; the subclass says what is known of the outcome."""


class BmsRefused(BmsError):
    """A definite no: the BMS did nothing, and remembers nothing. A new round may follow."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"the BMS refused: {code}: {reason}")
        self.code = code
        self.reason = reason


class BmsUnreachable(BmsError):
    """No connection was made (or the breaker is open): nothing was sent, so nothing was done."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the BMS could not be reached: {reason}")
        self.reason = reason


class BmsTimedOut(BmsError):
    """Sent, but no answer came: the outcome is unknown. Ask `command_status`."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the BMS did not answer: {reason}")
        self.reason = reason


class BmsAnswerInvalid(BmsError):
    """It answered something that is no valid answer: the outcome is unknown. Ask `command_status`."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the BMS answered nonsense: {reason}")
        self.reason = reason


class BmsBusy(BmsAnswerInvalid):
    """It says that it has too much to do (HTTP 429 or 503); ask again when `wait_s` clock seconds are over."""

    def __init__(self, reason: str, wait_s: float) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class BuildingControl(Protocol):
    """The BMS of every facility. Calls never retry by themselves; the caller decides."""

    async def execute(self, connection: BmsConnection, command: ZoneCommand) -> CommandReceipt:
        """Carry out `command`.

        Raises BmsRefused (nothing done), BmsUnreachable (nothing sent), BmsTimedOut or BmsAnswerInvalid
        (outcome unknown); ValueError for a command that cannot be expressed (a restore without `restore_to`, a
        single-phase commit without `previous`).
        """
        ...

    async def command_status(self, connection: BmsConnection, command: ZoneCommand) -> CommandStatus:
        """Whether the BMS carried out `command`; a two-phase BMS goes by its id alone.

        Raises BmsUnreachable, BmsTimedOut, BmsAnswerInvalid, and BmsRefused where the BMS does not know the zone.
        """
        ...

    async def zone_state(self, connection: BmsConnection, zone_id: str) -> ZoneState:
        """The zone now. Raises BmsRefused(`unknown_zone`), BmsUnreachable, BmsTimedOut, BmsAnswerInvalid."""
        ...

    async def aclose(self) -> None:
        """Close the connections; the object is of no use afterwards."""
        ...
