"""The simulated network to the BMSs: slow, hanging, late, refusing, and losing responses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from contextvars import Context
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Literal, Protocol, TypeVar
from uuid import UUID

import msgspec

from adapters.bms.breaker import BmsBreakers
from adapters.bms.soap import SoapLimits
from application.ports.clock import Clock
from application.ports.dispatch.building_control import (
    BmsAnswerInvalid,
    BmsConnection,
    BmsError,
    BmsRefused,
    BmsTimedOut,
    BmsUnreachable,
)
from application.ports.dispatch.call_slots import CallSlots
from interfaces.simulators.bms.building import Building, Refusal
from tests.simulation.runtime.processes import running_process
from tests.simulation.scenario.fault_injection import FaultInjector

TOTAL_S = 30.0
"""Clock seconds that a call waits for its response."""
LATEST_ARRIVAL_S = 10.0
"""The latest arrival of a request at a BMS without deduplication: before another worker can repeat it."""
DAWDLES_S = (20.0, 28.0)
"""How long a BMS that dawdles takes to say how its building stands, in clock seconds."""
TOO_MUCH = "simulated: an answer of more bytes than are read"
TAnswer = TypeVar("TAnswer")

BmsFault = Literal[
    "unreachable",
    "hangs",
    "late",
    "loses_answer",
    "answers_nonsense",
    "answers_too_much",
    "refuses",
    "lies",
    "dawdles",
]
FAULTS: tuple[BmsFault, ...] = (  # `Oversize` draws `answers_too_much`, `with_few_places` sets `dawdles`
    "unreachable",
    "hangs",
    "late",
    "loses_answer",
    "answers_nonsense",
    "refuses",
    "lies",
)


class Call(msgspec.Struct, kw_only=True):
    """One call, as its caller made it."""

    facility_id: str
    operation: str
    command_id: UUID | None
    began_at: datetime
    ended_at: datetime | None = None
    """None if its caller died or it never ended."""
    timed_out: bool | None = None
    """False if there was a response, also a refusal; None if there was neither."""
    caller: str


@dataclass
class SimulatedBms:
    """One building's BMS and its faults."""

    building: Building
    deduplicates: bool = True
    fault_rates: dict[BmsFault, float] = field(default_factory=dict)
    slow_s: float = 1.0
    """The longest time of a call without faults each way, in clock seconds."""


class Breakers(Protocol):
    """The circuit breakers of a dispatch worker: BmsBreakers, or a planted bug."""

    def guarding(self, facility_id: str) -> AbstractAsyncContextManager[None]:
        """Raises BmsUnreachable while the breaker is open."""
        ...


def bms_breakers(clock: Clock, changed: Callable[[str, str], None]) -> Breakers:
    """The product's own; `changed` gets each facility and the new state of its breaker."""
    limits = SoapLimits()
    return BmsBreakers(
        threshold=limits.breaker_threshold,
        open_wall_s=clock.wall_seconds(limits.breaker_open_s),
        listener=changed,
    )


