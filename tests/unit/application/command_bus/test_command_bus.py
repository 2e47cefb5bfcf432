"""The command bus: one reply per key, lost races are decided again, provenance on every domain event."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from application.command_bus.bus import (
    MAX_ATTEMPTS,
    CommandBus,
    Handler,
    IdempotencyMismatch,
    TooManyConflicts,
    UnhandledCommand,
)
from application.command_bus.decision_context import CommandContext, Decision, DecisionContext, IdempotencyKey
from application.commands.dr_event import Judgement
from application.commands.facility import EndMaintenance, RegisterFacility, StartMaintenance
from application.handlers import HANDLERS
from application.ports.event_store.event_store import (
    ONE_DECISION,
    IdempotencyRecord,
    SaveBounds,
    VersionConflict,
)
from domain.errors import FacilityNotAvailable, ReasonRequired, UnknownFacility
from domain.event_sourcing.aggregate import Aggregate
from domain.facility import Facility
from domain.identifiers import facility_stream_id
from tests.fakes.clock import FakeClock
from tests.fakes.event_store.event_store import FakeEventStore
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.given_when_then import fact, given
from tests.sample_values import CONTEXT, NOW, facility_entry, judge, portfolio_commands

KEY = IdempotencyKey(scope="util-1 POST", key="k-1", body_hash="body-1")
MAINTENANCE = StartMaintenance(facility_id="fac-001", reason="boiler")


class ContestedStore(FakeEventStore):
    """Other processes save first, `lose_next` times."""

    def __init__(self) -> None:
        super().__init__()
        self.lose_next = 0
        self.saves = 0

    def save(
        self,
        aggregates: Sequence[Aggregate[Any]],
        *,
        idempotency: IdempotencyRecord | None = None,
        bounds: SaveBounds = ONE_DECISION,
    ) -> None:
        self.saves += 1
        if self.lose_next > 0:
            self.lose_next -= 1
            for aggregate in aggregates:
                aggregate.collect_events()
            raise VersionConflict("ordered by the test")
        super().save(aggregates, idempotency=idempotency, bounds=bounds)


def bus_over(store: FakeEventStore) -> CommandBus:
    return CommandBus(store, FakeClock(), HANDLERS, forecasts=FakeForecastBook())


def contested() -> tuple[ContestedStore, CommandBus]:
    store = ContestedStore()
    bus = bus_over(store)
    bus.handle(RegisterFacility(entry=facility_entry()), CONTEXT)
    store.saves = 0
    return store, bus


def test_a_repeated_key_gives_the_first_reply_and_changes_nothing() -> None:
    story = given().after(*portfolio_commands(facility_entry("fac-001"), facility_entry("fac-002")))
    first = story.when(judge(), key=KEY, reply_type=Judgement)
    assert first.reply.status == "accepted"

    again = story.at(NOW + timedelta(minutes=5)).when(judge(), key=KEY, reply_type=Judgement)
    again.then()
    assert again.reply == first.reply


def test_a_repeated_key_with_another_body_is_refused_and_changes_nothing() -> None:
    story = given().after(*portfolio_commands(facility_entry("fac-001"), facility_entry("fac-002")))
    story.when(judge(), key=KEY)
    head = story.store.head()
    other = IdempotencyKey(scope=KEY.scope, key=KEY.key, body_hash="body-2")

    with pytest.raises(IdempotencyMismatch, match="use a new key"):
        story.when(judge("another", target_kw=1.0), key=other)
    assert story.store.head() == head


def test_the_same_key_of_another_scope_is_another_key() -> None:
    story = given().after(RegisterFacility(entry=facility_entry()))
    story.when(MAINTENANCE, key=KEY)
    elsewhere = IdempotencyKey(scope="util-2 POST", key="k-1", body_hash="body-2")
    story.when(EndMaintenance(facility_id="fac-001"), key=elsewhere).then(fact(Facility.MaintenanceEnded))


def test_the_key_of_a_refused_command_is_not_stored() -> None:
    story = given()
    story.when(MAINTENANCE, key=KEY).refused(UnknownFacility, saying="facilities import")
    story.after(RegisterFacility(entry=facility_entry()))
    story.when(MAINTENANCE, key=KEY).then(fact(Facility.MaintenanceStarted, reason="boiler"))


def test_the_key_of_a_decision_without_domain_events_is_not_stored() -> None:
    story = given().after(RegisterFacility(entry=facility_entry()))
    end = EndMaintenance(facility_id="fac-001")
    story.when(end, key=KEY).then()
    story.after(MAINTENANCE)
    story.when(end, key=KEY).then(fact(Facility.MaintenanceEnded))


@pytest.mark.parametrize("lost", [1, 2, MAX_ATTEMPTS - 1])
def test_a_command_that_lost_a_race_is_decided_again(lost: int) -> None:
    store, bus = contested()
    store.lose_next = lost
    bus.handle(MAINTENANCE, CONTEXT, key=KEY)

    assert store.saves == lost + 1
    assert isinstance(store.domain_events[-1], Facility.MaintenanceStarted)
    assert store.find_reply(KEY.scope, KEY.key) is not None


def test_too_many_lost_races_raise_an_error_and_save_nothing() -> None:
    store, bus = contested()
    head = store.head()
    store.lose_next = 1_000
    with pytest.raises(TooManyConflicts, match="StartMaintenance lost 12 races"):
        bus.handle(MAINTENANCE, CONTEXT, key=KEY)
    assert (store.saves, store.head()) == (MAX_ATTEMPTS, head)
    assert store.find_reply(KEY.scope, KEY.key) is None


def test_after_a_lost_race_the_decision_uses_the_saved_state() -> None:
    """The other command made this one superfluous: nothing more is recorded."""
    store, bus = contested()

    def overtaken(command: StartMaintenance, context: DecisionContext) -> Decision:
        decision = HANDLERS[StartMaintenance](command, context)
        if store.saves == 0:
            bus.handle(command, CONTEXT)
        return decision

    CommandBus(store, FakeClock(), {StartMaintenance: overtaken}, forecasts=FakeForecastBook()).handle(
        MAINTENANCE, CONTEXT
    )
    kinds = [type(domain_event) for domain_event in store.domain_events]
    assert kinds.count(Facility.MaintenanceStarted) == 1


def test_the_loser_of_a_race_for_a_key_gets_the_reply_of_the_winner() -> None:
    store, _ = contested()

    def overtaken(command: StartMaintenance, context: DecisionContext) -> Decision:
        facility = context.store.load(Facility, facility_stream_id("fac-001"))
        facility.start_maintenance(context.provenance, reason=command.reason)
        if store.saves == 0:
            winner: dict[type, Handler] = {StartMaintenance: _won}
            CommandBus(store, FakeClock(), winner, forecasts=FakeForecastBook()).handle(
                command, CONTEXT, key=KEY
            )
        return Decision(facility, reply="loser")

    loser = CommandBus(store, FakeClock(), {StartMaintenance: overtaken}, forecasts=FakeForecastBook())
    assert loser.handle(MAINTENANCE, CONTEXT, key=KEY, reply_type=str) == "winner"


def _won(command: StartMaintenance, context: DecisionContext) -> Decision:
    other = Facility.register(
        context.provenance, facility_id="fac-009", tz="UTC", latitude=0, longitude=0, weather_cell="c"
    )
    return Decision(other, reply="winner")


def test_a_domain_error_is_raised_to_the_caller_and_saves_nothing() -> None:
    store, bus = contested()
    with pytest.raises(ReasonRequired):
        bus.handle(StartMaintenance(facility_id="fac-001", reason=" "), CONTEXT)
    with pytest.raises(FacilityNotAvailable):
        CommandBus(store, FakeClock(), {StartMaintenance: _refuse}, forecasts=FakeForecastBook()).handle(
            MAINTENANCE, CONTEXT
        )
    assert store.saves == 0


def _refuse(command: StartMaintenance, context: DecisionContext) -> Decision:
    raise FacilityNotAvailable("no")


def test_a_command_without_a_handler_is_refused_by_name() -> None:
    class Dance(msgspec.Struct):
        pass

    with pytest.raises(UnhandledCommand, match=r"no handler for Dance; add it to application\.handlers"):
        bus_over(FakeEventStore()).handle(Dance(), CONTEXT)


def test_every_domain_event_of_a_command_has_its_provenance() -> None:
    context = CommandContext(
        correlation_id=UUID(int=1),
        causation_id=UUID(int=2),
        actor="operator:key-7",
        tenant=None,
        trace_id="a" * 32,
    )
    moment = NOW + timedelta(seconds=1, microseconds=5)
    outcome = given().at(moment).when(RegisterFacility(entry=facility_entry()), context=context)

    assert len(outcome.recorded) > 4
    for domain_event in outcome.recorded:
        assert domain_event.correlation_id == context.correlation_id
        assert domain_event.causation_id == context.causation_id
        assert domain_event.actor == "operator:key-7"
        assert domain_event.tenant is None
        assert domain_event.trace_id == "a" * 32
        assert domain_event.recorded_at == moment


class TwinStore(FakeEventStore):
    """A request with the same key saves between the look-up of the key and the decision."""

    twin: IdempotencyRecord | None = None

    def find_reply(self, scope: str, key: str) -> IdempotencyRecord | None:
        found = super().find_reply(scope, key)
        if found is None and self.twin is not None:
            self._replies[scope, key] = self.twin
        return found


def test_a_command_made_redundant_by_a_request_with_the_same_key_gets_its_reply() -> None:
    store = TwinStore()
    store.twin = IdempotencyRecord(KEY.scope, KEY.key, KEY.body_hash, b'"the first answer"')
    handlers: dict[type, Handler] = {StartMaintenance: lambda command, context: Decision(reply="known")}
    bus = CommandBus(store, FakeClock(), handlers, forecasts=FakeForecastBook())
    assert bus.handle(MAINTENANCE, CONTEXT, key=KEY, reply_type=str) == "the first answer"


class KeyLookupCounter(FakeEventStore):
    """Counts the look-ups of idempotency keys."""

    lookups = 0

    def find_reply(self, scope: str, key: str) -> IdempotencyRecord | None:
        self.lookups += 1
        return super().find_reply(scope, key)


def test_a_key_is_looked_up_once_for_each_command() -> None:
    store = KeyLookupCounter()
    bus = bus_over(store)
    bus.handle(RegisterFacility(entry=facility_entry()), CONTEXT)
    admitted: list[int] = []

    def admit() -> None:
        admitted.append(store.lookups)

    bus.handle(MAINTENANCE, CONTEXT, key=KEY, admit=admit)
    assert (store.lookups, admitted) == (1, [1])
    bus.handle(MAINTENANCE, CONTEXT, key=KEY, admit=admit)
    assert (store.lookups, admitted) == (2, [1])


def test_a_rejected_command_saves_nothing_and_a_repeated_key_is_answered_without_admission() -> None:
    store, bus = contested()

    def refuse() -> None:
        raise FacilityNotAvailable("the queue is full")

    with pytest.raises(FacilityNotAvailable):
        bus.handle(MAINTENANCE, CONTEXT, key=KEY, admit=refuse)
    assert store.saves == 0
    first = bus.handle(MAINTENANCE, CONTEXT, key=KEY)
    assert bus.handle(MAINTENANCE, CONTEXT, key=KEY, admit=refuse) == first


def test_a_command_that_lost_a_race_is_admitted_only_once() -> None:
    store, bus = contested()
    store.lose_next = 2
    admitted: list[int] = []
    bus.handle(MAINTENANCE, CONTEXT, key=KEY, admit=lambda: admitted.append(store.saves))
    assert (admitted, store.saves) == ([0], 3)
