"""The MQTT feed on real brokers: nats-server (3.1.1), and Mosquitto (3.1.1 and 5) where it is installed."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from adapters.embedded import EmbeddedServers
from adapters.mqtt import MqttMeterFeed, MqttSubscriptionRefused, Version
from tests.conftest import DebianCommand
from tests.integration.telemetry import feed_reader
from tests.integration.telemetry.feed_reader import Taken, eventually, reading
from tests.integration.telemetry.mosquitto import mosquitto
from tests.patience import ANSWER_S


@dataclass(frozen=True)
class Broker:
    """The broker of the meters, and its reader."""

    url: str
    meters_url: str
    version: Version

    def feed(self, client_id: str, *, share: str | None = None) -> MqttMeterFeed:
        return MqttMeterFeed(self.url, client_id=client_id, version=self.version, share=share)

    async def publish(self, *payloads: bytes) -> None:
        parts = urlsplit(self.meters_url)
        await feed_reader.publish(
            parts.port or 0,
            list(payloads),
            user=parts.username,
            password=parts.password,
            client_id=f"meters-{uuid4().hex[:8]}",
        )


@pytest.fixture(params=["nats 3.1.1", "mosquitto 3.1.1", "mosquitto 5"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    kind, version = str(request.param).split()
    if kind == "nats":
        servers: EmbeddedServers = request.getfixturevalue("nats_server")
        yield Broker(servers.mqtt_url, servers.meters_mqtt_url, "3.1.1")
        return
    command: DebianCommand = request.getfixturevalue("debian_command")
    with mosquitto(command("mosquitto"), tmp_path) as port:
        url = f"mqtt://127.0.0.1:{port}"
        yield Broker(url, url, cast("Version", version))


def fresh() -> str:
    return f"feed-{uuid4().hex[:8]}"


def test_only_messages_that_were_not_stored_are_redelivered(broker: Broker) -> None:
    async def scenario() -> None:
        client_id = fresh()
        first, second = Taken(), Taken()
        async with reading(broker.feed(client_id), first):
            await broker.publish(b"1", b"2")
            await eventually(lambda: len(first.messages) == 2)
            first.withholds = True
            await broker.publish(b"3", b"4")
            await eventually(lambda: len(first.withheld) >= 2)
        first.keep_all()  # ignored: that connection has ended
        await broker.publish(b"5")  # while there is no reader
        async with reading(broker.feed(client_id), second):
            await eventually(lambda: set(second.payloads) >= {b"3", b"4", b"5"})
        assert not set(second.payloads) & {b"1", b"2"}

    asyncio.run(scenario())


def test_messages_stored_during_the_stop_are_acknowledged(broker: Broker) -> None:
    async def scenario() -> None:
        client_id = fresh()
        first, second = Taken(withholds=True), Taken()
        async with reading(broker.feed(client_id), first):
            await broker.publish(b"1", b"2")
            await eventually(lambda: len(first.withheld) == 2)
            asyncio.get_running_loop().call_later(0.2, first.keep_all)
        async with reading(broker.feed(client_id), second):
            await broker.publish(b"3")
            await eventually(lambda: b"3" in second.payloads)
        assert second.payloads == [b"3"]

    asyncio.run(scenario())


def test_no_more_messages_are_taken_than_there_is_room_for(broker: Broker) -> None:
    payloads = [str(n).encode() for n in range(200)]

    async def scenario() -> None:
        taken = Taken(withholds=True, room=10)
        async with reading(broker.feed(fresh()), taken):
            await broker.publish(*payloads)
            most = 0
            while len(set(taken.payloads)) < 200:
                await eventually(lambda: len(taken.withheld) >= 1)
                most = max(most, len(taken.withheld))
                taken.keep_all()
                await asyncio.sleep(0.01)
            assert most <= 10

    asyncio.run(scenario())


def test_a_feed_without_room_connects_and_waits(broker: Broker) -> None:
    """There is no time limit: messages before the response of the broker are not read until there is room."""

    async def scenario() -> None:
        client_id = fresh()
        with capture_logs() as logs:
            full = Taken(room=0)
            async with reading(broker.feed(client_id), full):
                await broker.publish(b"1", b"2")
            feed = MqttMeterFeed(
                broker.url, client_id=client_id, version=broker.version, connect_within_s=3.0
            )
            stop = asyncio.Event()
            running = asyncio.create_task(feed.run(full, stop))
            await asyncio.sleep(5.0)
            assert full.messages == []
            full.allow(10)
            await eventually(lambda: set(full.payloads) == {b"1", b"2"})
            stop.set()
            await running
        assert [log for log in logs if log["log_level"] == "warning"] == []

    asyncio.run(scenario())


def test_acknowledgements_are_sent_in_the_order_of_the_messages() -> None:
    """Only the broker can observe the order. The test uses a minimal broker that sends three messages at once."""
    acknowledged: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000)
        writer.write(b"\x20\x02\x00\x00")
        await reader.read(1_000)
        writer.write(b"\x90\x03\x00\x01\x01")
        for n in (1, 2, 3):
            writer.write(b"\x32\x0a\x00\x05m/f/m" + bytes((0, n)) + b"x")
        while data := await reader.read(1_000):
            acknowledged.extend(
                data[at + 2 : at + 4] for at in range(0, len(data) - 3, 4) if data[at] == 0x40
            )
        writer.close()

    async def scenario() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        taken = Taken(withholds=True)
        async with reading(MqttMeterFeed(f"mqtt://127.0.0.1:{port}"), taken):
            await eventually(lambda: len(taken.withheld) == 3)
            for kept in reversed(taken.withheld[1:]):
                kept()
            await asyncio.sleep(0.1)
            assert acknowledged == []
            taken.withheld[0]()
            await eventually(lambda: len(acknowledged) == 3)
        assert acknowledged == [b"\0\1", b"\0\2", b"\0\3"]
        server.close()

    asyncio.run(scenario())


def test_a_reader_without_the_permission_to_read_gets_an_error(nats_server: EmbeddedServers) -> None:
    async def scenario() -> None:
        feed = MqttMeterFeed(nats_server.meters_mqtt_url, client_id=fresh())
        await asyncio.wait_for(feed.run(Taken(), asyncio.Event()), ANSWER_S)

    with pytest.raises(MqttSubscriptionRefused, match="right to subscribe"):
        asyncio.run(scenario())


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_a_broker_with_only_qos_0_is_not_read(
    debian_command: DebianCommand, tmp_path: Path, version: Version
) -> None:
    """The broker stores nothing and needs no acknowledgement: a kill would lose the messages in process."""

    async def scenario(port: int) -> None:
        feed = MqttMeterFeed(f"mqtt://127.0.0.1:{port}", client_id=fresh(), version=version)
        await asyncio.wait_for(feed.run(Taken(), asyncio.Event()), ANSWER_S)

    with (
        mosquitto(debian_command("mosquitto"), tmp_path, "allow_anonymous true", "max_qos 0") as port,
        pytest.raises(MqttSubscriptionRefused, match="QoS 1"),
    ):
        asyncio.run(scenario(port))


@pytest.mark.parametrize(("code", "is_read"), [(0, False), (1, True), (2, True)])
def test_a_subscription_without_acknowledgements_is_refused(code: int, is_read: bool) -> None:
    """The test uses a minimal broker that grants a given QoS."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000)
        writer.write(b"\x20\x02\x00\x00")
        await reader.read(1_000)
        writer.write(b"\x90\x03\x00\x01" + bytes((code,)))
        await reader.read(1_000)
        writer.close()

    async def scenario() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        feed = MqttMeterFeed(f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        try:
            if is_read:
                async with reading(feed, Taken()):
                    assert feed.subscribed.is_set()
            else:
                with pytest.raises(MqttSubscriptionRefused, match="QoS 1"):
                    await asyncio.wait_for(feed.run(Taken(), asyncio.Event()), ANSWER_S)
        finally:
            server.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_each_message_goes_to_one_of_the_sessions_that_share_a_feed(
    debian_command: DebianCommand, tmp_path: Path, version: Version
) -> None:
    async def scenario(port: int) -> None:
        broker = Broker(f"mqtt://127.0.0.1:{port}", f"mqtt://127.0.0.1:{port}", version)
        takers = [Taken(), Taken()]
        feeds = [broker.feed(f"share-{n}", share="ingest") for n in range(2)]
        async with reading(feeds[0], takers[0]), reading(feeds[1], takers[1]):
            await broker.publish(*(str(n).encode() for n in range(400)))
            await eventually(lambda: sum(len(taken.messages) for taken in takers) >= 400)
        assert sorted(takers[0].payloads + takers[1].payloads) == sorted(str(n).encode() for n in range(400))
        assert min(len(taken.messages) for taken in takers) > 50

    with mosquitto(debian_command("mosquitto"), tmp_path) as port:
        asyncio.run(scenario(port))


def test_the_messages_of_a_shared_session_wait_for_its_successor(
    debian_command: DebianCommand, tmp_path: Path
) -> None:
    """A worker dies with unconfirmed messages while others arrive, and none is lost."""

    async def scenario(port: int) -> None:
        broker = Broker(f"mqtt://127.0.0.1:{port}", f"mqtt://127.0.0.1:{port}", "5")
        takers = [Taken(), Taken(withholds=True)]
        async with reading(broker.feed("share-0", share="ingest"), takers[0]):
            async with reading(broker.feed("share-1", share="ingest"), takers[1]):
                await broker.publish(*(str(n).encode() for n in range(100)))
                await eventually(lambda: len(takers[0].messages) + len(takers[1].messages) >= 100)
            await broker.publish(*(str(n).encode() for n in range(100, 200)))
            successor = Taken()
            async with reading(broker.feed("share-1", share="ingest"), successor):
                await eventually(
                    lambda: (
                        set(takers[0].payloads + successor.payloads) == {str(n).encode() for n in range(200)}
                    )
                )

    with mosquitto(debian_command("mosquitto"), tmp_path) as port:
        asyncio.run(scenario(port))


def test_a_facility_cannot_publish_to_the_topic_of_another_facility(
    debian_command: DebianCommand, tmp_path: Path
) -> None:
    """The test uses the Mosquitto rule from docs/guides/meters.md."""
    acl, users = tmp_path / "acl", tmp_path / "users"
    acl.write_text("pattern write meters/%u/+/readings\nuser ingest\ntopic read meters/+/+/readings\n")
    users.write_text("")
    users.chmod(0o600)

    async def scenario(port: int) -> None:
        taken = Taken()
        async with reading(MqttMeterFeed(f"mqtt://ingest:x@127.0.0.1:{port}", version="5"), taken):
            for facility in (b"fac-001", b"fac-002"):
                await feed_reader.publish(
                    port,
                    [facility],
                    topic=b"meters/%b/m1/readings" % facility,
                    user="fac-001",
                    client_id="m1",
                )
            await feed_reader.publish(port, [b"last"], user="fac-001", client_id="m1")
            await eventually(lambda: b"last" in taken.payloads)
        assert taken.payloads == [b"fac-001", b"last"]

    settings = ("allow_anonymous true", f"acl_file {acl}")
    with mosquitto(debian_command("mosquitto"), tmp_path, *settings) as port:
        asyncio.run(scenario(port))
