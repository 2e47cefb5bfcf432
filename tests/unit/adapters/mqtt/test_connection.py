"""When a connection to the broker reads, and when it pauses."""

import asyncio
from collections.abc import Awaitable, Callable

from adapters.mqtt import connection as connections
from adapters.mqtt.connection import Connection
from application.ports.telemetry.meter_feed import Confirm, MeterMessage
from tests.patience import ANSWER_S

PINGRESP = b"\xd0\x00"


class Transport(asyncio.Transport):
    """Records whether it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def pause_reading(self) -> None:
        self.told.append("pause")

    def resume_reading(self) -> None:
        self.told.append("resume")

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def abort(self) -> None:
        self.told.append("over")

    def close(self) -> None:
        self.told.append("over")


class Consumer:
    """Accepts messages while there is room."""

    def __init__(self) -> None:
        self.room = True
        self.taken: list[bytes] = []

    def has_room(self) -> bool:
        return self.room

    def take(self, message: MeterMessage, kept: Confirm) -> None:
        self.taken.append(message.payload)
        kept()


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(ANSWER_S):
        while not condition():  # noqa: ASYNC110 - any condition of the test
            await asyncio.sleep(0.002)


def publish(payload: bytes) -> bytes:
    body = b"\x00\x01t" + payload
    return bytes((0x30, len(body))) + body


def tell(scenario: Callable[[Connection, Consumer, Transport], Awaitable[None]]) -> None:
    async def run() -> None:
        consumer, transport = Consumer(), Transport()
        connection = Connection(consumer, "3.1.1")
        connection.connection_made(transport)
        try:
            await scenario(connection, consumer, transport)
        finally:
            connection.close()

    asyncio.run(run())


def test_reading_continues_at_once_after_a_large_read() -> None:
    async def scenario(connection: Connection, consumer: Consumer, transport: Transport) -> None:
        one = publish(b"a" * 96)
        many = connections.LARGE_READ_BYTES // len(one)
        connection.data_received(one * (many + 1))
        assert (len(consumer.taken), transport.told) == (many + 1, [])
        connection.data_received(one * many)
        assert (len(consumer.taken), transport.told) == (2 * many + 1, ["pause"])

    tell(scenario)


def test_reading_pauses_after_a_large_read_if_the_consumer_has_no_room() -> None:
    async def scenario(connection: Connection, consumer: Consumer, transport: Transport) -> None:
        consumer.room = False
        connection.data_received(publish(b"a" * 96) * connections.LARGE_READ_BYTES)
        assert (consumer.taken, transport.told, connection.is_paused) == ([], ["pause"], True)

    tell(scenario)


def test_reading_pauses_briefly_after_each_small_read() -> None:
    async def scenario(connection: Connection, consumer: Consumer, transport: Transport) -> None:
        for n in (1, 2):
            connection.data_received(publish(b"a") + publish(b"b"))
            assert (consumer.taken, transport.told[-1]) == ([b"a", b"b"] * n, "pause")
            told = ["pause", "resume"] * n
            await eventually(lambda told=told: transport.told == told)  # type: ignore[misc]

    tell(scenario)


def test_nothing_is_read_while_the_consumer_has_no_room() -> None:
    async def scenario(connection: Connection, consumer: Consumer, transport: Transport) -> None:
        consumer.room = False
        connection.data_received(publish(b"a"))
        await asyncio.sleep(3 * connections.READ_PAUSE_S)
        assert (consumer.taken, transport.told, connection.is_paused) == ([], ["pause"], True)
        consumer.room = True
        await eventually(lambda: transport.told == ["pause", "resume"])
        assert consumer.taken == [b"a"]

    tell(scenario)


def test_a_connection_that_finishes_during_the_pause_reads_no_more() -> None:
    async def scenario(connection: Connection, consumer: Consumer, transport: Transport) -> None:
        connection.data_received(PINGRESP)
        await connection.finish(1.0)
        await asyncio.sleep(3 * connections.READ_PAUSE_S)
        assert transport.told == ["pause", "over"]

    tell(scenario)
