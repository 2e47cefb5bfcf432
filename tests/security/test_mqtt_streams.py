"""A meter's login cannot fill the disk of the embedded broker (M5)."""

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from adapters.embedded import EmbeddedServers
from adapters.embedded.mqtt_streams import MAX_BYTES, MIB, RETAINED, _jetstream
from adapters.mqtt import packets
from adapters.mqtt.incoming import Incoming
from application.ports.telemetry.meter_feed import Confirm, MeterMessage

LARGE = b"x" * 900_000


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServers]:
    folder = tmp_path_factory.mktemp("broker")
    with EmbeddedServers(folder, postgres=False, valkey=False) as running:
        yield running


def stored_bytes(servers: EmbeddedServers, stream: str) -> int:
    parts = urlsplit(servers.nats_url)
    with _jetstream(parts.port or 0, str(parts.username), str(parts.password)) as api:
        state: dict[str, int] = api._request(f"STREAM.INFO.{stream}", {})["state"]
    return state["bytes"]


def retain(url: str, count: int) -> None:
    """Publish `count` large retained messages at QoS 0, on a topic each."""
    parts = urlsplit(url)
    with socket.create_connection((str(parts.hostname), parts.port or 0), 10) as meter:
        meter.settimeout(20)
        meter.sendall(
            packets.connect(
                "3.1.1",
                "flood",
                user=parts.username,
                password=parts.password,
                keepalive_s=60,
                receive_maximum=1,
                session_expiry_s=None,
            )
        )
        meter.recv(4)
        for number in range(count):
            topic = f"meters/fac-001/m-{number}/readings".encode()
            body = len(topic).to_bytes(2, "big") + topic + LARGE
            length = bytes([len(body) & 0x7F | 0x80, len(body) >> 7 & 0x7F | 0x80, len(body) >> 14])
            meter.sendall(b"\x31" + length + body)
        meter.sendall(packets.PINGREQ)
        meter.recv(2)


def test_every_stream_of_the_mqtt_listener_is_bounded(servers: EmbeddedServers) -> None:
    parts = urlsplit(servers.nats_url)
    with _jetstream(parts.port or 0, str(parts.username), str(parts.password)) as api:
        names = {name for name in api._request("STREAM.NAMES", {})["streams"] if name.startswith("$MQTT_")}
        configs = {name: api.config_of(name) for name in names}
    assert RETAINED in names
    for name, config in configs.items():
        assert config is not None
        assert (config["max_bytes"], config["discard"]) == (MAX_BYTES[name], "new"), name


def test_a_flood_of_retained_messages_stays_bounded(servers: EmbeddedServers) -> None:
    retain(servers.meters_mqtt_url, 12)
    assert 0 < stored_bytes(servers, RETAINED) <= 4 * MIB


def test_a_restart_deletes_retained_messages_and_keeps_the_bounds(servers: EmbeddedServers) -> None:
    retain(servers.meters_mqtt_url, 2)
    servers.nats.stop()
    servers.nats.start()
    assert stored_bytes(servers, RETAINED) == 0
    retain(servers.meters_mqtt_url, 12)
    assert stored_bytes(servers, RETAINED) <= 4 * MIB


class _Consumer:
    def __init__(self) -> None:
        self.taken: list[MeterMessage] = []

    def has_room(self) -> bool:
        return True

    def take(self, message: MeterMessage, confirm: Confirm) -> None:
        self.taken.append(message)


def test_the_feed_acknowledges_retained_messages_and_passes_none_on() -> None:
    incoming = Incoming("3.1.1")
    topic = b"\x00\x16meters/fac/m1/readings"
    body = topic + b"\x00\x01{}"
    incoming.feed(b"\x33" + bytes([len(body)]) + body + b"\x32" + bytes([len(body)]) + body)
    messages = [message for _, _, message in incoming.packets() if message is not None]
    assert [message.is_retained for message in messages] == [True, False]
