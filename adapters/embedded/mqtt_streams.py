"""Bounds of the streams in which nats-server keeps MQTT messages and sessions (ADR 0069).

nats-server makes them itself, without a bound, when the first MQTT client connects. Whoever has a meter's login could
fill the disk with retained messages or sessions.
"""

from __future__ import annotations

import base64
import json
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from adapters.embedded.loopback import HOST

MIB = 1 << 20
WAITING, SESSIONS = "$MQTT_msgs", "$MQTT_sess"
MAX_BYTES = {
    # Readings that ingest has not acknowledged: they wait here while it is away. Meters then get no acknowledgement.
    WAITING: 4_096 * MIB,
    # Retained messages: nobody reads them. An MQTT 3.1.1 client cannot be told so, and no permission denies them.
    "$MQTT_rmsgs": 4 * MIB,
    # A record for each session: ingest has few, a meter needs none. Any login may fill it, and then nobody connects.
    SESSIONS: 64 * MIB,
    # Messages at QoS 2, which are refused.
    "$MQTT_qos2in": 256 * MIB,
    "$MQTT_out": 64 * MIB,
}
RETAINED = "$MQTT_rmsgs"
MAX_MESSAGE_BYTES = 100 << 10
"""Of a meter's message. One over 64 KB is not read, but ingest says so; of a larger one the server closes the
connection."""
WINDOW = 8_192
"""Messages under way to ingest that it has not acknowledged."""
MAX_PENDING_BYTES = 1 << 30
"""What may wait to be written to one client, else it is cut off: more than a window of the largest messages."""
LEAST_WAITING_BYTES, SHARE_OF_FREE_DISK = 64 * MIB, 4
"""On a disk with less than 16 GiB free, messages may wait in a quarter of what is free at the start."""
_WITHIN_S = 10.0
_NOT_FOUND = 10059
_PAUSE_S = 0.02


class MqttStreamsUnbounded(OSError):
    """The server does not take the bounds."""


def bound_mqtt_streams(
    *, nats_port: int, mqtt_port: int, user: str, password: str, free_disk_bytes: int
) -> None:
    """Bound every stream of MQTT, and delete retained messages. Raises MqttStreamsUnbounded or OSError."""
    clear_sessions(nats_port=nats_port, user=user, password=password)
    _connect_once(mqtt_port, user, password)
    with _jetstream(nats_port, user, password) as api:
        for name in MAX_BYTES:
            stream = api.stream(name)
            if stream is None:  # not in this release of nats-server
                continue
            config = stream["config"]
            max_bytes = max_bytes_of(name, free_disk_bytes, stored_bytes=stream["state"]["bytes"])
            bounded = {**config, "max_bytes": max_bytes, "discard": "new"}
            if name == WAITING:
                bounded["max_msg_size"] = MAX_MESSAGE_BYTES
            if bounded != config:
                api.ask(f"STREAM.UPDATE.{name}", bounded)
        api.ask(f"STREAM.PURGE.{RETAINED}", {})


def clear_sessions(*, nats_port: int, user: str, password: str) -> None:
    """Where the records of sessions take half of their room, remove those without a subscription: meters have none. A
    meter whose record is removed is refused once, and then has a new session. Raises MqttStreamsUnbounded or OSError.
    """
    with _jetstream(nats_port, user, password) as api:
        answer = api.request(f"STREAM.INFO.{SESSIONS}", {"subjects_filter": ">"})
        if "config" not in answer or 2 * answer["state"]["bytes"] < MAX_BYTES[SESSIONS]:
            return
        for subject in answer["state"]["subjects"]:
            found = api.request(f"STREAM.MSG.GET.{SESSIONS}", {"last_by_subj": subject})
            if "message" in found and not json.loads(base64.b64decode(found["message"]["data"])).get("subs"):
                api.ask(f"STREAM.PURGE.{SESSIONS}", {"filter": subject})


