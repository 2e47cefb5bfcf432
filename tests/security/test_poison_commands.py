"""A command of the saga that fails for good is parked with its keyed order; everything else goes on (H4)."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from structlog.testing import capture_logs

from application.command_bus import retry
from application.command_bus.batching import CommandBatcher
from application.command_bus.bus import CommandBus, CommandRequest, Outcome
from application.commands.dispatch import CommitDispatch, PrepareDispatch
from application.commands.dr_event import CancelDREvent, RequestCallback, StartDREvent, StartPreparation
from application.event_store.event_mapper import UnknownTopic
from application.handlers import HANDLERS
from application.operations.command_parking import QUEUE, decode
from application.operations.dead_letter_decisions import discard
from application.operations.dead_letter_replay import DeadLetterReplay, NotReplayable
from application.ports.event_store.event_log import LogEntryUnreadable
from application.ports.event_store.event_store import SaveTooLarge
from application.ports.operations.dead_letters import DeadLetter, DeadLetterDecided
from application.sagas.dispatch import DispatchSaga
from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.event_sourcing.aggregate import DomainEvent
from interfaces.workers.decide.guarded_log import HaltAtUnreadable
from interfaces.workers.decide.relay import READER, Relay
from tests.fakes.event_store.reader_positions import FakeReaderPositions
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.telemetry.listed_meters import FakeListedMeters
from tests.in_process_system import PREPARE_AT, InProcessSystem
from tests.sample_values import CONTEXT, DR_EVENT_ID, STARTS_AT

PATIENCE_S = 20.0
POISON, HEALTHY = "fac-001", "fac-002"


class Defect(Exception):
    """An error that nobody foresaw."""


class PoisonedBus(CommandBus):
    """The preparation of POISON fails with `error`, as long as there is one, and its whole batch with it."""

    error: Exception | None = None
    tries = 0

    def handle(self, command: msgspec.Struct, *arguments: Any, **options: Any) -> Any:
        self._check(command)
        return super().handle(command, *arguments, **options)

    def handle_all(self, requests: Sequence[CommandRequest]) -> list[Outcome]:
        for request in requests:
            self._check(request.command)
        return super().handle_all(requests)

    def _check(self, command: msgspec.Struct) -> None:
        if isinstance(command, PrepareDispatch) and command.facility_id == POISON and self.error is not None:
            self.tries += 1
            raise self.error


class FailingSaga(DispatchSaga):
    """Its rule fails for domain events of `kind`, of POISON only if they are of a dispatch."""

    def __init__(self, kind: type[DomainEvent]) -> None:
        self.kind, self.tries = kind, 0

    def follow(self, domain_event: DomainEvent) -> list[msgspec.Struct]:
        if isinstance(domain_event, self.kind) and getattr(domain_event, "facility_id", POISON) == POISON:
            self.tries += 1
            raise Defect("x")
        return super().follow(domain_event)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(retry, "LIMITED_PAUSES", retry.Pauses(0.0, 0.0))
    with capture_logs():  # the traces are slow to print
        yield


def poisoned(world: InProcessSystem, error: Exception | None) -> tuple[Relay, PoisonedBus]:
    scenario = world.scenario
    bus = PoisonedBus(scenario.store, scenario.clock, HANDLERS, forecasts=scenario.forecasts)
    bus.error = error
    return replace(world.relay, commands=CommandBatcher(bus)), bus


def run_to_head(relay: Relay, world: InProcessSystem) -> None:
    async def scenario() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(relay.run(stop))
        async with asyncio.timeout(PATIENCE_S):
            while relay.positions.position(READER) < world.scenario.store.head() and not running.done():  # noqa: ASYNC110 - the relay moves it
                await asyncio.sleep(0.002)
        stop.set()
        await running

    asyncio.run(scenario())


def preparing() -> InProcessSystem:
    """Both facilities are to be prepared, and the relay has not followed yet."""
    world = InProcessSystem.accepted(POISON, HEALTHY).until("scheduled")
    world.relay.positions.move(READER, world.scenario.store.head())
    world.scenario.at(PREPARE_AT).after(StartPreparation(dr_event_id=DR_EVENT_ID))
    return world


def letters(world: InProcessSystem) -> list[DeadLetter]:
    return sorted(world.dead_letters.listed(queue=QUEUE), key=lambda letter: decode(letter).order)


def replay_of(world: InProcessSystem, bus: CommandBus) -> DeadLetterReplay:
    def never() -> Any:
        raise AssertionError("no server is needed")

    return DeadLetterReplay(
        world.dead_letters,
        bus,
        world.scenario.clock,
        world.scenario.store.open_work,
        never,
        FakeListedMeters(),
        world.scenario.store,
    )


def replay(world: InProcessSystem, bus: CommandBus, letter: DeadLetter) -> DeadLetter:
    return asyncio.run(
        replay_of(world, bus).replay(letter.dead_letter_id, by="operator:1", reason="deployed")
    )


def open_alerts(world: InProcessSystem) -> list[tuple[str, str]]:
    return [(alert.name, alert.subject) for alert in world.alerts.listed()]


@pytest.mark.parametrize(
    "error",
    [SaveTooLarge("400 domain events"), ValueError("x"), TypeError("x"), RecursionError("x"), Defect("x")],
)
def test_whatever_the_error_the_command_is_parked_and_other_buildings_are_prepared(error: Exception) -> None:
    world = preparing()
    relay, bus = poisoned(world, error)
    run_to_head(relay, world)

    assert relay.positions.position(READER) == world.scenario.store.head()
    assert world.dispatch(HEALTHY).commands
    [letter] = letters(world)
    assert (letter.subject, letter.status) == (POISON, "open")
    assert letter.reason == f"{type(error).__name__}: {error}"
    assert [command.name for command in decode(letter).commands] == [PrepareDispatch.__name__]
    assert open_alerts(world) == [("saga_command_parked", POISON)]
    assert bus.tries >= retry.MAX_TRIES


def started(world: InProcessSystem) -> None:
    world.scenario.at(STARTS_AT).after(StartDREvent(dr_event_id=DR_EVENT_ID))


def with_two_letters() -> tuple[InProcessSystem, PoisonedBus]:
    """The preparation of POISON is parked, then the commit behind it, by another relay; the cause is gone."""
    world = preparing()
    run_to_head(poisoned(world, Defect("x"))[0], world)
    started(world)
    relay, bus = poisoned(world, None)
    run_to_head(relay, world)
    return world, bus


def test_later_commands_of_the_key_wait_behind_it_also_after_a_restart() -> None:
    world, bus = with_two_letters()

    prepare, commit = letters(world)
    assert [command.name for command in decode(commit).commands] == [CommitDispatch.__name__]
    assert (commit.subject, commit.reason) == (POISON, "it waits behind an earlier one")
    assert bus.tries == 0
    assert decode(prepare).position < decode(commit).position
    assert open_alerts(world) == [("saga_command_parked", POISON)]


def test_a_replay_goes_on_with_those_behind_it_in_order_and_ends_the_alert() -> None:
    world, bus = with_two_letters()
    first, second = letters(world)
    with pytest.raises(NotReplayable, match=f"behind dead letter {first.dead_letter_id}"):
        replay(world, bus, second)

    assert replay(world, bus, first).status == "replayed"

    assert [world.dead_letters.get(one.dead_letter_id).status for one in (first, second)] == ["replayed"] * 2
    assert open_alerts(world) == []
    prepared = world.dispatch(POISON).commands
    assert prepared, "the preparation was requested"
    with pytest.raises(DeadLetterDecided):
        replay(world, bus, first)


def test_a_replay_that_fails_again_leaves_the_letters_open() -> None:
    world, bus = with_two_letters()
    bus.error = Defect("still there")
    first, _ = letters(world)
    with pytest.raises(NotReplayable, match=r"failed again .Defect: still there"):
        replay(world, bus, first)
    assert len(letters(world)) == 2
    assert open_alerts(world) == [("saga_command_parked", POISON)]


def test_after_a_discard_the_next_one_can_be_replayed_and_later_ones_are_carried_out() -> None:
    world, bus = with_two_letters()
    first, second = letters(world)
    at = world.scenario.clock.now()
    discard(first.dead_letter_id, world.dead_letters, by="operator:1", reason="too late", at=at)
    assert open_alerts(world) == [("saga_command_parked", POISON)]
    replay(world, bus, second)
    # Its building was never prepared, so it falls out: one of two serves.
    assert open_alerts(world) == [("batch_below_80_percent", str(DR_EVENT_ID))]

    world.scenario.after(CancelDREvent(dr_event_id=DR_EVENT_ID, reason="the storm is over"))
    relay, _ = poisoned(world, None)
    run_to_head(relay, world)
    assert letters(world) == []


def test_a_relay_that_starts_over_leaves_what_was_parked_to_the_person() -> None:
    """It repeats what comes after its position: a discarded command must not be carried out by that."""
    world = preparing()
    run_to_head(poisoned(world, Defect("x"))[0], world)
    [letter] = letters(world)
    at = world.scenario.clock.now()
    discard(letter.dead_letter_id, world.dead_letters, by="operator:1", reason="no", at=at)

    relay, bus = poisoned(world, Defect("x"))
    run_to_head(replace(relay, positions=FakeReaderPositions()), world)
    assert bus.tries == 0
    assert world.dead_letters.get(letter.dead_letter_id).status == "discarded"


def test_the_number_of_dead_letters_does_not_matter_to_that() -> None:
    world = preparing()
    run_to_head(poisoned(world, Defect("x"))[0], world)
    [letter] = letters(world)
    at = world.scenario.clock.now()
    discard(letter.dead_letter_id, world.dead_letters, by="operator:1", reason="no", at=at)
    for number in range(2_001):
        newer = {
            "dead_letter_id": UUID(int=number),
            "subject": "fac-009",
            "parked_at": at + timedelta(hours=1),
        }
        world.dead_letters.park(msgspec.structs.replace(letter, **newer))

    relay, bus = poisoned(world, Defect("x"))
    run_to_head(replace(relay, positions=FakeReaderPositions()), world)
    assert bus.tries == 0


def test_a_rule_that_fails_for_one_dispatch_parks_it_with_what_follows_and_delays_no_other() -> None:
    world, saga = InProcessSystem.accepted(POISON, HEALTHY).until("scheduled"), FailingSaga(Dispatch.Prepared)
    sound, world.relay = world.relay, replace(world.relay, saga=saga)
    world.until("active")

    assert saga.tries == 1
    assert (world.dispatch(POISON).was_committed, world.dispatch(HEALTHY).was_committed) == (False, True)
    rule, commit = letters(world)
    assert (rule.subject, rule.reason, decode(rule).commands) == (POISON, "Defect: x", ())
    assert [command.name for command in decode(commit).commands] == [CommitDispatch.__name__]
    assert (commit.subject, commit.reason) == (POISON, "it waits behind an earlier one")
    assert open_alerts(world) == [("saga_command_parked", POISON)]

    world.relay = sound
    assert replay(world, world.scenario.bus, rule).status == "replayed"
    assert world.settle().dispatch(POISON).was_committed
    assert (letters(world), open_alerts(world)) == ([], [])


def with_parked_rule() -> tuple[InProcessSystem, DeadLetter]:
    world = preparing()
    run_to_head(replace(world.relay, saga=FailingSaga(DREvent.PreparationStarted)), world)
    [rule] = letters(world)
    return world, rule


def test_what_follows_for_a_dr_event_waits_behind_a_rule_that_failed() -> None:
    world, rule = with_parked_rule()
    assert world.relay.positions.position(READER) == world.scenario.store.head()
    world.scenario.after(CancelDREvent(dr_event_id=DR_EVENT_ID, reason="the storm is over"))
    run_to_head(world.relay, world)
    first, *behind = letters(world)
    assert first == rule
    assert {letter.subject for letter in behind} == {str(DR_EVENT_ID)}
    assert RequestCallback.__name__ in {one.name for letter in behind for one in decode(letter).commands}
    assert open_alerts(world) == [("saga_command_parked", str(DR_EVENT_ID))]


def test_a_relay_that_starts_over_leaves_a_parked_rule_to_the_person() -> None:
    """Also one of a release in which the rule works, and whatever the keys of its commands."""
    world, rule = with_parked_rule()
    at = world.scenario.clock.now()
    discard(rule.dead_letter_id, world.dead_letters, by="operator:1", reason="no", at=at)
    run_to_head(replace(world.relay, positions=FakeReaderPositions()), world)
    assert not world.dispatch(HEALTHY).commands
    assert (letters(world), open_alerts(world)) == ([], [])


def test_a_replay_of_a_rule_that_fails_again_leaves_the_letter_open(monkeypatch: pytest.MonkeyPatch) -> None:
    world, rule = with_parked_rule()
    monkeypatch.setattr(DispatchSaga, "follow", FailingSaga(DREvent.PreparationStarted).follow)
    with pytest.raises(NotReplayable, match=r"failed again .Defect: x"):
        replay(world, world.scenario.bus, rule)
    assert letters(world) == [rule]


def test_a_domain_event_of_a_newer_release_halts_the_relay_and_is_not_parked() -> None:
    world = preparing()
    relay, _ = poisoned(world, UnknownTopic("dispatch.moon-phase-noted.v1: upgrade this process"))
    alerts, clock = FakeAlertRegistry(), world.scenario.clock
    log = HaltAtUnreadable(world.scenario.store, READER, relay.positions, alerts, clock)
    with pytest.raises(LogEntryUnreadable, match="upgrade this process") as halted:
        run_to_head(replace(relay, event_log=log), world)
    log.halt(halted.value)
    assert letters(world) == []
    assert [(alert.name, alert.subject) for alert in alerts.listed()] == [("relay_stopped", READER)]
    assert relay.positions.position(READER) < world.scenario.store.head()


def test_a_batch_that_fails_as_a_whole_fails_only_the_command_at_fault() -> None:
    world = preparing()
    _, bus = poisoned(world, Defect("x"))
    commands = CommandBatcher(bus)

    async def scenario() -> list[Any]:
        asked = [
            PrepareDispatch(dr_event_id=DR_EVENT_ID, facility_id=facility) for facility in (POISON, HEALTHY)
        ]
        answers = (commands.handle(command, CONTEXT) for command in asked)
        return await asyncio.gather(*answers, return_exceptions=True)

    failed, done = asyncio.run(scenario())
    assert isinstance(failed, Defect)
    assert not isinstance(done, Exception)
    assert world.dispatch(HEALTHY).commands
