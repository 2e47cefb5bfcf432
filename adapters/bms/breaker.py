"""One circuit breaker per BMS: a silent BMS is left alone for a while instead of holding up the others."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

from purgatory import AsyncCircuitBreakerFactory, ContextChanged, Event
from purgatory.domain.model import HalfOpenedState, OpenedState

from adapters.bms.transport import ConnectTimedOut
from application.ports.dispatch.building_control import (
    BmsAnswerInvalid,
    BmsRefused,
    BmsTimedOut,
    BmsUnreachable,
)

BreakerState = Literal["opened", "half-opened", "closed"]
BreakerListener = Callable[[str, BreakerState], None]
_NEVER = float("inf")


class BmsBreakers:
    """Counts consecutive time-outs per BMS. An answer resets the count, a refused connection does neither."""

    def __init__(
        self, *, threshold: int, open_wall_s: float, listener: BreakerListener | None = None
    ) -> None:
        # The library would measure by the wall's clock, which may be set back meanwhile; that of the loop is not.
        self._factory = AsyncCircuitBreakerFactory(default_threshold=threshold, default_ttl=_NEVER)
        self._open_s = open_wall_s
        self._opened_at: dict[str, float] = {}
        self._factory.add_listener(self._state_changed)
        self._listener = listener

    @asynccontextmanager
    async def guarding(self, facility_id: str) -> AsyncIterator[None]:
        """Runs the block unless the breaker is open: then raises BmsUnreachable, and nothing was sent."""
        breaker = await self._factory.get_breaker(facility_id)
        if breaker.context.state == "opened" and self._is_over(facility_id):
            breaker.context.set_state(HalfOpenedState())
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

    def _is_over(self, facility_id: str) -> bool:
        return asyncio.get_running_loop().time() >= self._opened_at[facility_id] + self._open_s

    def _state_changed(self, facility_id: str, kind: str, change: Event) -> None:
        if kind != "state_changed" or not isinstance(change, ContextChanged):
            return
        if change.state == "opened":
            self._opened_at[facility_id] = asyncio.get_running_loop().time()
        if self._listener is not None:
            self._listener(facility_id, change.state)
