"""A callback that the queue acknowledged and lost is published again under its id; one that somebody has is not."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

import msgspec
import pytest
from structlog.testing import capture_logs

from adapters.nats.work_queue import CALLBACK_STREAM, CALLBACK_SUBJECT, NatsWorkQueue
from application.callback import CallbackCalls, dead_letter_id
from application.command_bus.batching import CommandBatcher
from application.dispatch.callback_parking import CallbackParking
from application.dispatch.callback_publisher import CallbackPublisher
from application.ports.callback import CallbackAccepted, CallbackFailed, CallbackRefused
from application.ports.dispatch.work_queue import CallbackWork, WorkQueueUnavailable, WorkRejected
from application.ports.failpoints import no_failpoint
from domain.dispatch.lost_commands import REISSUE_AFTER
from domain.dr_event import DREvent
from interfaces.workers.relay.relay import READER
from interfaces.workers.schedule.lost_callback_sweeper import CALLBACKS, PERIOD, LostCallbackSweeper
from interfaces.workers.schedule.sweep_loop import ALERT
from tests.fakes.callback import FakeCallbackAddresses
from tests.fakes.coordination.locks import FakeLocks
from tests.fakes.dispatch.work_queue import FakeWorkQueue
from tests.fakes.event_store.reader_positions import FakeReaderPositions
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.operations.dead_letters import FakeDeadLetters
from tests.fakes.read_models import FakeReadModels
from tests.given_when_then import Scenario
from tests.sample_values import requested_callback

UTIL, OTHER = "util-1", "util-2"


class Utility:
    """Answers each call, or fails each with `fault`."""

    def __init__(self) -> None:
        self.called: list[UUID] = []
        self.fault: Exception | None = None

    async def send(
        self, utility_id: str, url: str, body: str, callback_id: UUID, trace_id: str
    ) -> CallbackAccepted:
        self.called.append(callback_id)
        if self.fault is not None:
            raise self.fault
        return CallbackAccepted(status_code=200)

    async def aclose(self) -> None:
        self.called = []


class Rig:
    """Callbacks from the log over the queue to the utility, one step at a time."""

    def __init__(self, *, share: int = 500) -> None:
        self.scenario, self.queue, self.utility = Scenario(), FakeWorkQueue(callback_share=share), Utility()
        self.letters, self.alerts = FakeDeadLetters(), FakeAlertRegistry()
        self.clock, self.store = self.scenario.clock, self.scenario.store
        self.parking = CallbackParking(
            self.letters, self.alerts, CommandBatcher(self.scenario.bus), self.scenario.clock
        )
        self.calls = CallbackCalls(
            store=self.store,
            bus=self.scenario.bus,
            notifier=self.utility,
            addresses=FakeCallbackAddresses(),
            clock=self.clock,
            dead_letters=self.letters,
            alerts=self.alerts,
            reached=no_failpoint,
        )

    def requested(self, utility_id: str = UTIL) -> DREvent.CallbackRequested:
        """A recorded callback of that utility, published by the relay."""
        dr_event, intent = requested_callback(utility_id, self.clock.now())
        self.store.save([dr_event])
        asyncio.run(CallbackPublisher(self.queue, self.parking, no_failpoint).publish(intent))
        return intent

    def lost(self, utility_id: str = UTIL) -> DREvent.CallbackRequested:
        """A recorded and published callback that the queue has lost."""
        intent = self.requested(utility_id)
        message = self.queue.waiting[f"callbacks {utility_id}"][-1]
        self.queue.forget(message)
        return intent

    def sweeper(self, *, relayed: int | None = None, read_to: int | None = None) -> LostCallbackSweeper:
        """The relay and the read model are at the head of the log, or at a position."""
        entries = self.store.read_after(0, 10_000)
        models = FakeReadModels([e for e in entries if read_to is None or e.position <= read_to])
        positions = FakeReaderPositions()
        positions.move(READER, self.store.head() if relayed is None else relayed)
        return LostCallbackSweeper(
            overdue=partial(models.deadlines.overdue_work, "callback"),
            inventory=self.queue,
            positions=positions,
            event_log=self.store,
            store=self.store,
            publisher=self.queue,
            parking=self.parking,
            dead_letters=self.letters,
            alerts=self.alerts,
            clock=self.clock,
        )

    def sweep(self, after: timedelta = timedelta(), **how: int) -> dict[str, int]:
        self.scenario.at(self.clock.now() + after)
        return asyncio.run(self.sweeper(**how).sweep())

    def deliver(self) -> int:
        """Notify takes what waits, once; returns how many it was."""

        async def scenario() -> int:
            taken = 0
            for utility_id in await self.queue.utilities_with_callbacks():
                while (item := await self.queue.next_callback(utility_id, wait_s=0)) is not None:
                    taken += 1
                    await self.calls.carry_out(msgspec.json.decode(item.body, type=CallbackWork), item)
            return taken

        return asyncio.run(scenario())

    def held(self, utility_id: str = UTIL) -> list[UUID]:
        return [
            msgspec.json.decode(message.body, type=CallbackWork).callback_id
            for message in self.queue.waiting.get(f"callbacks {utility_id}", ())
        ]

    def noted_reads(self) -> list[str]:
        """The utilities whose messages are read from now on."""
        read, noted = self.queue.callbacks_held, list[str]()

        async def noting(utility_id: str) -> frozenset[UUID]:
            noted.append(utility_id)
            return await read(utility_id)

        self.queue.callbacks_held = noting  # type: ignore[method-assign]
        return noted

    def status(self, intent: DREvent.CallbackRequested) -> str:
        return self.store.load(DREvent, intent.originator_id).state.callbacks[str(intent.callback_id)]


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    with capture_logs():
        yield


def test_a_callback_that_the_queue_lost_is_delivered_once_more_under_its_id() -> None:
    rig = Rig()
    intent = rig.requested()
    assert rig.queue.purge_callbacks() == 1
    assert rig.sweep(REISSUE_AFTER - timedelta(seconds=1)) == {}
    assert rig.sweep(timedelta(seconds=1)) == {UTIL: 1}
    assert rig.sweep() == {}
    assert rig.deliver() == 1
    assert rig.utility.called == [intent.callback_id]
    assert rig.status(intent) == "delivered"
    assert rig.sweep(timedelta(days=1)) == {}


def test_a_callback_that_is_tried_again_for_hours_is_not_published_again() -> None:
    """One that the same utility lost meanwhile is."""
    rig = Rig()
    tried = rig.requested()
    rig.utility.fault = CallbackFailed("nobody answers")
    assert rig.deliver() == 1
    assert rig.sweep(timedelta(hours=1)) == {}
    lost = rig.lost()
    assert rig.sweep(REISSUE_AFTER) == {UTIL: 1}
    assert sorted(rig.held()) == sorted([tried.callback_id, lost.callback_id])


def test_a_callback_that_the_relay_has_not_published_yet_is_not_published_by_the_sweeper() -> None:
    rig = Rig()
    rig.lost()
    assert rig.sweep(timedelta(hours=1), relayed=rig.store.head() - 1) == {}
    assert rig.sweep(relayed=rig.store.head()) == {UTIL: 1}


def test_a_callback_that_was_given_up_is_left_to_a_person() -> None:
    rig = Rig()
    intent = rig.requested()
    rig.utility.fault = CallbackRefused(404)
    rig.deliver()
    assert rig.status(intent) == "undeliverable"
    assert rig.sweep(timedelta(hours=1)) == {}
    assert rig.held() == []


@pytest.mark.parametrize("decision", ["open", "discarded"])
def test_a_parked_callback_whose_outcome_could_not_be_recorded_is_left_to_a_person(decision: str) -> None:
    rig = Rig()
    intent = rig.lost()
    letter_id = dead_letter_id(CallbackWork.of(intent))
    asyncio.run(rig.parking._park(letter_id, UTIL, CallbackWork.of(intent), "an error of ours"))
    if decision == "discarded":
        rig.letters.decide(letter_id, status="discarded", by="operator:1", reason="old", at=rig.clock.now())
    assert rig.status(intent) == "requested"
    assert rig.sweep(timedelta(hours=1)) == {}


def test_doubled_proposals_and_a_read_model_that_is_behind_do_no_harm() -> None:
    """Two processes that sweep in the same period publish one message; a delivered callback is not sent again."""
    rig = Rig()
    intent = rig.lost()
    before = rig.store.head()
    two = [rig.sweeper(), rig.sweeper()]
    rig.scenario.at(rig.clock.now() + REISSUE_AFTER)
    rig.queue.utilities_with_callbacks, seen = _nobody, rig.queue.utilities_with_callbacks  # type: ignore[method-assign]
    assert [asyncio.run(one.sweep()) for one in two] == [{UTIL: 1}] * 2
    rig.queue.utilities_with_callbacks = seen  # type: ignore[method-assign]
    assert rig.held() == [intent.callback_id]
    rig.deliver()
    assert rig.sweep(PERIOD, read_to=before) == {}
    # Even a message that comes back out of a restored stream finds the outcome.
    asyncio.run(rig.queue.publish_callback(CallbackWork.of(intent), message_id="restored"))
    rig.deliver()
    assert rig.utility.called == [intent.callback_id]


async def _nobody() -> list[str]:
    return []


def test_a_callback_that_is_lost_again_and_again_is_published_at_a_bounded_pace() -> None:
    rig = Rig()
    rig.lost()
    published = []
    for second in range(0, 1_200, 20):
        rig.sweep(timedelta(seconds=20))
        if rig.queue.purge_callbacks():
            published.append(second + 20)
    assert published == [60, 300, 600, 900, 1_200]  # the periods begin at whole multiples of five minutes


def test_a_sweeper_checks_a_callback_once_in_a_period() -> None:
    """Until the next one, neither is the queue read again for it, nor does it count as issued again."""
    rig = Rig()
    held = rig.requested()
    rig.scenario.at(rig.clock.now() + REISSUE_AFTER)
    one, reads = rig.sweeper(), rig.noted_reads()
    assert [asyncio.run(one.sweep()) for _ in range(3)] == [{}] * 3
    assert reads == [UTIL]
    assert rig.queue.purge_callbacks() == 1
    assert asyncio.run(one.sweep()) == {}
    rig.scenario.at(rig.clock.now() + PERIOD)
    assert [asyncio.run(one.sweep()) for _ in range(2)] == [{UTIL: 1}, {}]
    assert rig.held() == [held.callback_id]


def test_the_messages_of_a_slow_utility_are_read_once_a_minute_at_most() -> None:
    """Its callbacks were requested one after the other, and the queue holds all but one of them."""
    rig = Rig()
    for _ in range(30):
        rig.scenario.at(rig.clock.now() + timedelta(seconds=10))
        rig.requested()
    lost = rig.lost()
    running, reads, reissued = rig.sweeper(), rig.noted_reads(), Counter[str]()
    for _ in range(60):
        rig.scenario.at(rig.clock.now() + timedelta(seconds=10))
        reissued.update(asyncio.run(running.sweep()))
    assert len(reads) <= 10
    assert reissued == {UTIL: 1}
    assert lost.callback_id in rig.held()


def test_a_utility_without_room_does_not_hold_up_another() -> None:
    rig = Rig(share=2)
    lost = [rig.lost() for _ in range(3)]
    rig.scenario.at(rig.clock.now() + timedelta(seconds=1))
    of_other = rig.lost(OTHER)  # the youngest, and so the last of the sweep
    assert rig.sweep(REISSUE_AFTER) == {UTIL: 2, OTHER: 1}
    assert rig.held(OTHER) == [of_other.callback_id]
    rig.deliver()
    assert rig.sweep() == {UTIL: 1}
    rig.deliver()
    assert {rig.status(intent) for intent in lost} == {"delivered"}


def test_a_callback_whose_stream_cannot_be_read_delays_no_other() -> None:
    """A newer release has written to it. It is looked at again in its next period."""
    rig = Rig()
    unreadable, other = rig.lost(), rig.lost(OTHER)
    rig.scenario.at(rig.clock.now() + REISSUE_AFTER)
    running = rig.sweeper()
    rig.store.append_unknown_topic(unreadable.originator_id)
    assert [asyncio.run(running.sweep()) for _ in range(2)] == [{OTHER: 1}, {}]
    assert rig.held(OTHER) == [other.callback_id]
    assert rig.letters.listed() == []


def test_a_queue_that_is_away_has_lost_nothing() -> None:
    rig = Rig()
    rig.lost()
    rig.queue.is_down = True
    with pytest.raises(WorkQueueUnavailable):
        rig.sweep(timedelta(hours=1))
    rig.queue.is_down = False
    assert rig.sweep() == {UTIL: 1}


def test_a_lost_callback_that_the_queue_rejects_now_is_parked() -> None:
    rig = Rig()
    intent, other = rig.lost(), rig.lost(OTHER)
    publish = rig.queue.publish_callback

    async def reject(work: CallbackWork, *, message_id: str) -> None:
        if work.callback_id == intent.callback_id:
            raise WorkRejected("too large by now")
        await publish(work, message_id=message_id)

    rig.queue.publish_callback = reject  # type: ignore[method-assign]
    assert rig.sweep(REISSUE_AFTER) == {OTHER: 1}
    assert rig.status(intent) == "undeliverable"
    assert [letter.queue for letter in rig.letters.listed()] == ["callback"]
    assert rig.held(OTHER) == [other.callback_id]


def test_lost_callbacks_raise_an_alert() -> None:
    rig = Rig()
    rig.lost()
    rig.scenario.at(rig.clock.now() + REISSUE_AFTER)
    running, stop = rig.sweeper(), asyncio.Event()

    async def scenario() -> None:
        async with asyncio.timeout(20):
            task = asyncio.create_task(running.periodic.run(stop, FakeLocks()))
            while not rig.alerts.listed():  # noqa: ASYNC110 - the sweeper raises it
                await asyncio.sleep(0.005)
            stop.set()
            await task

    asyncio.run(scenario())
    [alert] = rig.alerts.listed()
    assert (alert.name, alert.subject) == (ALERT, CALLBACKS)
    assert alert.detail == f"1 callbacks had no outcome, and the work queue had lost them: {UTIL}"


def test_callbacks_of_a_purged_stream_are_published_again_once(nats_url: str) -> None:
    """On JetStream: one is lost beside another of its utility, then both are, and two processes sweep."""
    rig, utility_id = Rig(), f"util-{uuid4().hex}"
    works = [CallbackWork.of(rig.requested(utility_id)) for _ in range(2)]
    both = {work.callback_id for work in works}
    rig.scenario.at(rig.clock.now() + REISSUE_AFTER)

    async def scenario() -> None:
        queue = await NatsWorkQueue.connect(nats_url, redelivery_s=30.0, name="test")
        for work in works:
            await queue.publish_callback(work, message_id=str(work.callback_id))
        assert await replace(rig.sweeper(), inventory=queue, publisher=queue).sweep() == {}
        item = await queue.next_callback(utility_id, wait_s=15.0)
        assert item is not None
        await item.done()
        assert await replace(rig.sweeper(), inventory=queue, publisher=queue).sweep() == {utility_id: 1}
        assert await queue.callbacks_held(utility_id) == both

        subject = f"{CALLBACK_SUBJECT}.{utility_id}"
        await queue._js.purge_stream(CALLBACK_STREAM, subject=subject)
        rig.scenario.at(rig.clock.now() + PERIOD)
        two = [replace(rig.sweeper(), inventory=queue, publisher=queue) for _ in range(2)]
        await asyncio.gather(*(one.sweep() for one in two))
        assert await queue.callbacks_held(utility_id) == both
        stream = await queue._js.stream_info(CALLBACK_STREAM, subjects_filter=subject)
        assert stream.state.subjects == {subject: 2}
        await queue.aclose()

    asyncio.run(asyncio.wait_for(scenario(), 60))
