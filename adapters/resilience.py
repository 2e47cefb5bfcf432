"""Circuit breakers around calls of outside services; every adapter uses these."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from application.circuit_breaker import BreakerState, CircuitBreaker

_Errors = tuple[type[Exception], ...]


class BreakerOpen(Exception):
    """Nothing was sent: the service failed too often, and its open period is not over."""


def loop_time() -> float:
    """The clock of the running event loop: monotonic in production, virtual in a fault simulation."""
    return asyncio.get_running_loop().time()


@contextmanager
def guarded(
    breaker: CircuitBreaker, *, failures: _Errors, successes: _Errors = (Exception,)
) -> Iterator[None]:
    """Run the block and record how it ends. Raises BreakerOpen instead while the breaker is open.

    `failures` count against the service. `successes` are errors that show that it answers, such as a refusal; by
    default every other Exception. An error of neither kind, and a cancelled call, count as neither.
    """
    if not breaker.allows_call():
        raise BreakerOpen
    try:
        yield
    except failures:
        breaker.record_failure()
        raise
    except successes:
        breaker.record_success()
        raise
    else:
        breaker.record_success()


class NamedBreakers:
    """A breaker for each name, made at first use. `on_change` receives the name and its breaker's new state.

    `max_names` bounds the memory where outsiders choose the names: at the bound all breakers are made anew.
    """

    def __init__(
        self,
        *,
        threshold: int,
        open_s: float,
        monotonic: Callable[[], float] = loop_time,
        on_change: Callable[[str, BreakerState], None] | None = None,
        max_names: int | None = None,
    ) -> None:
        self._threshold = threshold
        self._open_s = open_s
        self._monotonic = monotonic
        self._on_change = on_change
        self._max_names = max_names
        self._breakers: dict[str, CircuitBreaker] = {}

    def of(self, name: str) -> CircuitBreaker:
        breaker = self._breakers.get(name)
        if breaker is None:
            if self._max_names is not None and len(self._breakers) >= self._max_names:
                self._breakers = {}
            breaker = self._breakers[name] = CircuitBreaker(
                threshold=self._threshold,
                open_s=self._open_s,
                monotonic=self._monotonic,
                on_change=None if self._on_change is None else self._listener(name, self._on_change),
            )
        return breaker

    @staticmethod
    def _listener(
        name: str, on_change: Callable[[str, BreakerState], None]
    ) -> Callable[[BreakerState], None]:
        return lambda state: on_change(name, state)
