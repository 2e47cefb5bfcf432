"""A connection to the broker: passes messages on as they arrive, and acknowledges them in order once stored."""

import asyncio
from collections import deque
from typing import cast

import structlog

from adapters.mqtt import packets
from adapters.mqtt.incoming import Incoming
from adapters.mqtt.packets import BrokerResponse, MqttProtocolError, Version
from application.ports.telemetry.meter_feed import MessageConsumer, MeterMessage

_log = structlog.get_logger(__name__)

KEEPALIVE_S = 20
READ_PAUSE_S = 0.01
"""The pause after a small read, so that a broker that sends single messages does not wake the process for each."""
LARGE_READ_BYTES = 64_000
"""A read of this size or more is followed by no pause, since much is waiting. One read takes up to four times as much.
"""
_CHECK_ROOM_EVERY_S = 0.02


class _Receipt:
    """A message's place in the order of acknowledgements. Calling it says that the message is stored."""

    __slots__ = ("_connection", "is_stored", "packet_id")

    def __init__(self, connection: "Connection", packet_id: bytes) -> None:
        self._connection = connection
        self.packet_id = packet_id
        self.is_stored = False

    def __call__(self) -> None:
        self.is_stored = True
        self._connection.acknowledge_soon()


class Connection(asyncio.Protocol):
    """A connection. It has ended when `over` is done, with the error if there is one. A receipt that is called later
    acknowledges nothing: on another connection its packet id may be that of another message."""

    def __init__(self, consumer: MessageConsumer, version: Version) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._consumer = consumer
        self._version: Version = version
        self._incoming = Incoming(version)
        self._transport: asyncio.Transport | None = None
        self._unacknowledged: deque[_Receipt] = deque()
        self._acknowledging = False
        self._paused = False
        self._briefly_paused = False
        self._stopping = False
        self._ping: asyncio.TimerHandle | None = None
        self._received_anything = True
        self._all_acknowledged = asyncio.Event()
        self.connack: asyncio.Future[BrokerResponse] = loop.create_future()
        self.suback: asyncio.Future[BrokerResponse] = loop.create_future()
        self.over: asyncio.Future[BaseException | None] = loop.create_future()

    @property
    def in_flight(self) -> int:
        """How many messages were passed on and are not acknowledged."""
        return len(self._unacknowledged)

    @property
    def is_paused(self) -> bool:
        """True if reading is paused because the consumer has no room."""
        return self._paused

    def send(self, packet: bytes) -> None:
        if self._transport is not None:
            self._transport.write(packet)

    def acknowledge_soon(self) -> None:
        """Acknowledge a called receipt together with others of the same moment."""
        if not self._acknowledging:
            self._acknowledging = True
            self._loop.call_soon(self._acknowledge)

    async def finish(self, within_s: float) -> None:
        """Stop reading, wait up to `within_s` for messages to be stored and acknowledged, then disconnect."""
        self._stopping = True
        self._pause()
        if self._unacknowledged and not self.over.done():
            self._all_acknowledged.clear()
            try:
                async with asyncio.timeout(within_s):
                    await self._all_acknowledged.wait()
            except TimeoutError:
                _log.info(
                    "some messages were not stored; the broker will send them again", count=self.in_flight
                )
        self.close(packets.DISCONNECT_PACKET)

    def close(self, last_packet: bytes = b"") -> None:
        """Close the connection: nothing more is read, passed on or acknowledged."""
        transport, self._transport = self._transport, None
        self._end(None)
        if transport is not None:
            if last_packet:
                transport.write(last_packet)
                transport.close()
            else:
                transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._ping = self._loop.call_later(KEEPALIVE_S / 2, self._keep_alive)

    def data_received(self, data: bytes) -> None:
        self._received_anything = True
        self._incoming.feed(data)
        if not self._paused:
            self._deliver()
        if len(data) < LARGE_READ_BYTES:
            self._pause_briefly()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._end(exc)

    def _deliver(self) -> None:
        """Pass on all received messages, or up to the first one without room. The broker's responses need no room."""
        has_room, incoming = self._consumer.has_room, self._incoming
        try:
            if has_room() or not incoming.next_is_message:
                for kind, body, message in incoming.packets():
                    if message is None:
                        self._handle_response(kind, body)
                    else:
                        self._deliver_message(message, body)
                    if not has_room() and incoming.next_is_message:
                        break
                else:
                    return
        except (MqttProtocolError, IndexError) as error:
            self._fail(error)
            return
        self._pause()
        self._loop.call_later(_CHECK_ROOM_EVERY_S, self._check_room)

    def _deliver_message(self, message: MeterMessage, packet_id: bytes) -> None:
        if not packet_id:
            if not message.is_retained:
                self._consumer.take(message, _no_acknowledgement)
            return
        receipt = _Receipt(self, packet_id)
        self._unacknowledged.append(receipt)
        if message.is_retained:  # a repeat of what every subscription would be sent again, of whatever age
            receipt()
        else:
            self._consumer.take(message, receipt)

    def _handle_response(self, kind: int, body: bytes) -> None:
        if kind == packets.CONNACK and not self.connack.done():
            self.connack.set_result(packets.connack(self._version, body))
        elif kind == packets.SUBACK and not self.suback.done():
            self.suback.set_result(packets.suback(self._version, body))
        elif kind == packets.DISCONNECT:
            code = f"0x{body[0]:02x}" if body else "0x00"
            raise MqttProtocolError(f"the broker ended the connection, reason code {code}")

    def _pause(self) -> None:
        if not self._paused and self._transport is not None:
            self._paused = True
            if not self._briefly_paused:
                self._transport.pause_reading()

    def _pause_briefly(self) -> None:
        if not self._paused and not self._briefly_paused and self._transport is not None:
            self._briefly_paused = True
            self._transport.pause_reading()
            self._loop.call_later(READ_PAUSE_S, self._resume_after_pause)

    def _resume_after_pause(self) -> None:
        self._briefly_paused = False
        if not self._paused and self._transport is not None:
            self._transport.resume_reading()

    def _check_room(self) -> None:
        if self._transport is None or self._stopping:
            return
        if self._incoming.next_is_message and not self._consumer.has_room():
            self._loop.call_later(_CHECK_ROOM_EVERY_S, self._check_room)
            return
        self._paused = False
        self._received_anything = True  # what the broker sent meanwhile is still unread
        self._deliver()
        if not self._paused and self._transport is not None:
            self._transport.resume_reading()

    def _acknowledge(self) -> None:
        self._acknowledging = False
        waiting = self._unacknowledged
        done = []
        # In the order of arrival, as MQTT requires.
        while waiting and waiting[0].is_stored:
            done.append(packets.PUBACK + waiting.popleft().packet_id)
        if done and self._transport is not None:
            self._transport.write(b"".join(done))
        if not waiting:
            self._all_acknowledged.set()

    def _keep_alive(self) -> None:
        if self._transport is None:
            return
        # While reading is paused, no ping response can be received.
        if not self._received_anything and not self._paused:
            self._fail(TimeoutError("the broker did not answer a ping"))
            return
        self._received_anything = False
        self._transport.write(packets.PINGREQ)
        self._ping = self._loop.call_later(KEEPALIVE_S / 2, self._keep_alive)

    def _fail(self, error: BaseException) -> None:
        transport, self._transport = self._transport, None
        self._end(error)
        if transport is not None:
            transport.abort()

    def _end(self, error: BaseException | None) -> None:
        if self._ping is not None:
            self._ping.cancel()
        self._all_acknowledged.set()
        if not self.over.done():
            self.over.set_result(error)
        for waiting in (self.connack, self.suback):
            if not waiting.done():
                waiting.cancel()


def _no_acknowledgement() -> None:
    """At QoS 0 there is nothing to acknowledge."""
