"""The client of one BMS call: encodes it, limits its number and time, sends it and checks the response."""

import asyncio
import ssl
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from adapters.bms.breaker import BmsBreakers, BreakerListener
from adapters.bms.codec import DeclaredFault, SoapCodec
from adapters.bms.transport import BmsHttp, CallLimits, HttpAnswer
from application.command_bus.spans import inner_span, outgoing_traceparent
from application.dispatch.time_limits import TIME_LIMITS
from application.facility.bms_networks import BmsNetworks
from application.ports.clock import Clock
from application.ports.dispatch.building_control import (
    BmsAnswerInvalid,
    BmsConnection,
    BmsError,
    BmsRefused,
    BmsUnreachable,
)
from application.ports.dispatch.call_slots import CallSlots

CONSECUTIVE_S = 0.1
"""Wall seconds. A call that follows the last response of its BMS within this time belongs to the same command, or check
if neither call is urgent. Without it a commit phase of 500 buildings took 10.1 s instead of 7.4 s on a busy machine
(ADR 0092)."""
CallListener = Callable[[str, str, str, float], None]
"""`(facility_id, operation, outcome, seconds)`: `answered`, `refused`, or the name of the BmsError; clock seconds."""


class SoapLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of every call. Seconds are clock seconds; floors are wall seconds, for accelerated clocks."""

    connect_s: float = TIME_LIMITS.connect_s
    total_s: float = TIME_LIMITS.call_s
    connect_floor_s: float = 1.0
    total_floor_s: float = 1.0
    answer_bytes: int = 65_536
    breaker_threshold: int = 5
    breaker_open_s: float = 60.0
    breaker_open_floor_s: float = 0.05


class SoapCall(Protocol):
    """Makes one call. The call slots let urgent calls go first.

    Raises the port's errors, and ValueError for values that the contract does not allow.
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


class SoapClient:
    """A client with one call at a time per BMS, each with a slot of `slots`. Never retries."""

    def __init__(
        self,
        *,
        clock: Clock,
        secret: Callable[[str], bytes],
        slots: CallSlots,
        limits: SoapLimits,
        networks: BmsNetworks,
        tls: ssl.SSLContext | None,
        breaker_listener: BreakerListener | None,
        call_listener: CallListener | None,
    ) -> None:
        self._secret = secret
        self._slots = slots
        self._listener = call_listener
        self._speed = 1.0 / clock.wall_seconds(1.0)
        self._http = BmsHttp(networks, tls=tls)
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
        self._facility_locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._ended_at: dict[tuple[str, bool], float] = {}
        """By facility, and whether the call was urgent."""

    async def __call__(
        self,
        connection: BmsConnection,
        codec: SoapCodec,
        operation: str,
        values: dict[str, Any],
        *,
        urgent: bool = True,
    ) -> Any:
        with inner_span(f"SOAP {operation}", kind="client", facility=connection.facility_id):
            traceparent = outgoing_traceparent()
            in_envelope = traceparent if connection.soap_traceparent else None
            body, headers = codec.encode(operation, values, traceparent=in_envelope)
            if traceparent is not None:
                headers["traceparent"] = str(traceparent)
            return await self._call(connection, codec, operation, (body, headers), urgent=urgent)

    async def _call(
        self,
        connection: BmsConnection,
        codec: SoapCodec,
        operation: str,
        request: tuple[bytes, dict[str, str]],
        *,
        urgent: bool,
    ) -> Any:
        # The lock of the BMS comes first, so that callers that wait for one slow BMS hold none of the shared slots.
        async with (
            self._facility_locks[connection.facility_id],
            self._breakers.guarding(connection.facility_id),
            self._slots.held(
                urgent=urgent, continues=self._is_consecutive(connection.facility_id, urgent=urgent)
            ),
        ):
            began = time.perf_counter()
            try:
                answer = _decode(codec, operation, await self._post(connection, *request))
            except BmsError as error:
                outcome = "refused" if isinstance(error, BmsRefused) else type(error).__name__
                self._report(connection.facility_id, operation, outcome, began)
                raise
            self._report(connection.facility_id, operation, "answered", began)
            self._ended_at[connection.facility_id, urgent] = time.perf_counter()
            return answer

    async def aclose(self) -> None:
        await self._http.aclose()

    def _is_consecutive(self, facility_id: str, *, urgent: bool) -> bool:
        """True if the call continues a command or a check. Such commands go first: finishing one building before the
        next takes less time in total than alternating between them."""
        ended_at = self._ended_at.get((facility_id, urgent), -CONSECUTIVE_S)
        return time.perf_counter() - ended_at < CONSECUTIVE_S

    async def _post(self, connection: BmsConnection, body: bytes, headers: dict[str, str]) -> HttpAnswer:
        return await self._http.post(
            connection.address,
            body,
            headers,
            credentials=self._credentials(connection),
            limits=self._call_limits,
        )

    def _report(self, facility_id: str, operation: str, outcome: str, began: float) -> None:
        if self._listener is not None:
            self._listener(facility_id, operation, outcome, (time.perf_counter() - began) * self._speed)

    def _credentials(self, connection: BmsConnection) -> tuple[str, bytes] | None:
        if connection.credentials_ref is None:
            return None
        try:
            return connection.facility_id, self._secret(connection.credentials_ref)
        except ValueError as error:
            # An operator must correct it. Until then only this BMS cannot be called.
            raise BmsUnreachable(f"its credentials are unavailable: {error}") from error


def _decode(codec: SoapCodec, operation: str, answer: HttpAnswer) -> Any:
    try:
        values = codec.decode(operation, answer.xml)
    except DeclaredFault as fault:
        raise _refusal(fault) from fault
    except ValueError as error:  # also raised for a time outside Python's calendar
        raise BmsAnswerInvalid(str(error)) from error
    if not answer.ok:
        raise BmsAnswerInvalid(f"HTTP 500 with a {operation}Response instead of a fault")
    return values


def _refusal(fault: DeclaredFault) -> BmsRefused:
    """Every fault that a contract declares is a definite refusal."""
    if fault.name == "RefusedFault":
        return BmsRefused(fault.values.code, fault.values.reason)
    code = {"UnknownZoneFault": "unknown_zone", "InvalidRequestFault": "invalid_request"}[fault.name]
    return BmsRefused(code, fault.values.reason)
