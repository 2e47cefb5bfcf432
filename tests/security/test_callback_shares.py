"""One utility's callbacks take none of the places of another's, nor of BMS work (C1, M7)."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import msgspec
import nats
import pytest
from nats.js.api import RetentionPolicy, StreamConfig
from structlog.testing import capture_logs

from adapters.nats import work_queue
from adapters.nats.work_queue import CALLBACK_STREAM, CALLBACK_SUBJECT, NatsWorkQueue
from application.command_bus import retry
from application.commands.dr_event import StartPreparation
from application.dispatch import callback_publisher
from application.operations.dead_letter_replay import DeadLetterReplay, NotReplayable
from application.ports.dispatch.work_queue import (
    BmsWork,
    CallbackWork,
    WorkQueueFull,
    WorkRejected,
    WorkShareFull,
    WorkTooLarge,
)
from application.ports.event_store.event_log import LogEntry
from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from interfaces.workers.relay.relay import READER, Relay
from interfaces.workers.schedule.queue_monitor import AlertingPublisher
from tests.contract.dispatch.test_work_queue import callback
from tests.fakes.clock import FakeClock
from tests.fakes.event_store.event_log import FakeEventLog
from tests.fakes.event_store.reader_positions import FakeReaderPositions
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.telemetry.listed_meters import FakeListedMeters
from tests.in_process_system import PREPARE_AT, InProcessSystem
from tests.sample_values import DR_EVENT_ID, UTILITY
from tests.servers import nats_server

PATIENCE_S = 30.0
OTHER = "util-2"


class Publisher:
    """Refuses the callbacks of UTILITY with `error`, and takes everything else."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.callbacks: list[str] = []
        self.works: list[BmsWork] = []

    async def publish_bms(self, work: BmsWork, *, message_id: str) -> None:
        self.works.append(work)

    async def publish_callback(self, work: CallbackWork, *, message_id: str) -> None:
        if work.utility_id == UTILITY and self.error is not None:
            raise self.error
        self.callbacks.append(work.utility_id)


class Commands:
    """Takes every command: the callbacks of a flood are not on record."""

    async def handle(self, command: msgspec.Struct, *_: Any, **__: Any) -> None: ...


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(retry, "DEFAULT_PAUSES", retry.Pauses(0.01, 0.01))
    monkeypatch.setattr(retry, "LIMITED_PAUSES", retry.Pauses(0.0, 0.0))
    monkeypatch.setattr(callback_publisher, "FULL_WAIT_S", 0.05)
    with capture_logs():  # the traces are slow to print
        yield


def relay_over(world: InProcessSystem, publisher: Publisher, log: list[Any]) -> Relay:
    entries = [LogEntry(place, type(fact).TOPIC, fact) for place, fact in enumerate(log, start=1)]
    values = {name: getattr(world.relay, name) for name in Relay.__dataclass_fields__}
    changes = {
        "event_log": FakeEventLog(entries),
        "positions": FakeReaderPositions(),
        "publisher": publisher,
        "commands": Commands(),
    }
    return Relay(**(values | changes))


def flood(world: InProcessSystem, count: int) -> list[Any]:
    """So many callbacks of UTILITY, then one of OTHER and the work for a building."""
    [first, *_] = world.recorded(DREvent.CallbackRequested)
    [work, *_] = world.recorded(Dispatch.BmsCommandRequested)

    def renumbered(number: int, tenant: str) -> Any:
        return msgspec.structs.replace(
            first, originator_id=UUID(int=number), callback_id=UUID(int=number), tenant=tenant
        )

    return [*(renumbered(n, UTILITY) for n in range(1, count + 1)), renumbered(count + 1, OTHER), work]


async def run_until(relay: Relay, holds: Callable[[], bool]) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(relay.run(stop))
    async with asyncio.timeout(PATIENCE_S):
        while not holds() and not running.done():  # noqa: ASYNC110 - the relay changes the condition
            await asyncio.sleep(0.002)
    stop.set()
    await running