@dataclass
class BmsNetwork:
    """The network to the BMSs. A sent request arrives even if its sender has died meanwhile."""

    bms: dict[str, SimulatedBms]
    clock: Clock
    injector: FaultInjector
    rng: Random
    calls: list[Call] = field(default_factory=list)

    async def call(
        self,
        connection: BmsConnection,
        operation: str,
        command_id: UUID | None,
        act: Callable[[Building, datetime], TAnswer],
    ) -> TAnswer:
        call = Call(
            facility_id=connection.facility_id,
            operation=operation,
            command_id=command_id,
            began_at=self.clock.now(),
            caller=running_process(),
        )
        self.calls.append(call)
        try:
            answer = await self._carried(connection, operation, act)
        except BmsError as error:
            call.timed_out = None if isinstance(error, BmsUnreachable) else isinstance(error, BmsTimedOut)
            raise
        else:
            call.timed_out = False
            return answer
        finally:
            call.ended_at = self.clock.now()

    async def _carried(
        self, connection: BmsConnection, operation: str, act: Callable[[Building, datetime], TAnswer]
    ) -> TAnswer:
        facility_id = connection.facility_id
        bms = self.bms.get(facility_id)
        if bms is None or self.has(facility_id, "unreachable"):
            await self._pass(bms.slow_s if bms else 0.0)
            raise BmsUnreachable(f"no BMS at {connection.address}")
        if operation not in {"status", "state", "read"} and self.has(facility_id, "refuses"):
            await self._pass(bms.slow_s)
            raise BmsRefused("local_override", "simulated")
        answer: asyncio.Future[TAnswer] = asyncio.get_running_loop().create_future()
        if not self.has(facility_id, "hangs"):
            self._send(bms, facility_id, operation, act, answer)
        try:
            async with asyncio.timeout(self.clock.wall_seconds(TOTAL_S)):
                return await answer
        except TimeoutError:
            raise BmsTimedOut(f"no answer within {TOTAL_S:g} s") from None

    def _send(
        self,
        bms: SimulatedBms,
        facility_id: str,
        operation: str,
        act: Callable[[Building, datetime], TAnswer],
        answer: asyncio.Future[TAnswer],
    ) -> None:
        """Deliver the request outside any process: it arrives, is executed, and the response is sent."""
        there_s = self.rng.random() * bms.slow_s
        if self.has(facility_id, "late"):
            # A request that arrives after its caller's time-out may be executed together with its repeat. Only a BMS
            # that deduplicates can tolerate that.
            there_s = self.rng.random() * (2 * TOTAL_S if bms.deduplicates else LATEST_ARRIVAL_S)

        if operation == "state" and self.has(facility_id, "dawdles"):
            there_s = self.rng.uniform(*DAWDLES_S)

        def arrive() -> None:
            outcome = _outcome(lambda: act(bms.building, self.clock.now()))
            if self.has(facility_id, "loses_answer"):
                outcome = BmsTimedOut("the connection was dropped")
            elif self.has(facility_id, "answers_nonsense"):
                outcome = BmsAnswerInvalid("simulated")
            elif self.has(facility_id, "answers_too_much"):
                outcome = BmsAnswerInvalid(TOO_MUCH)
            back_s = self.rng.random() * bms.slow_s
            self._later(back_s, lambda: _answer(answer, outcome))

        self._later(there_s, arrive)

    def _later(self, clock_s: float, act: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(self.clock.wall_seconds(clock_s), act, context=Context())

    async def _pass(self, longest_s: float) -> None:
        await asyncio.sleep(self.clock.wall_seconds(self.rng.random() * longest_s))

    def has(self, facility_id: str, fault: BmsFault) -> bool:
        bms = self.bms.get(facility_id)
        rate = 0.0 if bms is None else bms.fault_rates.get(fault, 0.0)
        return self.injector.strikes(f"bms.{fault}", facility_id, rate=rate)


@dataclass(frozen=True)
class GuardedNetwork:
    """The network as one process uses it, behind its own breakers and call slots."""

    network: BmsNetwork
    breakers: Breakers
    slots: CallSlots

    @property
    def bms(self) -> dict[str, SimulatedBms]:
        return self.network.bms

    def has(self, facility_id: str, fault: BmsFault) -> bool:
        return self.network.has(facility_id, fault)

    async def call(
        self,
        connection: BmsConnection,
        operation: str,
        command_id: UUID | None,
        act: Callable[[Building, datetime], TAnswer],
    ) -> TAnswer:
        async with (
            self.breakers.guarding(connection.facility_id),
            self.slots.held(urgent=operation != "state"),
        ):
            return await self.network.call(connection, operation, command_id, act)


def _outcome(act: Callable[[], TAnswer]) -> TAnswer | BmsError:
    try:
        return act()
    except Refusal as refusal:
        return BmsRefused(refusal.code, refusal.reason)
    except BmsRefused as refusal:
        return refusal


def _answer(future: asyncio.Future[TAnswer], outcome: TAnswer | BmsError) -> None:
    if future.done():
        return
    if isinstance(outcome, BmsError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
