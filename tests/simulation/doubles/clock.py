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
    ahead_wall_s: Callable[[], float] | None = None
    """Wall seconds by which the machine's clock is ahead at present; None: it never is."""

    def now(self) -> datetime:
        return self.epoch + timedelta(seconds=round(self._machine_s() * self.speed + self.skew_s, 6))

    def machine_now(self) -> datetime:
        """What the machine's clock shows, in wall time."""
        return self.epoch + timedelta(seconds=self._machine_s() + self.skew_s / self.speed)

    def wall_seconds(self, clock_seconds: float) -> float:
        return clock_seconds / self.speed

    def _machine_s(self) -> float:
        wall_s = (self.loop or asyncio.get_running_loop()).time()
        return wall_s if self.ahead_wall_s is None else wall_s + self.ahead_wall_s()
