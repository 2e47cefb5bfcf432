"""While a server is unreachable the relay waits, then continues at its position, and can be stopped."""

import asyncio
from typing import Any

import pytest

from application.command_bus import retry
from application.command_bus.bus import TooManyConflicts
from application.ports.event_store.event_store import EventStoreUnavailable
from interfaces.workers.decide.relay import READER, Relay
from tests.fakes.event_store.reader_positions import FakeReaderPositions
from tests.in_process_system import InProcessSystem

PATIENCE_S = 20.0


class Away:
    """Wraps a port: `method` raises at the first `times` calls."""

    def __init__(self, inside: Any, method: str, error: Exception, *, times: int) -> None:
        self.inside, self.method, self.error, self.left = inside, method, error, times
        self.was_asked = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return self._missing if name == self.method else getattr(self.inside, name)

    def _missing(self, *args: Any, **more: Any) -> Any:
        if not self.left:
            return getattr(self.inside, self.method)(*args, **more)
        self.left -= 1
        self.loop.call_soon_threadsafe(self.was_asked.set)
        raise self.error

    loop: asyncio.AbstractEventLoop


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "DEFAULT_PAUSES", retry.Pauses(0.01, 0.01))


def relay_of(world: InProcessSystem, **changes: Any) -> Relay:
    values: dict[str, Any] = {name: getattr(world.relay, name) for name in Relay.__dataclass_fields__}
    return Relay(**(values | {"positions": FakeReaderPositions()} | changes))


@pytest.mark.parametrize("method", ["position", "move", "read_after"])
def test_the_relay_can_be_stopped_while_the_store_is_unreachable(method: str) -> None:
    world = InProcessSystem.accepted("fac-001")

    async def scenario() -> None:
        port = "event_log" if method == "read_after" else "positions"
        inside = world.relay.event_log if port == "event_log" else FakeReaderPositions()
        away = Away(inside, method, EventStoreUnavailable("gone"), times=1_000_000)
        away.loop, stop = asyncio.get_running_loop(), asyncio.Event()
        running = asyncio.create_task(relay_of(world, **{port: away}).run(stop))
        async with asyncio.timeout(PATIENCE_S):
            await away.was_asked.wait()
            stop.set()
            await running

    asyncio.run(scenario())


def test_a_temporary_error_is_retried_and_nothing_is_skipped() -> None:
    world = InProcessSystem.accepted("fac-001", "fac-002")
    world.control.fail_next("fac-002", "refuse")
    world.until("completed")

    async def scenario() -> None:
        error = TooManyConflicts("CompleteDREvent lost 12 races")
        away = Away(world.relay.commands, "handle", error, times=2)
        away.loop, stop = asyncio.get_running_loop(), asyncio.Event()
        relay = relay_of(world, commands=away)
        running = asyncio.create_task(relay.run(stop))
        async with asyncio.timeout(PATIENCE_S):
            while relay.positions.position(READER) < world.scenario.store.head() and not running.done():  # noqa: ASYNC110 - another task changes the condition
                await asyncio.sleep(0.002)
        stop.set()
        await running
        assert away.left == 0

    asyncio.run(scenario())
    assert "batch_below_80_percent" in {alert.name for alert in world.alerts.listed()}
