"""An unreachable server delays the next round; another error ends the loop."""

import asyncio
from collections.abc import Callable

import pytest

from application.ports.coordination.locks import LockLost
from application.ports.operations.unavailable import OperationsUnavailable
from interfaces.workers.loops import periodic
from interfaces.workers.loops.periodic import PeriodicCheck
from projections.queries.views import ReadModelsUnavailable
from tests.fakes.coordination.locks import FakeLocks


def pauses_of(
    rounds: list[float | Exception | None],
    monkeypatch: pytest.MonkeyPatch,
    **options: float | tuple[type, ...],
) -> list[float]:
    """The pauses after each of the given results or errors of rounds."""
    slept: list[float] = []
    check: Callable[..., PeriodicCheck] = PeriodicCheck  # options of any type

    async def sleep(stop: asyncio.Event, seconds: float) -> None:
        slept.append(seconds)

    async def scenario() -> None:
        stop = asyncio.Event()

        async def work() -> float | None:
            result = rounds.pop(0)
            if not rounds:
                stop.set()
            if isinstance(result, Exception):
                raise result
            return result

        await check("test", work, every_s=3.0, **options).run(stop)

    monkeypatch.setattr(periodic, "sleep_or_stop", sleep)
    asyncio.run(scenario())
    return slept


def test_the_pause_is_the_value_of_the_round_or_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pauses_of([None, 7.0, 0.0, None], monkeypatch) == [3.0, 7.0, 3.0]


def test_an_unreachable_server_delays_the_next_round(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: list[float | Exception | None] = [
        OperationsUnavailable("away"),
        ReadModelsUnavailable("away"),
        None,
    ]
    assert pauses_of(list(rounds), monkeypatch) == [3.0, 3.0, 3.0]
    assert pauses_of(rounds, monkeypatch, retry_s=0.5) == [0.5, 0.5, 3.0]


def test_another_error_is_raised_unless_it_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyError):
        pauses_of([KeyError("x")], monkeypatch)
    assert pauses_of([KeyError("x"), None], monkeypatch, also=(KeyError,)) == [3.0, 3.0]


def test_each_time_that_its_lock_is_taken_a_check_is_reset() -> None:
    seen: list[str] = []
    stop = asyncio.Event()

    async def check() -> None:
        seen.append("check")
        if len(seen) == 2:
            raise LockLost("the session was ended")
        stop.set()

    repeated = PeriodicCheck("test", check, every_s=0.0, lock="a lock", reset=lambda: seen.append("reset"))
    asyncio.run(repeated.run(stop, FakeLocks()))
    assert seen == ["reset", "check", "reset", "check"]
    with pytest.raises(ValueError, match="needs locks"):
        asyncio.run(repeated.run(stop))
