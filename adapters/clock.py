"""Clocks: the machine's own, and one that runs faster for demos and simulations."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True)
class SystemClock:
    """The machine's clock; `wall_seconds` is the identity."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def wall_seconds(self, clock_seconds: float) -> float:
        return clock_seconds


@dataclass(frozen=True)
class AcceleratedClock:
    """A clock that read `epoch` when the wall read `started_at` and runs `speed` times as fast.

    Every process of one system is given the same three values, so that they agree on the time.
    """

    epoch: datetime
    started_at: datetime
    speed: float

    def now(self) -> datetime:
        elapsed = (datetime.now(UTC) - self.started_at).total_seconds()
        return self.epoch + timedelta(seconds=elapsed * self.speed)

    def wall_seconds(self, clock_seconds: float) -> float:
        return clock_seconds / self.speed
