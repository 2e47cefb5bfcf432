"""The clock that a system was started with for the first time. Every later process must have the same one.

A clock that was set back would date new decisions before old ones, and one that was set ahead would hide everything
that follows from reads as of a time: the log cannot be corrected.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from application.operations.clock_monitor import MAX_SKEW_S


class ClockMismatch(RuntimeError):
    """This process has another clock than the system was first started with."""


class ClockDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a clock; without `epoch` and `started_at` it is the machine's own."""

    epoch: datetime | None = None
    """What the clock showed at the wall time `started_at`."""
    started_at: datetime | None = None
    speed: float = 1.0

    def shows(self, wall: datetime) -> datetime:
        """The time of this clock at a wall time."""
        if self.epoch is None or self.started_at is None:
            return wall
        return self.epoch + (wall - self.started_at) * self.speed

    def agrees_with(self, other: ClockDefinition, *, at: datetime) -> bool:
        """True if both clocks have the same speed, and at the wall time `at` the same time within 5 wall seconds."""
        if self.speed != other.speed:
            return False
        apart_s = abs((self.shows(at) - other.shows(at)).total_seconds())
        return apart_s <= MAX_SKEW_S * self.speed


def check_clock(own: ClockDefinition, stored: ClockDefinition | None, *, at: datetime) -> None:
    """`at`: the present wall time. Raises ClockMismatch."""
    if stored is None or own.agrees_with(stored, at=at):
        return
    raise ClockMismatch(
        f"the settings give another clock ({_described(own)}) than this system was first started with "
        f"({_described(stored)}): {_advice(stored)}, or begin with another data folder and database"
    )


def _described(clock: ClockDefinition) -> str:
    if clock.epoch is None or clock.started_at is None:
        return "the machine's own"
    return f"{clock.epoch.isoformat()} at {clock.started_at.isoformat()}, {clock.speed:g} times as fast as the wall"


def _advice(stored: ClockDefinition) -> str:
    if stored.epoch is None or stored.started_at is None:
        return "unset GRIDPROOF_CLOCK_EPOCH, GRIDPROOF_CLOCK_STARTED_AT and GRIDPROOF_CLOCK_SPEED"
    return (
        f"set GRIDPROOF_CLOCK_EPOCH={stored.epoch.isoformat()}, "
        f"GRIDPROOF_CLOCK_STARTED_AT={stored.started_at.isoformat()} and GRIDPROOF_CLOCK_SPEED={stored.speed!r}"
    )