def test_while_the_share_of_one_is_full_the_callbacks_of_another_go_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(callback_publisher, "FULL_WAIT_S", 3_600.0)
    world = InProcessSystem.accepted("fac-001").until("preparing")
    publisher = Publisher(WorkShareFull("its share is full"))
    relay = relay_over(world, publisher, flood(world, 50))
    asyncio.run(run_until(relay, lambda: bool(publisher.callbacks and publisher.works)))
    assert publisher.callbacks == [OTHER]
    assert relay.positions.position(READER) == 0, "the callbacks may still be accepted"


@pytest.mark.parametrize("full", [WorkShareFull("its share is full"), WorkQueueFull("the stream is full")])
def test_callbacks_without_room_are_parked_and_the_position_moves(full: Exception) -> None:
    world = InProcessSystem.accepted("fac-001").until("preparing")
    publisher, log = Publisher(full), flood(world, 50)
    relay = relay_over(world, publisher, log)
    asyncio.run(run_until(relay, lambda: relay.positions.position(READER) == len(log)))

    parked = world.dead_letters.listed(queue="callback", limit=100)
    assert len(parked) == 50
    assert {letter.subject for letter in parked} == {UTILITY}
    assert [(alert.name, alert.subject) for alert in world.alerts.listed()] == [
        ("callback_undeliverable", UTILITY)
    ]
    work = msgspec.json.decode(parked[0].body, type=CallbackWork)
    assert work.callback_id in {UUID(int=number) for number in range(1, 51)}


@pytest.mark.parametrize("error", [WorkRejected("maximum payload exceeded"), TypeError("a defect")])
def test_a_callback_that_the_queue_rejects_is_parked_and_recorded_as_undeliverable(error: Exception) -> None:
    world = InProcessSystem.accepted("fac-001")
    relay = Relay(
        **(
            {name: getattr(world.relay, name) for name in Relay.__dataclass_fields__}
            | {"publisher": Publisher(error), "positions": FakeReaderPositions()}
        )
    )

    def at_head() -> bool:
        return relay.positions.position(READER) == world.scenario.store.head() and bool(
            world.recorded(DREvent.CallbackUndeliverable)
        )

    asyncio.run(run_until(relay, at_head))
    [letter] = world.dead_letters.listed(queue="callback")
    assert letter.reason == f"{type(error).__name__}: {error}"
    [undeliverable] = world.recorded(DREvent.CallbackUndeliverable)
    assert isinstance(undeliverable, DREvent.CallbackUndeliverable)
    assert letter.subject == f"{UTILITY}/{undeliverable.callback_id}"
    assert (undeliverable.attempts, undeliverable.actor) == (0, "worker:relay")


def test_bms_work_that_the_queue_rejects_is_parked_for_each_command() -> None:
    world = InProcessSystem.accepted("fac-001", "fac-002").until("scheduled")

    class Rejecting(Publisher):
        async def publish_bms(self, work: BmsWork, *, message_id: str) -> None:
            if work.facility_id == "fac-001":
                raise WorkRejected("bad subject")
            await super().publish_bms(work, message_id=message_id)

    world.scenario.at(PREPARE_AT).after(StartPreparation(dr_event_id=DR_EVENT_ID))
    world.relay_all()
    log = list(world.recorded(Dispatch.BmsCommandRequested))
    publisher = Rejecting(None)
    relay = relay_over(world, publisher, log)
    asyncio.run(run_until(relay, lambda: relay.positions.position(READER) == len(log)))
    [letter] = world.dead_letters.listed(queue="bms_command")
    assert letter.subject == "fac-001"
    assert [work.facility_id for work in publisher.works] == ["fac-002"]
    assert ("command_dead_lettered", "fac-001/message") in {
        (alert.name, alert.subject) for alert in world.alerts.listed()
    }


