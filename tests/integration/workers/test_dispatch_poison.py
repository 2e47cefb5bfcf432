"""Poison messages on the real queue: they are parked with an alert, and the next message is processed."""

import asyncio
from uuid import UUID

import msgspec
import nats

from adapters.nats.bms_work import partition_subject
from adapters.nats.work_queue import NatsWorkQueue
from application.ports.dispatch.work_queue import BmsWork, bms_partition_of
from domain.dispatch import Dispatch
from interfaces.workers.dispatch.dispatch import DispatchWorker
from tests.fakes.coordination.locks import FakeLocks
from tests.fakes.coordination.partition_assignment import FakePartitionAssignment
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID
from tests.servers import nats_server

PATIENCE_S = 60.0


def work_of(requested: Dispatch.BmsCommandRequested, **changes: object) -> BmsWork:
    work = BmsWork(
        task="command",
        dr_event_id=DR_EVENT_ID,
        facility_id="fac-001",
        command_id=requested.command.command_id,
        correlation_id=requested.correlation_id,
        causation_id=requested.domain_event_id,
        tenant=requested.tenant,
        trace_id=requested.trace_id,
    )
    return msgspec.structs.replace(work, **changes)


def test_a_poison_message_is_parked_and_the_next_message_is_processed() -> None:
    world = InProcessSystem.accepted("fac-001").until("preparing")
    [requested] = world.recorded(Dispatch.BmsCommandRequested)
    assert isinstance(requested, Dispatch.BmsCommandRequested)
    bodies = [b"\xffno JSON at all", b'{"task": "dance"}', b'{"x":' * 100_000]

    async def scenario(url: str) -> None:
        queue = await NatsWorkQueue.connect(url, redelivery_s=30.0, name="test")
        client = await nats.connect(url)
        for body in bodies:
            await client.jetstream().publish(partition_subject("fac-001"), body)
        await queue.publish_bms(work_of(requested, dr_event_id=UUID(int=99)), message_id="nobody's")
        await queue.publish_bms(work_of(requested), message_id="good")
        stop = asyncio.Event()
        worker = DispatchWorker(
            source=queue,
            calls=world.calls,
            locks=FakeLocks(),
            shares=FakePartitionAssignment([bms_partition_of("fac-001")]),
        )
        running = asyncio.create_task(worker.run(stop))
        while not running.done():
            if not (await client.jetstream().stream_info("BMS_WORK")).state.messages:
                break
            await asyncio.sleep(0.01)
        stop.set()
        await running
        await client.close()
        await queue.aclose()

    with nats_server() as servers:
        asyncio.run(asyncio.wait_for(scenario(servers.nats_url), PATIENCE_S))
    assert world.dispatch().status == "prepared"
    letters = world.dead_letters.listed(queue="bms_command")
    assert {letter.subject for letter in letters} == {"fac-001"}
    assert set(bodies) < {letter.body for letter in letters}
    assert len(letters) == 4
    assert ("command_dead_lettered", "fac-001/message") in {
        (alert.name, alert.subject) for alert in world.alerts.listed()
    }
