"""When the forecast worker makes a cycle: at once, then in every quarter-hour; what was missed is skipped."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from domain.forecast import cycle_start_of
from interfaces.workers import forecast as forecast_worker
from interfaces.workers.cycle_report import CycleReport
from interfaces.workers.forecast_cycle import ForecastCycle
from tests.fakes.locks import FakeLocks

NOW = datetime(2026, 7, 14, 20, 0, 30, tzinfo=UTC)


class JumpingClock:
    """Whoever waits is at that moment at once."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at

    def wall_seconds(self, clock_seconds: float) -> float:
        self.at += timedelta(seconds=max(clock_seconds, 0.0))
        return 0.0


class SlowCycle:
    """The second one takes 40 minutes."""

    def __init__(self, clock: JumpingClock, stop: asyncio.Event) -> None:
        self.clock, self.stop = clock, stop
        self.starts: list[datetime] = []

    async def run(self, *, at: datetime) -> CycleReport:
        self.starts.append(cycle_start_of(at))
        if len(self.starts) == 2:
            self.clock.at += timedelta(minutes=40)
        if len(self.starts) == 4:
            self.stop.set()
        return CycleReport(cycle_start=cycle_start_of(at))


def test_cycles_that_were_missed_are_skipped_and_not_made_up_for() -> None:
    async def story() -> list[datetime]:
        stop, clock = asyncio.Event(), JumpingClock()
        cycle = SlowCycle(clock, stop)
        worker = forecast_worker.run(
            cycle=cast("ForecastCycle", cycle), clock=clock, locks=cast("Any", FakeLocks()), stop=stop
        )
        await asyncio.wait_for(worker, 10)
        return cycle.starts

    minutes = [(start - NOW.replace(second=0)) // timedelta(minutes=1) for start in asyncio.run(story())]
    assert minutes == [0, 15, 45, 60]
