"""CommandBatcher: concurrent commands share one call of the bus, and each gets its own outcome."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from application.command_bus.batching import CommandBatcher
from application.command_bus.bus import CommandBus, CommandRequest, Outcome
from application.commands.facility import OptOutFacility, RegisterFacility, StartMaintenance
from application.handlers import HANDLERS
from application.ports.event_store.event_store import EventStoreUnavailable
from domain.errors import UnknownFacility
from domain.facility import Facility
from domain.identifiers import facility_stream_id
from tests.fakes.clock import FakeClock
from tests.fakes.event_store.event_store import FakeEventStore
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.sample_values import CONTEXT, facility_entry


class CountingBus(CommandBus):
    """Counts its calls."""

    batches: list[int]
    error: BaseException | None = None

    def handle_all(self, asked: Sequence[CommandRequest]) -> list[Outcome]:
        self.batches.append(len(asked))
        if self.error is not None:
            raise self.error
        return super().handle_all(asked)


@pytest.fixture
def bus() -> CountingBus:
    bus = CountingBus(FakeEventStore(), FakeClock(), HANDLERS, forecasts=FakeForecastBook())
    bus.batches = []
    for number in range(3):
        bus.handle(RegisterFacility(entry=facility_entry(f"fac-{number}")), CONTEXT)
    return bus


def given_together(bus: CommandBus, *commands: Any) -> list[Any]:
    async def scenario() -> list[Any]:
        gathered = CommandBatcher(bus)
        return await asyncio.gather(
            *(gathered.handle(command, CONTEXT) for command in commands), return_exceptions=True
        )

    return asyncio.run(scenario())


def maintenance(facility_id: str) -> StartMaintenance:
    return StartMaintenance(facility_id=facility_id, reason="boiler")


def test_concurrent_commands_share_one_call_and_each_gets_its_reply(bus: CountingBus) -> None:
    first, unknown, second = given_together(
        bus, maintenance("fac-0"), maintenance("fac-9"), maintenance("fac-1")
    )
    assert not isinstance(first, Exception)
    assert isinstance(unknown, UnknownFacility)
    assert not isinstance(second, Exception)
    assert bus.batches == [3]


def test_two_commands_on_the_same_stream_are_both_executed(bus: CountingBus) -> None:
    given_together(bus, maintenance("fac-0"), OptOutFacility(facility_id="fac-0", reason="a fair"))
    state = bus._store.load(Facility, facility_stream_id("fac-0")).state
    assert (state.status, state.opted_out) == ("maintenance", True)


def test_a_failed_call_fails_all_its_commands_and_the_next_call_succeeds(
    bus: CountingBus,
) -> None:
    async def scenario() -> None:
        gathered = CommandBatcher(bus)
        bus.error = EventStoreUnavailable("gone")
        ended = await asyncio.gather(
            *(gathered.handle(maintenance(f"fac-{number}"), CONTEXT) for number in range(2)),
            return_exceptions=True,
        )
        assert [type(error) for error in ended] == [EventStoreUnavailable] * 2
        bus.error = None
        await gathered.handle(maintenance("fac-0"), CONTEXT)

    asyncio.run(scenario())
    assert bus._store.load(Facility, facility_stream_id("fac-0")).state.status == "maintenance"


def test_a_cancelled_caller_does_not_affect_other_callers(bus: CountingBus) -> None:
    async def scenario() -> None:
        gathered = CommandBatcher(bus)
        gone = asyncio.create_task(gathered.handle(maintenance("fac-0"), CONTEXT))
        stays = asyncio.create_task(gathered.handle(maintenance("fac-1"), CONTEXT))
        await asyncio.sleep(0)
        gone.cancel()
        await stays

    asyncio.run(scenario())
    assert bus._store.load(Facility, facility_stream_id("fac-1")).state.status == "maintenance"
