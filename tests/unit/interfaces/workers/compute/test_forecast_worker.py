"""The compute worker runs a cycle at once, then in every quarter-hour; missed ones are skipped."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from application.forecast.cycle import ForecastCycle
from application.forecast.cycle_report import CycleReport
from application.ports.operations.unavailable import OperationsUnavailable
from domain.forecast import cycle_start_of
from interfaces.workers.compute import forecast as forecast_worker
from tests.fakes.coordination.locks import FakeLocks
from tests.patience import ANSWER_S

NOW = datetime(2026, 7, 14, 20, 0, 30, tzinfo=UTC)


class JumpingClock:
    """A sleep returns at once and advances the clock to its end."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at

    def wall_seconds(self, clock_seconds: float) -> float:
        self.at += timedelta(seconds=max(clock_seconds, 0.0))
        return 0.0


class SlowCycle:
    """A forecast cycle whose second run takes 40 minutes."""

    def __init__(self, clock: JumpingClock, stop: asyncio.Event) -> None:
        self.clock, self.stop = clock, stop
        self.starts: list[datetime] = []
        self.trained = 0

    def take_over(self, cycle_start: datetime) -> None:
        """No forecast to take over."""

    async def run(self, *, at: datetime) -> CycleReport:
        self.starts.append(cycle_start_of(at))
        if len(self.starts) == 2:
            self.clock.at += timedelta(minutes=40)
        if len(self.starts) == 4:
            self.stop.set()
        return CycleReport(cycle_start=cycle_start_of(at))

    async def train_waiting(self, report: CycleReport, while_time: Callable[[], bool]) -> None:
        """Uses the remaining time."""
        while while_time():
            self.clock.at += timedelta(minutes=2)
            self.trained += 1


async def lived() -> tuple[list[datetime], int]:
    """The start times of the cycles, and how often there was time to train."""
    stop, clock = asyncio.Event(), JumpingClock()
    cycle = SlowCycle(clock, stop)
    worker = forecast_worker.run(
        cycle=cast("ForecastCycle", cycle), clock=clock, locks=cast("Any", FakeLocks()), stop=stop
    )
    await asyncio.wait_for(worker, ANSWER_S)
    return cycle.starts, cycle.trained


def test_missed_cycles_are_skipped() -> None:
    starts, _ = asyncio.run(lived())
    minutes = [(start - NOW.replace(second=0)) // timedelta(minutes=1) for start in starts]
    assert minutes == [0, 15, 45, 60]


def test_models_are_trained_only_in_the_remaining_time_of_a_quarter_hour() -> None:
    _, trained = asyncio.run(lived())
    in_the_first, after_the_second, in_the_third, when_told_to_stop = 8, 0, 2, 0
    assert trained == in_the_first + after_the_second + in_the_third + when_told_to_stop


class BrokenOffCycle(SlowCycle):
    """A cycle that fails twice, the second time in the next quarter-hour."""

    def __init__(self, clock: JumpingClock, stop: asyncio.Event) -> None:
        super().__init__(clock, stop)
        self.taken_over: list[datetime] = []

    def take_over(self, cycle_start: datetime) -> None:
        self.taken_over.append(cycle_start)

    async def run(self, *, at: datetime) -> CycleReport:
        self.starts.append(cycle_start_of(at))
        if len(self.starts) <= 2:
            self.clock.at += timedelta(minutes=20)
            raise OperationsUnavailable("away")
        self.stop.set()
        return CycleReport(cycle_start=cycle_start_of(at))


def test_a_worker_takes_over_the_cycle_at_its_start_and_each_interrupted_cycle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forecast_worker, "RETRY_WALL_S", 0.0)

    async def scenario() -> BrokenOffCycle:
        stop, clock = asyncio.Event(), JumpingClock()
        cycle = BrokenOffCycle(clock, stop)
        worker = forecast_worker.run(
            cycle=cast("ForecastCycle", cycle), clock=clock, locks=cast("Any", FakeLocks()), stop=stop
        )
        await asyncio.wait_for(worker, ANSWER_S)
        return cycle

    cycle = asyncio.run(scenario())
    first, quarter = NOW.replace(second=0), timedelta(minutes=15)
    assert cycle.starts == [first, first + quarter, first + 2 * quarter]
    assert cycle.taken_over == [first, first, first + quarter]
