"""Lag raises alerts of rising severity. It is read from the log, so no aggregate worker needs to run."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from application.ports.telemetry.stream import StreamUnavailable
from interfaces.workers.watch import telemetry_lag_monitor
from interfaces.workers.watch.telemetry_lag_monitor import OBSERVER, TelemetryLagMonitor
from tests.fakes.clock import FakeClock
from tests.fakes.coordination.locks import FakeLocks, LockBoard
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.raw_archive.telemetry_log import FakeRawLog
from tests.patience import ANSWER_S

T0 = datetime(2026, 7, 14, 10, tzinfo=UTC)
LAG, HIGH, SEVERE = "telemetry_lag", "telemetry_lag_high", "telemetry_lag_severe"


class Watched:
    def __init__(self, *, speed: float = 1.0) -> None:
        self.log, self.alerts, self.clock = FakeRawLog(), FakeAlertRegistry(), FakeClock(T0, speed)
        self.board = LockBoard()

    def watch(self) -> TelemetryLagMonitor:
        return TelemetryLagMonitor(self.log, self.alerts, self.clock)

    def open(self) -> list[tuple[str, str]]:
        return sorted((alert.name, alert.subject) for alert in self.alerts.listed())

    async def until(self, *there: tuple[str, str]) -> None:
        async with asyncio.timeout(ANSWER_S):
            while self.open() != sorted(there):  # noqa: ASYNC110 - the alerts have no event
                await asyncio.sleep(0.01)


def test_unprocessed_messages_raise_alerts_of_rising_severity_until_they_are_stored() -> None:
    async def scenario() -> None:
        there = Watched()
        watch = there.watch()
        there.log.append(2, b"", at=T0)
        there.log.append(5, b"", at=T0 + timedelta(hours=1))
        raised: list[list[str]] = []
        for waited_s in (14, 16, 76, 151):
            there.clock.moment = T0 + timedelta(seconds=waited_s)
            await watch.check()
            assert {subject for _, subject in there.open()} <= {"partition 2"}
            raised.append([name for name, _ in there.open()])
        assert raised == [[], [LAG], [LAG, HIGH], [LAG, HIGH, SEVERE]]
        there.log.available = False
        with pytest.raises(StreamUnavailable):
            await watch.check()
        assert len(there.open()) == 3
        there.log.available = True
        there.log.acknowledged.add(1)
        await watch.check()
        assert there.open() == []

    asyncio.run(scenario())


def test_the_lag_on_an_accelerated_clock_is_measured_in_wall_time() -> None:
    async def scenario() -> None:
        there = Watched(speed=60.0)
        there.log.append(2, b"", at=T0 - timedelta(minutes=14))
        assert (await telemetry_lag_monitor.lags_s(there.log, there.clock))[2] == pytest.approx(14.0)
        there.log.append(3, b"", at=T0 + timedelta(seconds=5))
        assert (await telemetry_lag_monitor.lags_s(there.log, there.clock))[3] == 0.0

    asyncio.run(scenario())


def watching(there: Watched, scenario: Callable[[], Awaitable[None]], *, watches: int = 1) -> None:
    async def run() -> None:
        stop = asyncio.Event()
        running = [
            asyncio.create_task(there.watch().periodic.run(stop, FakeLocks(there.board)))
            for _ in range(watches)
        ]
        await scenario()
        stop.set()
        await asyncio.wait_for(asyncio.gather(*running), ANSWER_S)

    asyncio.run(run())


def test_a_monitor_that_takes_over_clears_the_alerts_of_a_dead_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry_lag_monitor, "CHECK_EVERY_S", 0.01)
    there = Watched()
    there.alerts.state(LAG, {"partition 4": "stated by one who died"}, observer=OBSERVER, at=T0)
    there.log.append(6, b"", at=T0 - timedelta(seconds=20))

    async def scenario() -> None:
        await there.until((LAG, "partition 6"))

    watching(there, scenario, watches=2)


def test_a_monitor_can_be_stopped_between_two_checks() -> None:
    there = Watched()
    there.log.append(6, b"", at=T0 - timedelta(seconds=20))

    async def scenario() -> None:
        await there.until((LAG, "partition 6"))

    watching(there, scenario)
