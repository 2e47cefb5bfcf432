"""One SOAP call: encoded, bounded in number and time, sent, and its answer checked."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import msgspec

from adapters.bms.breaker import BmsBreakers, BreakerListener
from adapters.bms.codec import DeclaredFault, SoapCodec
from adapters.bms.transport import BmsHttp, CallLimits, HttpAnswer
from application.dispatch.time_limits import TIME_LIMITS
from application.ports.clock import Clock
from application.ports.dispatch.building_control import (
    BmsAnswerInvalid,
    BmsConnection,
    BmsError,
    BmsRefused,
    BmsUnreachable,
)
from application.ports.dispatch.call_slots import CallSlots

POLITE_S = 2.0
"""Clock seconds that a call which is not urgent waits for urgent ones of its process."""
GOES_ON_S = 0.1
"""Wall seconds: who was answered just now, and is called again, is being commanded."""
CallListener = Callable[[str, str, str, float], None]
"""`(facility_id, operation, outcome, seconds)`: `answered`, `refused`, or the name of the BmsError; clock seconds."""


class SoapLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of every call. Seconds are clock seconds; floors are wall seconds, for accelerated clocks."""

    connect_s: float = TIME_LIMITS.connect_s
    total_s: float = TIME_LIMITS.call_s
    connect_floor_s: float = 1.0
    total_floor_s: float = 0.25
    answer_bytes: int = 65_536
    breaker_threshold: int = 5
    breaker_open_s: float = 60.0
    breaker_open_floor_s: float = 0.05


class Call(Protocol):
    """Makes one call; one that is not urgent lets others go first.

    Raises the port's errors; ValueError for values that the contract does not allow.
    """

    async def __call__(
        self,
        connection: BmsConnection,
        codec: SoapCodec,
        operation: str,
        values: dict[str, Any],
        *,
        urgent: bool = True,
    ) -> Any: ...


class SoapCalls:
    """One call at a time per BMS, and only with a slot of `slots`; never retries."""

    def __init__(
        self,
        *,
        clock: Clock,
        secret: Callable[[str], bytes],
        slots: CallSlots,
        limits: SoapLimits,
        breaker_listener: BreakerListener | None,
        call_listener: CallListener | None,
    ) -> None:
        self._secret = secret
        self._slots = slots
        self._listener = call_listener
        self._speed = 1.0 / clock.wall_seconds(1.0)
        self._http = BmsHttp()
        self._call_limits = CallLimits(
            connect_s=max(clock.wall_seconds(limits.connect_s), limits.connect_floor_s),
            total_s=max(clock.wall_seconds(limits.total_s), limits.total_floor_s),
            answer_bytes=limits.answer_bytes,
        )
        self._breakers = BmsBreakers(
            threshold=limits.breaker_threshold,
            open_wall_s=max(clock.wall_seconds(limits.breaker_open_s), limits.breaker_open_floor_s),
            listener=breaker_listener,
        )
        self._one_call: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._ended_at: dict[str, float] = {}
        self._urgent, self._none_urgent = 0, asyncio.Event()
        self._none_urgent.set()
        self._polite_s = clock.wall_seconds(POLITE_S)

    async def __call__(
        self,
        connection: BmsConnection,
        codec: SoapCodec,
        operation: str,
        values: dict[str, Any],
        *,
        urgent: bool = True,
    ) -> Any:
        body, headers = codec.encode(operation, values)
        if not urgent:
            await self._after_the_urgent()
            return await self._one_at_a_time(connection, codec, operation, body, headers, urgent=False)
        self._urgent += 1
        self._none_urgent.clear()
        try:
            return await self._one_at_a_time(connection, codec, operation, body, headers, urgent=True)
        finally:
            self._urgent -= 1
            if not self._urgent:
                self._none_urgent.set()

    async def _one_at_a_time(
        self,
        connection: BmsConnection,
        codec: SoapCodec,
        operation: str,
        body: bytes,
        headers: dict[str, str],
        *,
        urgent: bool,
    ) -> Any:
        # The BMS's own lock first, so that callers waiting for one slow BMS hold none of the shared slots.
        async with (
            self._one_call[connection.facility_id],
            self._breakers.guarding(connection.facility_id),
            self._slots.held(urgent=urgent, goes_on=self._goes_on(connection.facility_id)),
        ):
            began = time.perf_counter()
            try:
                answer = _decoded(codec, operation, await self._sent(connection, body, headers))
            except BmsError as error:
                outcome = "refused" if isinstance(error, BmsRefused) else type(error).__name__
                self._tell(connection.facility_id, operation, outcome, began)
                raise
            self._tell(connection.facility_id, operation, "answered", began)
            self._ended_at[connection.facility_id] = time.perf_counter()
            return answer

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _after_the_urgent(self) -> None:
        """What can wait does not take the processor from commands under way; but it does not wait for long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._polite_s):
                await self._none_urgent.wait()

    def _goes_on(self, facility_id: str) -> bool:
        """Zone after zone until a building is done, then the next one: sooner done than all of them by turns."""
        return time.perf_counter() - self._ended_at.get(facility_id, -GOES_ON_S) < GOES_ON_S

    async def _sent(self, connection: BmsConnection, body: bytes, headers: dict[str, str]) -> HttpAnswer:
        return await self._http.post(
            connection.address,
            body,
            headers,
            credentials=self._credentials(connection),
            limits=self._call_limits,
        )

    def _tell(self, facility_id: str, operation: str, outcome: str, began: float) -> None:
        if self._listener is not None:
            self._listener(facility_id, operation, outcome, (time.perf_counter() - began) * self._speed)

    def _credentials(self, connection: BmsConnection) -> tuple[str, bytes] | None:
        if connection.credentials_ref is None:
            return None
        try:
            return connection.facility_id, self._secret(connection.credentials_ref)
        except ValueError as error:
            # For a person to put right; until then it is this BMS alone that cannot be called.
            raise BmsUnreachable(f"its credentials cannot be had: {error}") from error


def _decoded(codec: SoapCodec, operation: str, answer: HttpAnswer) -> Any:
    try:
        values = codec.decode(operation, answer.xml)
    except DeclaredFault as fault:
        raise _refusal(fault) from fault
    except ValueError as error:  # also of a moment that Python's calendar does not have
        raise BmsAnswerInvalid(str(error)) from error
    if not answer.ok:
        raise BmsAnswerInvalid(f"HTTP 500 with a {operation}Response instead of a fault")
    return values


def _refusal(fault: DeclaredFault) -> BmsRefused:
    """Every fault that a contract declares is a definite no."""
    if fault.name == "RefusedFault":
        return BmsRefused(fault.values.code, fault.values.reason)
    code = {"UnknownZoneFault": "unknown_zone", "InvalidRequestFault": "invalid_request"}[fault.name]
    return BmsRefused(code, fault.values.reason)
