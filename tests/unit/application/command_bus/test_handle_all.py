"""`CommandBus.handle_all`: each command is handled independently, with shared loads and saves."""

from typing import Any
from uuid import UUID

from application.command_bus.bus import (
    CommandBus,
    CommandRequest,
    IdempotencyMismatch,
    Outcome,
    UnhandledCommand,
)
from application.command_bus.decision_context import IdempotencyKey
from application.commands.dr_event import StartPreparation
from application.commands.facility import EndMaintenance, RegisterFacility, StartMaintenance
from application.handlers import HANDLERS
from application.ports.event_store.event_store import EventStoreUnavailable
from application.sagas.dispatch import DispatchSaga
from domain.errors import UnknownFacility
from domain.event_sourcing.aggregate import DomainEvent
from domain.facility import Facility
from tests.fakes.clock import FakeClock
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.in_process_system import InProcessSystem
from tests.sample_values import CONTEXT, DR_EVENT_ID, NOW, facility_entry
from tests.unit.application.command_bus.test_command_bus import ContestedStore, bus_over, contested


def key(number: int, body: str = "body") -> IdempotencyKey:
    return IdempotencyKey(scope="saga", key=f"k-{number}", body_hash=body)


def maintenance(facility_id: str, asked_as: IdempotencyKey | None = None) -> CommandRequest:
    return CommandRequest(StartMaintenance(facility_id=facility_id, reason="boiler"), CONTEXT, asked_as)


def over_facilities(count: int) -> tuple[ContestedStore, CommandBus]:
    store = ContestedStore()
    bus = bus_over(store)
    for number in range(count):
        bus.handle(RegisterFacility(entry=facility_entry(f"fac-{number}")), CONTEXT)
    return store, bus


def test_each_command_has_its_own_outcome_independent_of_the_others() -> None:
    store, bus = over_facilities(2)
    head = store.head()
    unhandled = CommandRequest(Outcome, CONTEXT)  # type: ignore[arg-type] # not a command
    outcomes = bus.handle_all([maintenance("fac-0"), maintenance("fac-9"), unhandled, maintenance("fac-1")])
    assert [type(outcome.error) for outcome in outcomes] == [
        type(None),
        UnknownFacility,
        UnhandledCommand,
        type(None),
    ]
    assert store.head() == head + 2


def test_a_repeated_key_gives_the_first_reply_also_within_one_call() -> None:
    store, bus = over_facilities(1)
    first, twin = bus.handle_all([maintenance("fac-0", key(1)), maintenance("fac-0", key(1))])
    assert (first.error, twin.error) == (None, None)
    head = store.head()
    again, another = bus.handle_all([maintenance("fac-0", key(1)), maintenance("fac-0", key(1, "other"))])
    assert again.error is None
    assert isinstance(another.error, IdempotencyMismatch)
    assert store.head() == head


def test_a_command_that_lost_a_race_is_decided_again() -> None:
    store, bus = contested()
    store.lose_next = 2
    [outcome] = bus.handle_all([maintenance("fac-001", key(1))])
    assert outcome.error is None
    assert isinstance(store.domain_events[-1], Facility.MaintenanceStarted)
    assert store.find_reply("saga", "k-1") is not None


def test_a_command_made_redundant_by_a_request_with_the_same_key_gets_its_reply() -> None:
    store, bus = over_facilities(1)
    bus.handle(StartMaintenance(facility_id="fac-0", reason="boiler"), CONTEXT)
    end = EndMaintenance(facility_id="fac-0")
    looked_up = store.find_replies

    def twin_comes_between(keys: Any) -> Any:
        found = looked_up(keys)
        store.find_replies = looked_up  # type: ignore[method-assign]
        CommandBus(store, FakeClock(), HANDLERS, forecasts=FakeForecastBook()).handle(
            end, CONTEXT, key=key(1)
        )
        return found

    store.find_replies = twin_comes_between  # type: ignore[method-assign]
    [outcome] = bus.handle_all([CommandRequest(end, CONTEXT, key(1))])
    assert outcome.error is None
    head = store.head()
    bus.handle(end, CONTEXT, key=key(1))
    assert store.head() == head


def test_an_unavailable_store_is_the_outcome_of_each_command() -> None:
    store, bus = over_facilities(1)

    def away(*_: Any, **__: Any) -> Any:
        raise EventStoreUnavailable("gone")

    store.load = store.load_many = store.find_replies = store.find_reply = away  # type: ignore[method-assign]
    outcomes = bus.handle_all([maintenance("fac-0"), maintenance("fac-0", key(1))])
    assert [type(outcome.error) for outcome in outcomes] == [EventStoreUnavailable] * 2


def prepared(*, together: bool) -> list[tuple[UUID, int, type[DomainEvent]]]:
    """The domain events of the commands that follow from a preparation."""
    world = InProcessSystem.accepted(*(f"fac-{number:03}" for number in range(1, 8))).until("scheduled")
    head = world.scenario.store.head()
    world.scenario.at(world.dr_event.prepare_at or NOW).after(StartPreparation(dr_event_id=DR_EVENT_ID))
    saga, bus = DispatchSaga(), world.scenario.bus
    followed = [
        c for entry in world.scenario.store.read_after(head, 100) for c in saga.follow(entry.domain_event)
    ]
    assert len(followed) >= 7
    twice = [CommandRequest(command, CONTEXT) for command in [*followed, *followed]]
    outcomes = bus.handle_all(twice) if together else [bus.outcome_of(one) for one in twice]
    assert {outcome.error for outcome in outcomes} == {None}
    entries = world.scenario.store.read_after(head, 1_000)
    events = [entry.domain_event for entry in entries]
    return sorted((e.originator_id, e.originator_version, type(e)) for e in events)


def test_commands_record_the_same_domain_events_together_and_one_by_one() -> None:
    """Also if two of them are on one stream."""
    assert prepared(together=True) == prepared(together=False)
