"""A full work queue of the real broker raises an alert and is used again once there is room."""

import asyncio
from uuid import UUID

import msgspec
import pytest

from adapters.nats import work_queue
from adapters.nats.work_queue import NatsWorkQueue
from application.ports.dispatch.work_queue import WorkQueueFull
from interfaces.workers.schedule.queue_monitor import ALERT, CALLBACKS, AlertingPublisher
from tests.contract.dispatch.test_work_queue import callback
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.servers import nats_server

LARGE = msgspec.structs.replace(callback(UUID(int=1)), body="x" * 20_000)


async def _filled(publisher: AlertingPublisher) -> int:
    """Fill the queue; returns the number of messages."""
    for taken in range(20):
        try:
            await publisher.publish_callback(LARGE, message_id=f"1{taken}")
        except WorkQueueFull:
            return taken
    raise AssertionError("the queue did not become full")


def test_a_full_stream_raises_an_alert_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_queue, "MAX_BYTES", 64 * 1024)
    alerts = FakeAlertRegistry()

    def open_alerts() -> list[tuple[str, str]]:
        return [(alert.name, alert.subject) for alert in alerts.listed()]

    async def scenario(url: str) -> None:
        queue = await NatsWorkQueue.connect(url, redelivery_s=30.0, name="test")
        publisher = AlertingPublisher.of(queue, alerts, FakeClock())
        taken = await _filled(publisher)
        assert open_alerts() == [(ALERT, CALLBACKS)]
        for _ in range(taken):
            item = await queue.next_callback("util-1", wait_s=15.0)
            assert item is not None
            await item.done()
        await publisher.publish_callback(LARGE, message_id="2")
        assert open_alerts() == []
        await queue.aclose()

    with nats_server() as servers:
        asyncio.run(asyncio.wait_for(scenario(servers.nats_url), 60))
