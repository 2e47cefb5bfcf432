"""A meter's login cannot fill the disk of the embedded broker (M5)."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from adapters.embedded import EmbeddedServers
from adapters.embedded.meter_logins import METERS, USER
from adapters.embedded.mqtt_streams import (
    MAX_BYTES,
    MIB,
    RETAINED,
    SESSIONS,
    WAITING,
    _jetstream,
    max_bytes_of,
)
from adapters.mqtt import packets
from adapters.mqtt.incoming import Incoming
from application.ports.telemetry.meter_feed import Confirm, MeterMessage
from tests.patience import START_S

LARGE = b"x" * 900_000


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServers]:
    folder = tmp_path_factory.mktemp("broker")
    with EmbeddedServers(folder, postgres=False, valkey=False) as running:
        yield running


def stored_bytes(servers: EmbeddedServers, stream: str) -> int:
    parts = urlsplit(servers.nats_url)
    with _jetstream(parts.port or 0, str(parts.username), str(parts.password)) as api:
        state: dict[str, int] = api.request(f"STREAM.INFO.{stream}", {})["state"]
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
        names = {name for name in api.request("STREAM.NAMES", {})["streams"] if name.startswith("$MQTT_")}
        streams = {name: api.stream(name) for name in names}
    assert RETAINED in names
    for name, stream in streams.items():
        assert stream is not None
        assert max_bytes_of(name, 0) <= stream["config"]["max_bytes"] <= MAX_BYTES[name], name
        assert stream["config"]["discard"] == "new", name


def test_messages_that_wait_have_a_share_of_the_free_disk() -> None:
    assert max_bytes_of(WAITING, 100 << 30) == MAX_BYTES[WAITING]
    assert max_bytes_of(WAITING, 2 << 30) == 512 * MIB
    assert max_bytes_of(WAITING, 0) == 64 * MIB
    assert max_bytes_of(WAITING, 0, stored_bytes=700 * MIB) == 764 * MIB
    assert max_bytes_of(RETAINED, 0) == MAX_BYTES[RETAINED]


ON_A_SMALL_DISK = """
import sys
from pathlib import Path
from urllib.parse import urlsplit
from adapters.embedded import EmbeddedServers
from adapters.embedded.mqtt_streams import _jetstream
with EmbeddedServers(Path(sys.argv[1]), postgres=False, valkey=False) as servers:
    parts = urlsplit(servers.nats_url)
    with _jetstream(parts.port, parts.username, parts.password) as api:
        print(api.request("STREAM.INFO.$MQTT_msgs", {})["config"]["max_bytes"] >> 20)
        api.ask("STREAM.CREATE.TELEMETRY", {"name": "TELEMETRY", "storage": "file", "max_bytes": 1 << 30})
"""


def test_a_small_disk_has_room_for_the_telemetry_log(tmp_path: Path) -> None:
    shell = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    probe = subprocess.run([*shell, "mount -t tmpfs none /mnt"], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip("mount namespaces are not available, so no small disk can be mounted")
    command = [*shell, 'mount -t tmpfs -o size=512m none "$1" && exec "$2" -c "$3" "$1"', "sh"]
    done = subprocess.run(
        [*command, str(tmp_path), sys.executable, ON_A_SMALL_DISK],
        capture_output=True,
        check=False,
        timeout=START_S,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert 64 <= int(done.stdout) <= 128


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


def log_in(
    servers: EmbeddedServers, user: str, client_id: str, *, clean: bool = True
) -> tuple[socket.socket, bytes]:
    """The connection, and the first bytes of the answer: empty where the broker closed it."""
    meter = socket.create_connection(("127.0.0.1", servers.nats.ports["mqtt"]), 20)
    password = servers.nats.data.password(user)
    expiry_s = None if clean else 3_600
    meter.sendall(
        packets.connect(
            "3.1.1",
            client_id,
            user=user,
            password=password,
            keepalive_s=60,
            receive_maximum=1,
            session_expiry_s=expiry_s,
        )
    )
    try:
        return meter, meter.recv(4)
    except ConnectionResetError:
        return meter, b""


def logs_in(servers: EmbeddedServers, user: str, client_id: str, *, clean: bool = True) -> bool:
    """Also at the second try: a session whose record was removed is refused once."""
    for _ in range(2):
        meter, answer = log_in(servers, user, client_id, clean=clean)
        meter.close()
        if answer[3:4] == b"\0":
            return True
    return False


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder whose broker has room for few sessions."""
    monkeypatch.setitem(MAX_BYTES, SESSIONS, MIB)
    return tmp_path


def fill_sessions(servers: EmbeddedServers) -> None:
    """With long client ids first, and with short ones what is left."""
    for length in (60_000, 1_000, 10):
        for number in range(100):
            meter, answer = log_in(servers, METERS, f"{number:x<{length}}", clean=False)
            meter.close()
            if not answer:
                break
        else:
            pytest.fail(f"a hundred sessions of {length} bytes do not fill their stream")


def test_a_meter_that_fills_the_sessions_keeps_nobody_from_connecting(small: Path) -> None:
    with EmbeddedServers(small, postgres=False, valkey=False) as servers:
        ingest, _ = log_in(servers, USER, "ingest", clean=False)
        ingest.sendall(b"\x82\x0a\x00\x01\x00\x05meter\x01")
        assert ingest.recv(5)[:1] == b"\x90"
        fill_sessions(servers)
        ingest.close()
        assert not logs_in(servers, METERS, "gateway")
        servers.nats.tend()
        assert logs_in(servers, METERS, "gateway")
        ingest, answer = log_in(servers, USER, "ingest", clean=False)
        ingest.close()
        assert answer[2:] == b"\x01\x00", "its session, with what waits for it, is present"


def test_a_broker_whose_sessions_are_full_starts_again(small: Path) -> None:
    with EmbeddedServers(small, postgres=False, valkey=False) as servers:
        fill_sessions(servers)
    with EmbeddedServers(small, postgres=False, valkey=False) as servers:
        assert logs_in(servers, METERS, "gateway")


def test_a_message_at_qos_2_is_refused(servers: EmbeddedServers) -> None:
    meter, _ = log_in(servers, METERS, "qos-2")
    topic = b"meters/fac-001/m-1/readings"
    body = len(topic).to_bytes(2, "big") + topic + b"\x00\x01{}"
    meter.settimeout(20)
    meter.sendall(b"\x34" + bytes([len(body)]) + body)
    assert meter.recv(4) == b""
    assert stored_bytes(servers, "$MQTT_qos2in") == 0
