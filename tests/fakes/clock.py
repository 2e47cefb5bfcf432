"""A clock that stands still until it is moved."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 7, 14, 12, 0, tzinfo=UTC)


@dataclass
class FakeClock:
    """`speed` only shortens waits on the wall."""

    moment: datetime = NOON
    speed: float = 1.0

    def now(self) -> datetime:
        return self.moment

    def wall_seconds(self, clock_seconds: float) -> float:
        return clock_seconds / self.speed

    def advance(self, **duration: float) -> None:
        """Move by `seconds=`, `minutes=`, `hours=` ..."""
        self.moment += timedelta(**duration)
