"""JetStream acknowledged a restore and the stream was purged: the building is restored, and once."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import uuid4

import msgspec

from adapters.nats.bms_work import BMS_STREAM, partition_subject
from adapters.nats.work_queue import NatsWorkQueue
from application.commands.dr_event import EndDREvent
from application.ports.dispatch.work_queue import BmsWork
from domain.dispatch.lost_commands import REISSUE_AFTER
from interfaces.workers.relay.relay import READER
from interfaces.workers.schedule.lost_work_sweeper import LostWorkSweeper
from tests.bms_reader import BmsReader
from tests.fakes.event_store.reader_positions import FakeReaderPositions
from tests.fakes.read_models import FakeReadModels
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID, ENDS_AT

SOON_S, LONG_S = 0.3, 15.0


def sweeper(there: InProcessSystem, queue: NatsWorkQueue) -> LostWorkSweeper:
    models, positions = FakeReadModels(there.scenario.store.read_after(0, 10_000)), FakeReaderPositions()
    positions.move(READER, there.position)
    return LostWorkSweeper(
        overdue=partial(models.deadlines.overdue_work, "bms_command"),
        inventory=queue,
        positions=positions,
        bus=there.scenario.bus,
        dead_letters=there.dead_letters,
        alerts=there.alerts,
        clock=there.scenario.clock,
    )


async def relay_all(there: InProcessSystem) -> None:
    head = -1
    while head != there.scenario.store.head():
        head = there.scenario.store.head()
        await there._relay()


def test_a_restore_of_a_purged_stream_is_carried_out_once(nats_url: str) -> None:
    facility_id = f"fac-{uuid4().hex[:12]}"
    there = InProcessSystem.accepted(facility_id).until("active")

    async def scenario() -> None:
        queue = await NatsWorkQueue.connect(nats_url, redelivery_s=2.0, name="test")
        reader = BmsReader(queue)
        there.relay = replace(there.relay, publisher=queue)
        there.scenario.at(ENDS_AT).after(EndDREvent(dr_event_id=DR_EVENT_ID))
        await relay_all(there)
        there.scenario.at(ENDS_AT + timedelta(hours=1))
        assert await sweeper(there, queue).sweep() == {}, "the queue holds it"

        await queue._js.purge_stream(BMS_STREAM, subject=partition_subject(facility_id))
        assert await reader.next(facility_id, wait_s=SOON_S) is None
        assert await sweeper(there, queue).sweep() == {facility_id: 1}
        await relay_all(there)
        item = await reader.next(facility_id, wait_s=LONG_S)
        assert item is not None
        await there.calls.do(msgspec.json.decode(item.body, type=BmsWork))
        there.scenario.at(there.scenario.clock.now() + REISSUE_AFTER)
        assert await sweeper(there, queue).sweep() == {}, "it has an outcome, and is not acknowledged yet"
        await item.done()
        await relay_all(there)
        assert await reader.next(facility_id, wait_s=SOON_S) is None
        await queue.aclose()

    asyncio.run(asyncio.wait_for(scenario(), 60))
    assert there.dispatch(facility_id).status == "restored"
    assert [action for _, action in there.actions()].count("restore") == 1
    assert there.dr_event.status == "completed"
