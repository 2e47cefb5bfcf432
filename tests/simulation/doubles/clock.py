"""The clock of a simulated process: virtual time from an epoch, with a speed and a skew."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class VirtualClock:
    epoch: datetime
    speed: float = 1.0
    skew_s: float = 0.0
    loop: asyncio.AbstractEventLoop | None = None
    """None: the running loop."""

    def now(self) -> datetime:
        loop = self.loop or asyncio.get_running_loop()
        return self.epoch + timedelta(seconds=round(loop.time() * self.speed + self.skew_s, 6))

    def wall_seconds(self, clock_seconds: float) -> float:
        return clock_seconds / self.speed