def max_bytes_of(name: str, free_disk_bytes: int, *, stored_bytes: int = 0) -> int:
    """The bound of a stream. What waits in it already is never above its bound."""
    if name != WAITING:
        return MAX_BYTES[name]
    room = max(LEAST_WAITING_BYTES, free_disk_bytes // SHARE_OF_FREE_DISK)
    return min(MAX_BYTES[WAITING], stored_bytes + room)


def _connect_once(port: int, user: str, password: str) -> None:
    """An MQTT 3.1.1 connection without a session, which makes the server create its streams."""
    parts = [f"bounds-{secrets.token_hex(4)}", user, password]
    body = b"\x00\x04MQTT\x04\xc2\x00\x0a" + b"".join(
        len(part.encode()).to_bytes(2, "big") + part.encode() for part in parts
    )
    with socket.create_connection((HOST, port), _WITHIN_S) as connection:
        connection.settimeout(_WITHIN_S)
        connection.sendall(b"\x10" + _varint(len(body)) + body)
        answer = connection.makefile("rb").read(4)
        if answer[3:4] != b"\x00":
            raise MqttStreamsUnbounded(f"the MQTT listener refuses user {user}: {answer!r}")
        connection.sendall(b"\xe0\x00")


def _varint(value: int) -> bytes:
    return bytes([value]) if value < 0x80 else bytes([value % 0x80 | 0x80, value // 0x80])


class _JetStreamApi:
    """Requests to JetStream's API over one connection, without a client library: this module only starts servers."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._input = connection.makefile("rb")
        self._inbox = f"_INBOX.{secrets.token_hex(8)}"

    def log_in(self, user: str, password: str) -> None:
        self._line()  # INFO
        options = {"verbose": False, "pedantic": False, "user": user, "pass": password, "name": "mqtt bounds"}
        self._connection.sendall(f"CONNECT {json.dumps(options)}\r\nSUB {self._inbox} 1\r\n".encode())

    def stream(self, name: str) -> dict[str, Any] | None:
        """Its configuration and state. Waits for it: the server creates it while the first MQTT client connects. None
        without it."""
        deadline = time.monotonic() + (_WITHIN_S if name != "$MQTT_out" else 0.0)
        while True:
            answer = self.request(f"STREAM.INFO.{name}", {})
            if "config" in answer:
                return answer
            if answer.get("error", {}).get("err_code") != _NOT_FOUND:
                raise MqttStreamsUnbounded(f"{name}: {answer.get('error')}")
            if time.monotonic() > deadline:
                return None
            time.sleep(_PAUSE_S)

    def ask(self, subject: str, body: dict[str, Any]) -> None:
        answer = self.request(subject, body)
        if "error" in answer:
            raise MqttStreamsUnbounded(f"{subject}: {answer['error'].get('description')}")

    def request(self, subject: str, body: dict[str, Any]) -> dict[str, Any]:
        payload = json.dumps(body).encode() if body else b""
        head = f"PUB $JS.API.{subject} {self._inbox} {len(payload)}\r\n".encode()
        self._connection.sendall(head + payload + b"\r\n")
        while True:
            line = self._line()
            if line.startswith(b"MSG "):
                answer: dict[str, Any] = json.loads(self._input.read(int(line.split()[-1]) + 2))
                return answer
            if line.startswith(b"PING"):
                self._connection.sendall(b"PONG\r\n")
            elif line.startswith(b"-ERR"):
                raise MqttStreamsUnbounded(line.decode("ascii", "replace").strip())

    def _line(self) -> bytes:
        line = self._input.readline(1_000_000)
        if not line:
            raise MqttStreamsUnbounded("the server closed the connection")
        return line


@contextmanager
def _jetstream(port: int, user: str, password: str) -> Iterator[_JetStreamApi]:
    with socket.create_connection((HOST, port), _WITHIN_S) as connection:
        connection.settimeout(_WITHIN_S)
        api = _JetStreamApi(connection)
        api.log_in(user, password)
        yield api
