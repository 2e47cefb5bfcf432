"""A purge of the simulated queue loses the messages of one stream, and no others."""

import asyncio

from tests.sample_values import CALLBACK_WORK, COMMAND_WORK
from tests.simulation.doubles.work_queue import MemoryWorkQueue


def filled() -> MemoryWorkQueue:
    async def fill() -> MemoryWorkQueue:
        queue = MemoryWorkQueue()
        await queue.publish_bms(COMMAND_WORK, message_id="command")
        await queue.publish_callback(CALLBACK_WORK, message_id="callback")
        return queue

    return asyncio.run(fill())


def test_a_purge_of_bms_work_keeps_the_callbacks() -> None:
    queue = filled()
    assert queue.purge_bms() == 1
    assert asyncio.run(queue.facilities_with_work()) == frozenset()
    assert asyncio.run(queue.callbacks_held("util-1")) == frozenset({CALLBACK_WORK.callback_id})


def test_a_purge_of_callbacks_keeps_the_bms_work() -> None:
    queue = filled()
    assert queue.purge_callbacks() == 1
    assert asyncio.run(queue.callbacks_held("util-1")) == frozenset()
    assert asyncio.run(queue.facilities_with_work()) == frozenset({"fac-001"})
