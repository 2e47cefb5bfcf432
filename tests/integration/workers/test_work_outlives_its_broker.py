"""NATS is killed after it delivered work. Unfinished work is redelivered, finished work is not."""

import asyncio
from contextlib import suppress
from uuid import UUID

import pytest

from adapters.nats import work_items
from adapters.nats.work_queue import NatsWorkQueue
from application.ports.dispatch.work_queue import BmsWork, WorkItem, WorkQueueUnavailable
from domain.event_sourcing.decoders import json_decoder
from tests import servers
from tests.bms_reader import BmsReader

WITHIN_S = 60.0


def work(number: int) -> BmsWork:
    return BmsWork(
        task="command",
        dr_event_id=UUID(int=1),
        facility_id="fac-001",
        command_id=UUID(int=number),
        correlation_id=UUID(int=3),
        causation_id=UUID(int=4),
        tenant="util-1",
        trace_id="0" * 32,
    )


async def next_item(reader: BmsReader) -> tuple[int, WorkItem]:
    while True:
        try:
            item = await reader.next("fac-001", wait_s=1.0)
        except WorkQueueUnavailable:
            await asyncio.sleep(0.1)
            continue
        if item is not None:
            command_id = json_decoder(BmsWork).decode(item.body).command_id
            assert command_id is not None
            return command_id.int, item


def test_unfinished_work_is_redelivered_after_the_broker_was_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(work_items, "ANSWER_WITHIN_S", 2.0)

    async def scenario() -> None:
        queue = await NatsWorkQueue.connect(nats.nats_url, redelivery_s=30.0, name="test")
        reader = BmsReader(queue)
        for number in (1, 2, 3):
            await queue.publish_bms(work(number), message_id=f"{number}")
        number, item = await next_item(reader)
        assert number == 1
        await item.done()
        assert (await next_item(reader))[0] == 2

        nats.nats.kill()
        nats.nats.start()
        found: list[int] = []
        async with asyncio.timeout(WITHIN_S):
            while len(found) < 2:
                number, item = await next_item(reader)
                with suppress(WorkQueueUnavailable):  # a delivery of the server that was killed
                    await item.done()
                    found.append(number)
        assert found == [2, 3]
        assert await reader.next("fac-001", wait_s=0.5) is None
        await queue.aclose()

    with servers.nats_server() as nats:
        asyncio.run(scenario())
