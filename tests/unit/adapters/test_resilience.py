"""The guard of a circuit breaker: calls that count as failure or success, and breakers by name."""

import asyncio

import pytest

from adapters.resilience import BreakerOpen, NamedBreakers, guarded
from application.circuit_breaker import CircuitBreaker


class Failed(Exception):
    pass


class Refused(Exception):
    pass


def call(breaker: CircuitBreaker, error: BaseException | None = None) -> None:
    with guarded(breaker, failures=(Failed,), successes=(Refused,)):
        if error is not None:
            raise error


def test_consecutive_failures_open_the_breaker_and_no_block_runs() -> None:
    breaker = CircuitBreaker(threshold=2, open_s=60.0)
    for _ in range(2):
        with pytest.raises(Failed):
            call(breaker, Failed())
    with pytest.raises(BreakerOpen):
        call(breaker, AssertionError("the block ran"))


@pytest.mark.parametrize("answer", [None, Refused()])
def test_an_answer_resets_the_count_of_failures(answer: Exception | None) -> None:
    breaker = CircuitBreaker(threshold=2, open_s=60.0)
    for outcome in (Failed(), answer, Failed()):
        try:
            call(breaker, outcome)
        except (Failed, Refused):
            continue
    assert not breaker.is_open


@pytest.mark.parametrize("error", [ValueError(), asyncio.CancelledError()])
def test_other_errors_and_cancelled_calls_are_neither_failures_nor_successes(error: BaseException) -> None:
    breaker = CircuitBreaker(threshold=2, open_s=60.0)
    for outcome in (Failed(), error, Failed()):
        with pytest.raises(type(outcome)):
            call(breaker, outcome)
    assert breaker.is_open


def test_every_name_has_its_own_breaker() -> None:
    changes: list[tuple[str, str]] = []
    breakers = NamedBreakers(
        threshold=1, open_s=60.0, monotonic=lambda: 0.0, on_change=lambda *change: changes.append(change)
    )
    breakers.of("a").record_failure()
    assert breakers.of("a").is_open
    assert not breakers.of("b").is_open
    assert changes == [("a", "opened")]


def test_the_number_of_names_is_bounded() -> None:
    breakers = NamedBreakers(threshold=1, open_s=60.0, monotonic=lambda: 0.0, max_names=2)
    first = breakers.of("a")
    breakers.of("b")
    assert breakers.of("a") is first
    breakers.of("c")
    assert breakers.of("a") is not first
