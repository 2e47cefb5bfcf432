"""Clocks: the machine's own, and an accelerated one for demos and simulations."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

EARLIEST, LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class SystemClock:
    """The machine's clock; `wall_seconds` is the identity."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def wall_seconds(self, clock_seconds: float) -> float:
        return clock_seconds

    def wall_time(self, moment: datetime) -> datetime:
        return moment


@dataclass(frozen=True)
class AcceleratedClock:
    """A clock that showed `epoch` at the wall time `started_at` and runs `speed` times as fast.

    Every process of one system gets the same three values, so that their clocks agree.
    """

    epoch: datetime
    started_at: datetime
    speed: float

    def now(self) -> datetime:
        elapsed = (datetime.now(UTC) - self.started_at).total_seconds()
        return self.epoch + timedelta(seconds=elapsed * self.speed)

    def wall_seconds(self, clock_seconds: float) -> float:
        return clock_seconds / self.speed

    def wall_time(self, moment: datetime) -> datetime:
        """When the machine's clock shows that this clock shows `moment`."""
        try:
            return self.started_at + (moment - self.epoch) / self.speed
        except OverflowError:
            return LATEST if moment > self.epoch else EARLIEST
