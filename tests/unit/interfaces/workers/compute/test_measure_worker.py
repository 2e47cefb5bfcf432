"""Errors that delay the compute worker without ending it."""

import asyncio
from typing import Any, cast

import pytest

from application.command_bus.bus import TooManyConflicts
from application.ports.event_store.event_store import EventStoreUnavailable
from application.ports.telemetry.store import TelemetryStoreUnavailable
from interfaces.workers.compute import measure
from projections.queries.views import ReadModelsUnavailable
from tests.fakes.clock import FakeClock
from tests.fakes.coordination.locks import FakeLocks
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.patience import ANSWER_S
from tests.sample_values import NOW


@pytest.mark.parametrize(
    "error",
    [
        EventStoreUnavailable("no answer"),
        TelemetryStoreUnavailable("no answer"),
        ReadModelsUnavailable("no answer"),
        TooManyConflicts("RecordMeasurement lost 12 races"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_temporary_error_delays_the_work_until_the_next_pass(error: Exception) -> None:
    stop = asyncio.Event()

    class Measuring:
        clock = FakeClock(NOW, speed=1e6)
        alerts = FakeAlertRegistry()
        passes = 0

        def reset(self) -> None:
            pass

        def pass_once(self) -> int:
            self.passes += 1
            if self.passes == 1:
                raise error
            stop.set()
            return 0

    measuring = Measuring()

    async def scenario() -> None:
        async with asyncio.timeout(ANSWER_S):
            await measure.run(measuring=cast("Any", measuring), locks=FakeLocks(), stop=stop)

    asyncio.run(scenario())
    assert measuring.passes == 2
