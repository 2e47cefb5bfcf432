"""The building control port: what Gridproof asks of a facility's building management system (BMS).

Every command has a deterministic id. A two-phase BMS stores the ids of executed commands and answers a repeat
with its first answer. A single-phase BMS has no command ids, so the outcome of a command is derived from its
setpoints. In both cases a caller that does not know an outcome calls `command_status`, or sends the same
command again.
"""

from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

import msgspec

Phase = Literal["prepare", "commit", "abort", "restore"]
SetpointUnit = Literal["celsius", "percent"]
ControlStrategy = Literal["setpoint_offset", "shed_level"]


class BmsConnection(msgspec.Struct, frozen=True, kw_only=True):
    """The address of a facility's BMS, and its protocol profile."""

    facility_id: str
    address: str
    profile: str = "two_phase"
    """`two_phase`; `two_phase_no_dedup`: executes a repeated command again; `single_phase`: can only read and
    write setpoints."""
    credentials_ref: str | None = None
    """Names where the secret is stored (`env:NAME`, `file:/path`); never the secret itself."""
    soap_traceparent: bool = False
    """Whether the envelope has the trace as a header too, besides the HTTP header."""


class Setpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The setting of a zone: a temperature, or the shed level in percent (0: nothing shed)."""

    value: float
    unit: SetpointUnit


class ZoneCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command for one zone."""

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
    """Kelvin (`setpoint_offset`, below 0 to lower it) or percent (`shed_level`); 0 for abort and restore."""
    restore_to: Setpoint | None = None
    """For restore only: the setpoint that prepare reported."""
    previous: Setpoint | None = None
    """The setpoint that prepare reported, where it is available; a single-phase setpoint is computed from
    it."""
    expires_at: datetime
    """When the BMS restores the zone by itself if it receives no further command (UTC)."""


class CommandReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """The BMS executed the command."""

    command_id: UUID
    zone_id: str
    phase: Phase
    executed_at: datetime
    setpoint: Setpoint
    """Prepare: the setpoint to store and restore later. Other phases: the setpoint now in force."""
    repeated: bool = False
    """True: answered from the BMS's stored commands; nothing was executed again."""


class CommandStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a command id in the BMS: `executed` with its receipt, or `unknown` (never executed)."""

    command_id: UUID
    state: Literal["executed", "unknown"]
    receipt: CommandReceipt | None = None


class ZoneState(msgspec.Struct, frozen=True, kw_only=True):
    """A zone as the BMS reports it at this moment."""

    zone_id: str
    setpoint: Setpoint
    curtailed: bool
    active_command_id: UUID | None = None
    """The commit in force, or the prepare that waits for its commit; None where the BMS has no command ids."""


class BmsError(Exception):
    """A BMS call did not end with a valid answer. The subclass says what is certain about the outcome."""


class BmsRefused(BmsError):
    """The BMS refused: it did nothing and stored nothing. A new round may follow."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"the BMS refused: {code}: {reason}")
        self.code = code
        self.reason = reason


class BmsUnreachable(BmsError):
    """No connection was made (or the circuit breaker is open): nothing was sent, so nothing was done."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the BMS could not be reached: {reason}")
        self.reason = reason


class BmsTimedOut(BmsError):
    """The command was sent and no answer came: the outcome is unknown. Call `command_status`."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the BMS did not answer: {reason}")
        self.reason = reason


class BmsAnswerInvalid(BmsError):
    """The BMS answered with an invalid message: the outcome is unknown. Call `command_status`."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the BMS answered nonsense: {reason}")
        self.reason = reason


class BmsBusy(BmsAnswerInvalid):
    """The BMS is overloaded (HTTP 429 or 503); ask again after `wait_s` clock seconds."""

    def __init__(self, reason: str, wait_s: float) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class BuildingControl(Protocol):
    """The BMS of every facility. Calls never retry by themselves; the caller decides."""

    async def execute(self, connection: BmsConnection, command: ZoneCommand) -> CommandReceipt:
        """Execute `command`.

        Raises BmsRefused (nothing done), BmsUnreachable (nothing sent), BmsTimedOut or BmsAnswerInvalid
        (outcome unknown); ValueError for a command that cannot be expressed (a restore without `restore_to`,
        a single-phase commit without `previous`).
        """
        ...

    async def command_status(self, connection: BmsConnection, command: ZoneCommand) -> CommandStatus:
        """True if the BMS executed `command`. A two-phase BMS looks at the id only.

        Raises BmsUnreachable, BmsTimedOut or BmsAnswerInvalid; BmsRefused where the BMS does not know the
        zone.
        """
        ...

    async def zone_state(self, connection: BmsConnection, zone_id: str) -> ZoneState:
        """The zone now. Raises BmsRefused(`unknown_zone`), BmsUnreachable, BmsTimedOut or BmsAnswerInvalid."""
        ...

    async def aclose(self) -> None:
        """Close the connections. The object cannot be used afterwards."""
        ...
