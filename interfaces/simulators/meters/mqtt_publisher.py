"""A minimal MQTT 3.1.1 publisher at QoS 1, without a client library.

It also serves as an independent test peer of the MQTT subscriber: the two share no code.
"""

import asyncio
from typing import cast

_CONNECT_HEAD = b"\x00\x04MQTT\x04"
_PUBACK, _CONNACK = 0x40, 0x20
MAX_WINDOW = 65_000
KEEPALIVE_S = 30


class ConnectionRefused(ConnectionError):
    """The broker refused the connection."""


class MqttPublisher(asyncio.Protocol):
    """A connection. `in_flight` holds the unacknowledged messages by packet id."""

    def __init__(self, *, window: int = 2_000) -> None:
        self._loop = asyncio.get_running_loop()
        self._window = min(window, MAX_WINDOW)
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._next_id = 0
        self.in_flight: dict[int, tuple[bytes, bytes]] = {}
        self.acknowledged = 0
        self.connack: asyncio.Future[None] = self._loop.create_future()
        self.changed = asyncio.Event()
        """Set at each acknowledgement and at the end."""
        self.is_over = False

    @property
    def room(self) -> int:
        """The number of messages that may be sent now."""
        return 0 if self.is_over else self._window - len(self.in_flight)

    async def connect(
        self, host: str, port: int, *, client_id: str, user: str | None, password: str | None
    ) -> None:
        """Raises OSError, TimeoutError, ConnectionRefused."""
        async with asyncio.timeout(10):
            await self._loop.create_connection(lambda: self, host, port)
            flags = 0x02 | (0x80 if user is not None else 0) | (0x40 if password is not None else 0)
            body = _CONNECT_HEAD + bytes((flags,)) + KEEPALIVE_S.to_bytes(2, "big")
            body += b"".join(_text(text) for text in (client_id, user, password) if text is not None)
            self._write(b"\x10" + _varint(len(body)) + body)
            await self.connack

    def publish(self, messages: list[tuple[bytes, bytes]]) -> None:
        """Send (topic, payload) messages, at most `room` of them, in one write."""
        parts = []
        for topic, payload in messages:
            self._next_id = self._next_id % 65_535 + 1
            while self._next_id in self.in_flight:
                self._next_id = self._next_id % 65_535 + 1
            self.in_flight[self._next_id] = (topic, payload)
            length = len(topic) + len(payload) + 4
            parts.append(b"\x32" + _varint(length) + len(topic).to_bytes(2, "big") + topic)
            parts.append(self._next_id.to_bytes(2, "big"))
            parts.append(payload)
        self._write(b"".join(parts))

    def ping(self) -> None:
        self._write(b"\xc0\x00")

    def close(self) -> None:
        transport = self._transport
        if transport is not None:
            transport.write(b"\xe0\x00")
            transport.close()
        self._end()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        at, end, in_flight = 0, len(data), self.in_flight
        # Every packet that a broker sends to a publisher has at most 127 bytes.
        while end - at >= 2 and end - at >= 2 + data[at + 1]:
            if data[at] == _PUBACK:
                self.acknowledged += in_flight.pop(data[at + 2] << 8 | data[at + 3], None) is not None
            elif data[at] == _CONNACK and not self.connack.done():
                self._admitted(data[at + 3])
            at += 2 + data[at + 1]
        self._rest = data[at:]
        self.changed.set()

    def _admitted(self, code: int) -> None:
        if code == 0:
            self.connack.set_result(None)
        else:
            self.connack.set_exception(ConnectionRefused(f"the broker refused the meters, code {code}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        if not self.connack.done():
            self.connack.set_exception(ConnectionResetError("the broker closed the connection"))

    def _end(self) -> None:
        self._transport = None
        self.is_over = True
        self.changed.set()


def _text(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(2, "big") + encoded


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    return bytes((value & 0x7F | 0x80,)) + _varint(value >> 7)
