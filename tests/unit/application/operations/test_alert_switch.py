"""One alert that several workers raise and clear, each by its own observations."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from application.operations import alert_switch
from application.operations.alert_switch import AlertSwitch
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry

NAME, SUBJECT = "telemetry_backpressure", "ingest"


class Workers:
    """Workers with one register and clock; each turn is a minute after the one before."""

    def __init__(self) -> None:
        self.alerts = FakeAlertRegistry()
        self.clock = FakeClock()

    def new(self) -> AlertSwitch:
        return AlertSwitch(self.alerts, self.clock, NAME, SUBJECT)

    async def turn(self, switch: AlertSwitch, *, on: bool) -> None:
        self.clock.advance(minutes=1)
        await switch.turn(on=on, detail="it is so")

    @property
    def is_open(self) -> bool:
        return bool(self.alerts.listed())


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Workers:
    """Each turn is late enough to raise the alert again."""
    monkeypatch.setattr(alert_switch, "RAISE_AGAIN_S", 0.0)
    monkeypatch.setattr(alert_switch, "ABANDONED_AFTER_S", 0.0)
    return Workers()


def run_scenario(scenario: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_an_alert_cleared_by_a_starting_worker_is_raised_again_by_the_affected_worker(
    workers: Workers,
) -> None:
    async def scenario() -> None:
        cut_off, fresh = workers.new(), workers.new()
        await workers.turn(cut_off, on=True)
        await workers.turn(fresh, on=False)
        assert not workers.is_open
        await workers.turn(cut_off, on=True)
        assert workers.is_open

    run_scenario(scenario)


def test_an_alert_that_is_raised_again_is_not_cleared_by_other_workers(workers: Workers) -> None:
    async def scenario() -> None:
        healthy, cut_off = workers.new(), workers.new()
        await workers.turn(healthy, on=False)
        for _ in range(5):
            await workers.turn(cut_off, on=True)
            await workers.turn(healthy, on=False)
            assert workers.is_open

    run_scenario(scenario)


def test_an_alert_of_a_stopped_worker_is_cleared_by_another(workers: Workers) -> None:
    async def scenario() -> None:
        healthy, gone = workers.new(), workers.new()
        await workers.turn(healthy, on=False)
        await workers.turn(gone, on=True)
        await workers.turn(healthy, on=False)
        assert workers.is_open, "the other worker may still be running"
        await workers.turn(healthy, on=False)
        assert not workers.is_open

    run_scenario(scenario)


def test_the_register_is_not_called_between_two_raises() -> None:
    workers = Workers()

    async def scenario() -> None:
        raised = workers.new()
        await workers.turn(raised, on=True)
        workers.alerts.clear(NAME, SUBJECT, at=workers.clock.now())
        await workers.turn(raised, on=True)
        assert not workers.is_open

    run_scenario(scenario)
