"""A periodic loop under a lock ends at once when stopped, not only at its next check."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, cast

import pytest

from application.ports.failpoints import no_failpoint
from application.ports.telemetry.rollup_lag import FinalizingDelay
from interfaces.workers.watch.blocked_dispatch_review import BlockedDispatchReview
from interfaces.workers.watch.dead_letter_monitor import DeadLetterMonitor
from interfaces.workers.watch.forecast_monitor import ForecastMonitor
from interfaces.workers.watch.rollup_monitor import RollupMonitor
from tests.fakes.clock import FakeClock
from tests.fakes.coordination.locks import FakeLocks
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.operations.dead_letters import FakeDeadLetters
from tests.fakes.read_models import FakeReadModels
from tests.given_when_then import given
from tests.sample_values import NOW

PATIENCE_S = 5.0
"""Shorter than the pauses of these loops, so that only the stop can end them."""


class NothingWaits:
    def longest_wait(self, now: datetime, *, wall_s_per_s: float) -> FinalizingDelay | None:
        return None


def overdue_letters() -> DeadLetterMonitor:
    return DeadLetterMonitor(FakeDeadLetters(), FakeAlertRegistry(), FakeClock(NOW), sla_s=900.0)


def forecast_watch() -> ForecastMonitor:
    read_models, book = FakeReadModels([]), FakeForecastBook()
    return ForecastMonitor(
        dr_events=read_models.dr_events,
        facilities=read_models.facilities,
        review=BlockedDispatchReview(read_models.dispatches, book, given().bus, FakeClock(NOW), no_failpoint),
        book=book,
        alerts=FakeAlertRegistry(),
        clock=FakeClock(NOW),
    )


def settling_watch() -> RollupMonitor:
    return RollupMonitor(NothingWaits(), FakeAlertRegistry(), FakeClock(NOW))


@pytest.mark.parametrize("watcher", [overdue_letters, forecast_watch, settling_watch])
def test_a_monitor_between_two_checks_stops_at_once(watcher: Callable[[], Any]) -> None:
    async def scenario() -> None:
        looked, stop = asyncio.Event(), asyncio.Event()
        watching = cast("DeadLetterMonitor | ForecastMonitor | RollupMonitor", watcher())
        loop, check = asyncio.get_running_loop(), watching.check

        def looking() -> None:
            check()
            loop.call_soon_threadsafe(looked.set)

        object.__setattr__(watching, "check", looking)
        running = asyncio.create_task(watching.periodic.run(stop, FakeLocks()))
        await looked.wait()
        stop.set()
        await asyncio.wait_for(running, PATIENCE_S)

    asyncio.run(scenario())
