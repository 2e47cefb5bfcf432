"""The in-memory queue: a purge loses the messages of one stream, and a limit of its operator rejects larger ones."""

import asyncio

import pytest

from application.ports.dispatch.work_queue import WorkRejected
from tests.fakes.dispatch.work_queue import FakeWorkQueue
from tests.sample_values import CALLBACK_WORK, COMMAND_WORK


def filled() -> FakeWorkQueue:
    async def fill() -> FakeWorkQueue:
        queue = FakeWorkQueue()
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


def test_a_message_above_the_limit_is_rejected_and_taken_once_that_is_raised() -> None:
    queue = FakeWorkQueue(most_bytes=100)
    with pytest.raises(WorkRejected, match="at most 100"):
        asyncio.run(queue.publish_bms(COMMAND_WORK, message_id="command"))
    queue.most_bytes = 1_000
    asyncio.run(queue.publish_bms(COMMAND_WORK, message_id="command"))
    assert asyncio.run(queue.facilities_with_work()) == frozenset({"fac-001"})
