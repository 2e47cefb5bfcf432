"""BuildingControl over SOAP: zeep as the codec, aiohttp as the transport, one dialect for each profile."""

import ssl
from collections.abc import Callable, Mapping
from typing import Protocol

from adapters.bms.breaker import BreakerListener
from adapters.bms.setpoints import SoapSetpoints
from adapters.bms.single_phase import SinglePhase
from adapters.bms.soap_client import CallListener, SoapClient, SoapLimits
from adapters.bms.two_phase import TwoPhase
from application.facility.bms_networks import BmsNetworks
from application.ports.clock import Clock
from application.ports.dispatch.building_control import (
    BmsConnection,
    BmsRefused,
    CommandReceipt,
    CommandStatus,
    ZoneCommand,
    ZoneState,
)
from application.ports.dispatch.call_slots import CallSlots

__all__ = ["SoapBuildingControl", "SoapLimits"]


class Dialect(Protocol):
    """How commands are sent to BMSs of one profile."""

    async def execute(self, connection: BmsConnection, command: ZoneCommand) -> CommandReceipt: ...

    async def command_status(self, connection: BmsConnection, command: ZoneCommand) -> CommandStatus: ...

    async def zone_state(self, connection: BmsConnection, zone_id: str) -> ZoneState: ...


class SoapBuildingControl:
    """Building control by SOAP: one call at a time per BMS, and at most as many at once as there are `slots`. Never
    retries."""

    def __init__(
        self,
        *,
        clock: Clock,
        secret: Callable[[str], bytes],
        slots: CallSlots,
        limits: SoapLimits | None = None,
        networks: BmsNetworks,
        tls: ssl.SSLContext | None = None,
        breaker_listener: BreakerListener | None = None,
        call_listener: CallListener | None = None,
    ) -> None:
        self._calls = SoapClient(
            clock=clock,
            secret=secret,
            slots=slots,
            limits=limits or SoapLimits(),
            networks=networks,
            tls=tls,
            breaker_listener=breaker_listener,
            call_listener=call_listener,
        )
        two_phase = TwoPhase(self._calls)
        self._dialects: Mapping[str, Dialect] = {
            "two_phase": two_phase,
            "two_phase_no_dedup": two_phase,
            "single_phase": SinglePhase(SoapSetpoints(self._calls), clock),
        }

    async def execute(self, connection: BmsConnection, command: ZoneCommand) -> CommandReceipt:
        return await self._dialect(connection).execute(connection, command)

    async def command_status(self, connection: BmsConnection, command: ZoneCommand) -> CommandStatus:
        return await self._dialect(connection).command_status(connection, command)

    async def zone_state(self, connection: BmsConnection, zone_id: str) -> ZoneState:
        return await self._dialect(connection).zone_state(connection, zone_id)

    async def aclose(self) -> None:
        await self._calls.aclose()

    def _dialect(self, connection: BmsConnection) -> Dialect:
        dialect = self._dialects.get(connection.profile)
        if dialect is None:
            raise BmsRefused("unknown_profile", f"there is no BMS profile {connection.profile!r}")
        return dialect
