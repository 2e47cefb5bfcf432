"""The time limits of a BMS command, all in one place, and the check that they fit each other.

Names that end in `_s` are seconds of the clock, which may be accelerated; those that end in `_wall_s` are wall seconds.
"""

from __future__ import annotations

from dataclasses import dataclass


class TimeLimitsConflict(ValueError):
    """Two time limits of a BMS command do not fit each other."""


@dataclass(frozen=True)
class BmsTimeLimits:
    """How long each step of a BMS command may take, from one call to the self-restore of the BMS."""

    connect_s: float = 10.0
    """For the TCP connection of a call: GRIDPROOF_BMS_CONNECT_TIMEOUT_S."""
    call_s: float = 30.0
    """For a whole call, the connection included: GRIDPROOF_BMS_TOTAL_TIMEOUT_S."""
    check_wait_s: float = 20.0
    """Before the calls of a check, for commands of the same process to other buildings: one of them may hang."""
    read_backs: int = 5
    """Reads after a write to a BMS without commands, until the zone shows it."""
    read_back_pause_s: float = 1.0
    """Between two of them: a BMS may accept a write before it applies it."""
    max_tries: int = 4
    """Calls and status queries of one delivery, before the command is given up."""
    first_backoff_s: float = 2.0
    """Pause after the first failed try; it doubles with each further one."""
    longest_backoff_s: float = 30.0
    """The longest of these pauses."""
    longest_busy_wait_s: float = 120.0
    """The longest wait that a busy BMS may ask for: all other work for that building waits as long."""
    retry_wall_s: float = 0.5
    """Pause of a dispatch worker after a delivery that it could not conclude."""
    command_sla_s: float = 900.0
    """From the decision to commit until the commit is given up as a dead letter: GRIDPROOF_COMMAND_SLA_S."""
    expiry_after_end_s: float = 1_800.0
    """After the end of the DR event: a BMS that has received no further command by then restores itself."""

    @property
    def longest_delivery_s(self) -> float:
        """All tries of one delivery, each with the longest calls and the longest pause, and one wait of a busy BMS."""
        read_back_s = self.read_backs * self.call_s + (self.read_backs - 1) * self.read_back_pause_s
        longest_try_s = 2 * self.call_s + read_back_s  # a query whose answer is "unknown" precedes the call
        return self.max_tries * (longest_try_s + self.longest_backoff_s) + self.longest_busy_wait_s

    def check(self) -> None:
        """Raises TimeLimitsConflict, which names the first two limits that do not fit."""
        self._at_most("connect_s", "call_s", "the connection is part of the call")
        self._at_most("call_s", "command_sla_s", "a commit is given up before its first call can time out")
        self._at_most("first_backoff_s", "longest_backoff_s", "the pauses grow from the first to the longest")
        self._at_most(
            "command_sla_s", "expiry_after_end_s", "a BMS restores itself while commands are still tried"
        )
        self._at_most(
            "longest_delivery_s", "expiry_after_end_s", "a BMS restores itself before its restore was tried"
        )

    def _at_most(self, shorter: str, longer: str, why: str) -> None:
        if getattr(self, shorter) > getattr(self, longer):
            raise TimeLimitsConflict(
                f"time limits of BMS commands: {_named(shorter)} is {getattr(self, shorter):g} s, and "
                f"{_named(longer)} is {getattr(self, longer):g} s: {why}. Make {_named(shorter)} "
                f"at most {getattr(self, longer):g} s"
            )


TIME_LIMITS = BmsTimeLimits()
"""The limits where the settings say nothing else."""

_SETTINGS = {
    "connect_s": "GRIDPROOF_BMS_CONNECT_TIMEOUT_S",
    "call_s": "GRIDPROOF_BMS_TOTAL_TIMEOUT_S",
    "command_sla_s": "GRIDPROOF_COMMAND_SLA_S",
}


def _named(limit: str) -> str:
    return _SETTINGS.get(limit, limit)
