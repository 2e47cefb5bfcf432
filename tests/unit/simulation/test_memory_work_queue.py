"""A purge of the simulated queue loses the messages of one stream, and no others."""

import asyncio
from uuid import UUID

from application.ports.dispatch.work_queue import BmsWork, CallbackWork
from tests.simulation.doubles.work_queue import MemoryWorkQueue

COMMAND = BmsWork(
    task="command",
    dr_event_id=UUID(int=1),
    facility_id="fac-001",
    command_id=UUID(int=2),
    correlation_id=UUID(int=3),
    causation_id=UUID(int=4),
    tenant="util-1",
    trace_id="0" * 32,
)
CALLBACK = CallbackWork(
    dr_event_id=UUID(int=1),
    callback_id=UUID(int=5),
    kind="accepted",
    utility_id="util-1",
    url="https://utility.example/callbacks",
    body="{}",
    correlation_id=UUID(int=3),
    causation_id=UUID(int=4),
    trace_id="0" * 32,
)


def filled() -> MemoryWorkQueue:
    async def fill() -> MemoryWorkQueue:
        queue = MemoryWorkQueue()
        await queue.publish_bms(COMMAND, message_id="command")
        await queue.publish_callback(CALLBACK, message_id="callback")
        return queue

    return asyncio.run(fill())


def test_a_purge_of_bms_work_keeps_the_callbacks() -> None:
    queue = filled()
    assert queue.purge_bms() == 1
    assert asyncio.run(queue.facilities_with_work()) == frozenset()
    assert asyncio.run(queue.callbacks_held("util-1")) == frozenset({CALLBACK.callback_id})


def test_a_purge_of_callbacks_keeps_the_bms_work() -> None:
    queue = filled()
    assert queue.purge_callbacks() == 1
    assert asyncio.run(queue.callbacks_held("util-1")) == frozenset()
    assert asyncio.run(queue.facilities_with_work()) == frozenset({"fac-001"})
