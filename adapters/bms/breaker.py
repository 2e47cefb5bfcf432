"""One circuit breaker per BMS: a silent BMS is left alone for a while instead of holding up the others."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

from purgatory import AsyncCircuitBreakerFactory, ContextChanged, Event
from purgatory.domain.model import OpenedState

from adapters.bms.transport import ConnectTimedOut
from application.ports.building_control import BmsAnswerInvalid, BmsRefused, BmsTimedOut, BmsUnreachable

BreakerState = Literal["opened", "half-opened", "closed"]
BreakerListener = Callable[[str, BreakerState], None]


class BmsBreakers:
    """Counts consecutive time-outs per BMS. An answer resets the count, a refused connection does neither."""

    def __init__(
        self, *, threshold: int, open_wall_s: float, listener: BreakerListener | None = None
    ) -> None:
        self._factory = AsyncCircuitBreakerFactory(default_threshold=threshold, default_ttl=open_wall_s)
        if listener is not None:
            self._factory.add_listener(_state_hook(listener))

    @asynccontextmanager
    async def guarding(self, facility_id: str) -> AsyncIterator[None]:
        """Runs the block unless the breaker is open: then raises BmsUnreachable, and nothing was sent."""
        breaker = await self._factory.get_breaker(facility_id)
        try:
            await breaker.__aenter__()
        except OpenedState as error:
            raise BmsUnreachable(
                "breaker open: the BMS timed out too often, wait before trying again"
            ) from error
        try:
            yield
        except (BmsTimedOut, ConnectTimedOut) as error:
            await breaker.__aexit__(type(error), error, error.__traceback__)
            raise
        except (BmsRefused, BmsAnswerInvalid):
            await breaker.__aexit__(None, None, None)
            raise
        # Anything else (a cancelled call, a refused connection) says nothing about the BMS's patience.
        else:
            await breaker.__aexit__(None, None, None)


def _state_hook(listener: BreakerListener) -> Callable[[str, str, Event], None]:
    def hook(name: str, kind: str, change: Event) -> None:
        if kind == "state_changed" and isinstance(change, ContextChanged):
            listener(name, change.state)

    return hook
