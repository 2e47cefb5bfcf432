"""BuildingControl over SOAP: zeep as the codec, aiohttp as the transport."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Any
from uuid import UUID

import anyio
import msgspec

from adapters.bms.breaker import BmsBreakers, BreakerListener
from adapters.bms.codec import DeclaredFault, SoapCodec
from adapters.bms.messages import InvalidMessage
from adapters.bms.translation import (
    OPERATIONS,
    order_values,
    receipt_of,
    refusal_of,
    status_of,
    zone_state_of,
)
from adapters.bms.transport import BmsHttp, CallLimits, HttpAnswer
from application.ports.building_control import (
    BmsAnswerInvalid,
    BmsConnection,
    CommandReceipt,
    CommandStatus,
    ZoneCommand,
    ZoneState,
)
from application.ports.clock import Clock


class SoapLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of every call. Seconds are clock seconds; floors are wall seconds, for accelerated clocks."""

    connect_s: float = 10.0
    total_s: float = 30.0
    connect_floor_s: float = 1.0
    total_floor_s: float = 0.25
    concurrent_calls: int = 32
    answer_bytes: int = 65_536
    breaker_threshold: int = 5
    breaker_open_s: float = 60.0
    breaker_open_floor_s: float = 0.05


class SoapBuildingControl:
    """One call at a time per BMS, at most `concurrent_calls` in all; never retries."""

    def __init__(
        self,
        *,
        clock: Clock,
        secret: Callable[[str], bytes],
        limits: SoapLimits | None = None,
        breaker_listener: BreakerListener | None = None,
    ) -> None:
        limits = limits or SoapLimits()
        self._secret = secret
        self._codec = SoapCodec()
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
        self._all_calls = anyio.CapacityLimiter(limits.concurrent_calls)
        self._one_call: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def execute(self, connection: BmsConnection, command: ZoneCommand) -> CommandReceipt:
        answer = await self._call(connection, OPERATIONS[command.phase], order_values(command))
        return receipt_of(command, answer)

    async def command_status(self, connection: BmsConnection, command_id: UUID) -> CommandStatus:
        answer = await self._call(connection, "GetCommandStatus", {"commandId": str(command_id)})
        return status_of(command_id, answer)

    async def zone_state(self, connection: BmsConnection, zone_id: str) -> ZoneState:
        answer = await self._call(connection, "GetZoneState", {"zoneId": zone_id})
        return zone_state_of(zone_id, answer)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _call(self, connection: BmsConnection, operation: str, values: dict[str, Any]) -> Any:
        body, headers = self._codec.encode(operation, values)
        # The BMS's own lock first, so that callers waiting for one slow BMS hold none of the shared slots.
        async with (
            self._one_call[connection.facility_id],
            self._all_calls,
            self._breakers.guarding(connection.facility_id),
        ):
            answer = await self._http.post(
                connection.address,
                body,
                headers,
                credentials=self._credentials(connection),
                limits=self._call_limits,
            )
            return self._decoded(operation, answer)

    def _decoded(self, operation: str, answer: HttpAnswer) -> Any:
        try:
            values = self._codec.decode(operation, answer.xml)
        except DeclaredFault as fault:
            raise refusal_of(fault) from fault
        except InvalidMessage as error:
            raise BmsAnswerInvalid(str(error)) from error
        if not answer.ok:
            raise BmsAnswerInvalid(f"HTTP 500 with a {operation}Response instead of a fault")
        return values

    def _credentials(self, connection: BmsConnection) -> tuple[str, bytes] | None:
        if connection.credentials_ref is None:
            return None
        return connection.facility_id, self._secret(connection.credentials_ref)