def test_a_letter_that_the_queue_cannot_carry_says_so_when_it_is_replayed() -> None:
    world = InProcessSystem.accepted("fac-001")
    work = msgspec.structs.replace(callback(uuid4()), body="x" * 600_000)
    letter = msgspec.json.encode(work)

    async def scenario() -> None:
        def publisher() -> Any:
            return nats_less(world)

        replay = DeadLetterReplay(
            world.dead_letters,
            world.scenario.bus,
            world.alerts,
            world.scenario.clock,
            publisher,
            publisher,
            FakeListedMeters(),
            world.scenario.store,
        )
        parking = world.relay._intents.callbacks.parking
        await parking._park(UUID(int=5), UTILITY, work, "WorkTooLarge")
        await replay.replay(UUID(int=5), by="operator:1", reason="try")

    assert len(letter) > 600_000
    with pytest.raises(NotReplayable, match="the queue cannot carry it"):
        asyncio.run(scenario())


def nats_less(world: InProcessSystem) -> Any:
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def connected() -> Any:
        yield world.queue

    return connected()


def test_the_broker_gives_each_utility_a_share_and_rejects_definitely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On the real broker: an older stream is changed in place without losing what waits in it."""
    monkeypatch.setattr(work_queue, "CALLBACK_SHARE", 5)
    alerts = FakeAlertRegistry()

    def of(utility_id: str) -> CallbackWork:
        return msgspec.structs.replace(callback(uuid4()), utility_id=utility_id)

    async def older_release(url: str) -> None:
        """Its stream without shares, eight callbacks of one utility, and its consumer for all utilities."""
        client = await nats.connect(url)
        js = client.jetstream()
        config = StreamConfig(
            name=CALLBACK_STREAM, subjects=[f"{CALLBACK_SUBJECT}.>"], retention=RetentionPolicy.WORK_QUEUE
        )
        await js.add_stream(config)
        await js.pull_subscribe(f"{CALLBACK_SUBJECT}.>", durable="notify", stream=CALLBACK_STREAM)
        for _ in range(8):
            await js.publish(f"{CALLBACK_SUBJECT}.{UTILITY}", msgspec.json.encode(of(UTILITY)))
        await client.close()

    async def scenario(url: str) -> None:
        await older_release(url)
        queue = await NatsWorkQueue.connect(url, redelivery_s=30.0, name="test")
        publisher = AlertingPublisher.of(queue, alerts, FakeClock())
        for _ in range(8):  # twice what waits: nothing of it may be removed
            await publisher.publish_callback(of(UTILITY), message_id=str(uuid4()))
        with pytest.raises(WorkShareFull, match=UTILITY):
            await publisher.publish_callback(of(UTILITY), message_id=str(uuid4()))
        await publisher.publish_callback(of(OTHER), message_id=str(uuid4()))
        assert [alert.subject for alert in alerts.listed()] == [f"callbacks of {UTILITY}"]
        assert await queue.utilities_with_callbacks() == [UTILITY, OTHER]

        with pytest.raises(WorkTooLarge):
            await queue.publish_callback(
                msgspec.structs.replace(of(OTHER), body="x" * 2_000_000), message_id="1"
            )
        monkeypatch.setattr(work_queue, "encode_work", msgspec.json.encode)
        with pytest.raises(WorkRejected, match="maximum payload"):
            await queue.publish_callback(
                msgspec.structs.replace(of(OTHER), body="x" * 2_000_000), message_id="2"
            )
        with pytest.raises(WorkRejected, match="subject"):
            await queue.publish_callback(of("two words"), message_id="3")

        other = await queue.next_callback(OTHER, wait_s=15.0)
        assert other is not None
        await other.done()
        for _ in range(16):
            item = await queue.next_callback(UTILITY, wait_s=15.0)
            assert item is not None
            await item.done()
        await publisher.publish_callback(of(UTILITY), message_id=str(uuid4()))
        assert alerts.listed() == []
        await queue.aclose()

    with nats_server() as servers:
        asyncio.run(asyncio.wait_for(scenario(servers.nats_url), 60))
