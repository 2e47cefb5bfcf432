"""The MQTT outbox with a broker that dies before it acknowledges received messages."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from interfaces.simulators.meters.mqtt_outbox import MqttOutbox
from tests.patience import ANSWER_S

CONNECT, PUBLISH, PINGREQ = 1, 3, 12
CONNACK = b"\x20\x02\x00\x00"


class MomentaryBroker:
    """A minimal MQTT 3.1.1 broker for a publisher. It closes each of the first `silent` connections after
    `drop_after` messages without acknowledgement."""

    def __init__(self, *, silent: int, drop_after: int) -> None:
        self.taken: list[list[bytes]] = []
        self.acknowledged: set[bytes] = set()
        self._silent = silent
        self._drop_after = drop_after

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self.taken)
        self.taken.append([])
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while number >= self._silent or len(self.taken[number]) < self._drop_after:
                kind, packet = await self._packet(reader)
                if kind == CONNECT:
                    writer.write(CONNACK)
                elif kind == PUBLISH:
                    self._take(number, packet, writer)
        writer.close()

    def _take(self, number: int, packet: bytes, writer: asyncio.StreamWriter) -> None:
        after_topic = 2 + int.from_bytes(packet[:2], "big")
        payload = packet[after_topic + 2 :]
        self.taken[number].append(payload)
        if number >= self._silent:
            self.acknowledged.add(payload)
            writer.write(b"\x40\x02" + packet[after_topic : after_topic + 2])

    @staticmethod
    async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
        kind = (await reader.readexactly(1))[0] >> 4
        length, shift = 0, 0
        while True:
            byte = (await reader.readexactly(1))[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return kind, await reader.readexactly(length)


@contextlib.asynccontextmanager
async def listening(broker: MomentaryBroker) -> AsyncIterator[str]:
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"mqtt://{host}:{port}"
    finally:
        server.close()


async def delivered(broker: MomentaryBroker, outbox: MqttOutbox, count: int) -> None:
    running = asyncio.create_task(outbox.run())
    async with asyncio.timeout(ANSWER_S):
        while len(broker.acknowledged) < count:  # noqa: ASYNC110  # the broker is a counter, not a signal
            await asyncio.sleep(0.02)
    running.cancel()
    await asyncio.wait([running])


def test_unacknowledged_messages_are_sent_again_in_order() -> None:
    async def scenario() -> None:
        broker = MomentaryBroker(silent=2, drop_after=7)
        async with listening(broker) as url:
            outbox = MqttOutbox(url, "outbox-test", window=10)
            messages = [f"{number}".encode() for number in range(50)]
            for message in messages:
                outbox.put("meters/fac-001/main/readings", message)
            await delivered(broker, outbox, len(messages))
        assert broker.taken[0] == messages[:7]
        assert broker.taken[1] == messages[:7]
        assert broker.taken[2] == messages
        assert outbox.connections == 3
        assert outbox.dropped == 0

    asyncio.run(scenario())


def test_a_message_that_was_sent_is_unacknowledged_until_the_broker_answers() -> None:
    async def scenario() -> None:
        broker = MomentaryBroker(silent=1, drop_after=4)
        async with listening(broker) as url:
            outbox = MqttOutbox(url, "outbox-test")
            for number in range(3):
                outbox.put("a", f"{number}".encode())
            running = asyncio.create_task(outbox.run())
            async with asyncio.timeout(ANSWER_S):
                while not broker.taken or len(broker.taken[0]) < 3:  # noqa: ASYNC110  # a counter
                    await asyncio.sleep(0.02)
                assert (outbox.waiting, outbox.unacknowledged) == (0, 3)
                outbox.put("a", b"3")  # the fourth ends the connection
                while outbox.unacknowledged:  # noqa: ASYNC110  # a counter
                    await asyncio.sleep(0.02)
            running.cancel()
            await asyncio.wait([running])
        assert len(broker.acknowledged) == 4

    asyncio.run(scenario())


def test_the_outbox_waits_for_a_broker_that_is_not_up_yet() -> None:
    async def scenario() -> None:
        broker = MomentaryBroker(silent=0, drop_after=0)
        async with listening(broker) as url:
            pass
        outbox = MqttOutbox(url, "outbox-test")
        outbox.put("a", b"1")
        running = asyncio.create_task(delivered(broker, outbox, 1))
        await asyncio.sleep(0.3)
        port = int(url.rsplit(":", 1)[1])
        server = await asyncio.start_server(broker.serve, "127.0.0.1", port)
        await running
        server.close()
        assert broker.acknowledged == {b"1"}

    asyncio.run(scenario())


def test_a_full_outbox_drops_the_oldest_and_counts_it() -> None:
    async def scenario() -> None:
        broker = MomentaryBroker(silent=0, drop_after=0)
        async with listening(broker) as url:
            outbox = MqttOutbox(url, "outbox-test", capacity=3)
            for number in range(5):
                outbox.put("a", f"{number}".encode())
            assert (outbox.dropped, outbox.waiting) == (2, 3)
            await delivered(broker, outbox, 3)
        assert broker.taken == [[b"2", b"3", b"4"]]

    asyncio.run(scenario())
