"""A reader of a feed for tests: it records and confirms messages."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from adapters.mqtt import MqttMeterFeed
from application.ports.telemetry.meter_feed import Confirm, MeterMessage
from interfaces.simulators.meters.mqtt_publisher import MqttPublisher
from tests.patience import ANSWER_S

TOPIC = b"meters/fac-001/m1/readings"


class Taken:
    """Received messages. Each is confirmed at once unless `withholds` is set. At most `room` may be unconfirmed."""

    def __init__(self, *, withholds: bool = False, room: int = 1_000_000) -> None:
        self.messages: list[MeterMessage] = []
        self.withheld: list[Confirm] = []
        self.withholds = withholds
        self._room = room

    def has_room(self) -> bool:
        return len(self.withheld) < self._room

    def take(self, message: MeterMessage, confirm: Confirm) -> None:
        self.messages.append(message)
        if self.withholds:
            self.withheld.append(confirm)
        else:
            confirm()

    def allow(self, room: int) -> None:
        """Set the number of messages that may be unconfirmed to `room`."""
        self._room = room

    def keep_all(self) -> None:
        withheld, self.withheld = self.withheld, []
        for confirm in withheld:
            confirm()

    @property
    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.messages]


@asynccontextmanager
async def reading(feed: MqttMeterFeed, taken: Taken) -> AsyncIterator[None]:
    stop = asyncio.Event()
    running = asyncio.create_task(feed.run(taken, stop))
    subscribed = asyncio.create_task(feed.subscribed.wait())
    try:
        await asyncio.wait([running, subscribed], timeout=ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
        assert subscribed.done(), "not subscribed in time"
        yield
    finally:
        subscribed.cancel()
        stop.set()
        await asyncio.wait_for(running, ANSWER_S)


async def publish(
    port: int,
    payloads: list[bytes],
    *,
    topic: bytes = TOPIC,
    user: str | None = None,
    password: str | None = None,
    client_id: str = "meters",
) -> None:
    """Publish at QoS 1 and wait until the broker has acknowledged all messages."""
    meters = MqttPublisher()
    await meters.connect("127.0.0.1", port, client_id=client_id, user=user, password=password)
    meters.publish([(topic, payload) for payload in payloads])
    await eventually(lambda: not meters.in_flight)
    meters.close()


async def eventually(condition: Callable[[], bool], within_s: float = 30.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - whatever it is that the story waits for
            await asyncio.sleep(0.01)
