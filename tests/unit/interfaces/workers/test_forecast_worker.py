"""When the forecast worker makes a cycle: at once, then in every quarter-hour; what was missed is skipped."""

import asyncio
from collections.abc import Callable
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
        self.trained = 0

    def take_over(self) -> None:
        """Nothing stands here."""

    async def run(self, *, at: datetime) -> CycleReport:
        self.starts.append(cycle_start_of(at))
        if len(self.starts) == 2:
            self.clock.at += timedelta(minutes=40)
        if len(self.starts) == 4:
            self.stop.set()
        return CycleReport(cycle_start=cycle_start_of(at))

    async def train_waiting(self, report: CycleReport, while_time: Callable[[], bool]) -> None:
        """Uses the time that is left."""
        while while_time():
            self.clock.at += timedelta(minutes=2)
            self.trained += 1


async def lived() -> tuple[list[datetime], int]:
    """When cycles began, and how often there was time to train."""
    stop, clock = asyncio.Event(), JumpingClock()
    cycle = SlowCycle(clock, stop)
    worker = forecast_worker.run(
        cycle=cast("ForecastCycle", cycle), clock=clock, locks=cast("Any", FakeLocks()), stop=stop
    )
    await asyncio.wait_for(worker, 10)
    return cycle.starts, cycle.trained


def test_cycles_that_were_missed_are_skipped_and_not_made_up_for() -> None:
    starts, _ = asyncio.run(lived())
    minutes = [(start - NOW.replace(second=0)) // timedelta(minutes=1) for start in starts]
    assert minutes == [0, 15, 45, 60]


def test_models_are_trained_in_what_is_left_of_a_quarter_hour_and_no_longer() -> None:
    _, trained = asyncio.run(lived())
    in_the_first, after_the_second, in_the_third, when_told_to_stop = 8, 0, 2, 0
    assert trained == in_the_first + after_the_second + in_the_third + when_told_to_stop
