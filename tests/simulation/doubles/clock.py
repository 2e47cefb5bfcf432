"""The clock of a simulated process: virtual time from an epoch, with a speed, a skew, and at times far ahead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class VirtualClock:
    epoch: datetime
    speed: float = 1.0
    skew_s: float = 0.0
    loop: asyncio.AbstractEventLoop | None = None
    """None: the running loop."""
    ahead_wall_s: Callable[[], float] = lambda: 0.0
    """Wall seconds by which the machine's clock is ahead at present."""

    def now(self) -> datetime:
        wall_s = self._time() + self.ahead_wall_s()
        return self.epoch + timedelta(seconds=round(wall_s * self.speed + self.skew_s, 6))

    def machine_now(self) -> datetime:
        """What the machine's clock shows, in wall time."""
        return self.epoch + timedelta(seconds=self._time() + self.ahead_wall_s() + self.skew_s / self.speed)

    def wall_seconds(self, clock_seconds: float) -> float:
        return clock_seconds / self.speed

    def _time(self) -> float:
        return (self.loop or asyncio.get_running_loop()).time()
