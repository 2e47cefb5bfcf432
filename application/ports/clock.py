"""The clock port: the only way in which time enters the application."""

from datetime import datetime
from typing import Protocol


class ClockSkewed(Exception):
    """The clock of this process is too far from the database's. Nothing was saved. Repeat once the clock is right."""


class Clock(Protocol):
    """Time as data. All processes of a system share one clock (epoch and speed)."""

    def now(self) -> datetime:
        """The present moment, UTC-aware."""
        ...

    def wall_seconds(self, clock_seconds: float) -> float:
        """How long `clock_seconds` of this clock last on the wall; equal at speed 1."""
        ...
