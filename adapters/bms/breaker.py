"""A circuit breaker for each BMS, so that a BMS that does not answer does not delay the others (ADR 0034)."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from adapters.bms.transport import ConnectTimedOut
from adapters.resilience import BreakerOpen, NamedBreakers, guarded
from application.circuit_breaker import BreakerState
from application.ports.dispatch.building_control import (
    BmsAnswerInvalid,
    BmsRefused,
    BmsTimedOut,
    BmsUnreachable,
)

BreakerListener = Callable[[str, BreakerState], None]


class BmsBreakers:
    """Counts consecutive time-outs of each BMS. Any answer resets the count; a refused connection does not."""

    def __init__(
        self, *, threshold: int, open_wall_s: float, listener: BreakerListener | None = None
    ) -> None:
        self._breakers = NamedBreakers(threshold=threshold, open_s=open_wall_s, on_change=listener)

    @asynccontextmanager
    async def guarding(self, facility_id: str) -> AsyncIterator[None]:
        """Runs the block unless the breaker is open: then raises BmsUnreachable, and nothing was sent."""
        try:
            with guarded(
                self._breakers.of(facility_id),
                failures=(BmsTimedOut, ConnectTimedOut),
                successes=(BmsRefused, BmsAnswerInvalid),
            ):
                yield
        except BreakerOpen as error:
            raise BmsUnreachable(
                "breaker open: the BMS timed out too often, wait before trying again"
            ) from error
