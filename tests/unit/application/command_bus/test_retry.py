"""A call is repeated while a server is unavailable, and for no other reason."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from application.command_bus.bus import TooManyConflicts
from application.command_bus.retry import Pauses, Stopped, retry_while_unavailable
from application.ports.event_store.event_store import EventStoreUnavailable
from application.ports.telemetry.stream import StreamUnavailable

SHORT = Pauses(0.001, 0.002)


def failing(*errors: Exception) -> Callable[[], Awaitable[int]]:
    """A call that raises each of `errors` once, and then returns the number of its calls."""
    left, calls = list(errors), 0

    async def call() -> int:
        nonlocal calls
        calls += 1
        if left:
            raise left.pop(0)
        return calls

    return call


def test_a_call_is_repeated_until_there_is_an_answer() -> None:
    errors = [EventStoreUnavailable("away"), TooManyConflicts("lost"), StreamUnavailable("away")]
    seen: list[Exception] = []
    call = failing(*errors)
    assert asyncio.run(retry_while_unavailable(call, pauses=SHORT, on_retry=seen.append)) == 4
    assert seen == errors


def test_another_error_is_raised_at_once() -> None:
    call = failing(EventStoreUnavailable("away"), ValueError("wrong"), EventStoreUnavailable("away"))
    with pytest.raises(ValueError, match="wrong"):
        asyncio.run(retry_while_unavailable(call, pauses=SHORT))


def test_no_further_attempt_is_made_once_stop_is_set() -> None:
    async def stopped() -> None:
        stop = asyncio.Event()
        call = failing(EventStoreUnavailable("away"))
        await retry_while_unavailable(call, stop=stop, pauses=SHORT, on_retry=lambda _: stop.set())

    with pytest.raises(Stopped):
        asyncio.run(stopped())


def test_the_first_attempt_is_made_even_if_stop_is_set() -> None:
    async def answered() -> int:
        stop = asyncio.Event()
        stop.set()
        return await retry_while_unavailable(failing(), stop=stop)

    assert asyncio.run(answered()) == 1


def test_pauses_double_up_to_a_maximum_during_a_long_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("stamina._core._smart_sleep", sleep)
    call = failing(*[StreamUnavailable("away")] * 1_500)
    assert (
        asyncio.run(retry_while_unavailable(call, pauses=Pauses(0.5, 5.0), on_retry=lambda _: None)) == 1_501
    )
    assert slept[:6] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert slept[-1] == 5.0
