"""The circuit breaker: when it opens, for how long, and what closes it."""

import pytest

from application.circuit_breaker import BreakerState, CircuitBreaker

OPEN_S = 10.0


class Breaker(CircuitBreaker):
    """Opens after three consecutive failures. `now` is its clock; `changes` are those reported to its listener."""

    def __init__(self, *, threshold: int = 3) -> None:
        self.now = 100.0
        self.changes: list[BreakerState] = []
        super().__init__(
            threshold=threshold, open_s=OPEN_S, monotonic=lambda: self.now, on_change=self.changes.append
        )

    def fail(self, times: int) -> None:
        for _ in range(times):
            self.record_failure()


@pytest.fixture
def breaker() -> Breaker:
    return Breaker()


def test_the_breaker_opens_after_consecutive_failures(breaker: Breaker) -> None:
    breaker.fail(2)
    breaker.record_success()
    breaker.fail(2)
    assert breaker.allows_call()
    breaker.fail(1)
    assert breaker.is_open
    assert not breaker.allows_call()
    assert breaker.changes == ["opened"]


def test_the_breaker_is_open_until_its_period_is_over(breaker: Breaker) -> None:
    breaker.fail(3)
    breaker.now += OPEN_S - 0.001
    assert not breaker.allows_call()
    breaker.now += 0.001
    assert not breaker.is_open
    assert breaker.allows_call()
    assert breaker.changes == ["opened", "half-opened"]


def test_a_late_failure_does_not_prolong_the_open_period_even_after_its_end(breaker: Breaker) -> None:
    """A call that began before the breaker opened does not show the present state of the service."""
    breaker.fail(3)
    breaker.now += OPEN_S
    breaker.fail(3)
    assert not breaker.is_open
    assert breaker.allows_call()
    assert breaker.changes == ["opened", "half-opened"]


def test_one_success_while_half_open_closes_the_breaker_and_resets_the_count(breaker: Breaker) -> None:
    breaker.fail(3)
    breaker.now += OPEN_S
    assert breaker.allows_call()
    breaker.record_success()
    breaker.fail(2)
    assert breaker.allows_call()
    assert breaker.changes == ["opened", "half-opened", "closed"]


def test_one_failure_while_half_open_opens_the_breaker_for_a_whole_period(breaker: Breaker) -> None:
    breaker.fail(3)
    breaker.now += OPEN_S
    assert breaker.allows_call()
    breaker.fail(1)
    breaker.now += OPEN_S - 0.001
    assert not breaker.allows_call()
    assert breaker.changes == ["opened", "half-opened", "opened"]


def test_the_end_of_an_earlier_call_neither_closes_the_breaker_nor_prolongs_its_period(
    breaker: Breaker,
) -> None:
    breaker.fail(3)
    breaker.now += OPEN_S / 2
    breaker.fail(3)
    breaker.record_success()
    assert breaker.is_open
    breaker.now += OPEN_S / 2
    assert breaker.allows_call()


def test_a_trip_opens_the_breaker_at_once_and_restarts_the_period(breaker: Breaker) -> None:
    breaker.trip()
    breaker.now += OPEN_S - 1
    breaker.trip()
    breaker.now += OPEN_S - 1
    assert breaker.is_open
    assert breaker.changes == ["opened"]
