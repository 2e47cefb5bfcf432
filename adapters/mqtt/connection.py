"""One connection to the broker: messages are handed over as they come, and acknowledged in order once kept."""

import asyncio
from collections import deque
from typing import cast

import structlog

from adapters.mqtt import packets
from adapters.mqtt.incoming import Incoming
from adapters.mqtt.packets import Granted, MqttProtocolError, Version
from application.ports.telemetry.meter_feed import MessageTaker, MeterMessage

_log = structlog.get_logger(__name__)

KEEPALIVE_S = 20
RESTS_S = 0.01
"""After a small read, so that a broker that sends messages one by one does not wake us for each of them."""
LARGE_READ_BYTES = 64_000
"""After one of so much or more there is no rest: who is that far behind reads as fast as it can. One read takes up to
four times as much."""
_LOOK_FOR_ROOM_EVERY_S = 0.02


class _Receipt:
    """A message's place among the acknowledgements. Called, it says that the message is kept."""

    __slots__ = ("_connection", "is_kept", "packet_id")

    def __init__(self, connection: "Connection", packet_id: bytes) -> None:
        self._connection = connection
        self.packet_id = packet_id
        self.is_kept = False

    def __call__(self) -> None:
        self.is_kept = True
        self._connection.note_kept()


class Connection(asyncio.Protocol):
    """Over when `over` is done, with the reason if there is one. A receipt that comes later acknowledges nothing: on
    another connection its packet id may be another message."""

    def __init__(self, taker: MessageTaker, version: Version) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._taker = taker
        self._version: Version = version
        self._incoming = Incoming(version)
        self._transport: asyncio.Transport | None = None
        self._unacknowledged: deque[_Receipt] = deque()
        self._acknowledging = False
        self._paused = False
        self._resting = False
        self._stopping = False
        self._ping: asyncio.TimerHandle | None = None
        self._heard = True
        self._all_acknowledged = asyncio.Event()
        self.connack: asyncio.Future[Granted] = loop.create_future()
        self.suback: asyncio.Future[Granted] = loop.create_future()
        self.over: asyncio.Future[BaseException | None] = loop.create_future()

    @property
    def in_flight(self) -> int:
        """How many messages are handed over and not acknowledged."""
        return len(self._unacknowledged)

    @property
    def is_paused(self) -> bool:
        """Whether nothing is read for want of room."""
        return self._paused

    @property
    def held_bytes(self) -> int:
        """How much came and is not handed over."""
        return self._incoming.held_bytes

    def send(self, packet: bytes) -> None:
        if self._transport is not None:
            self._transport.write(packet)

    def note_kept(self) -> None:
        """One of the receipts was called; its acknowledgement goes out with others of this moment."""
        if not self._acknowledging:
            self._acknowledging = True
            self._loop.call_soon(self._acknowledge)

    async def finish(self, within_s: float) -> None:
        """Read no more, acknowledge what is kept within so long, say goodbye."""
        self._stopping = True
        self._pause()
        if self._unacknowledged and not self.over.done():
            self._all_acknowledged.clear()
            try:
                async with asyncio.timeout(within_s):
                    await self._all_acknowledged.wait()
            except TimeoutError:
                _log.info("some messages were not kept; the broker sends them again", count=self.in_flight)
        self.close(packets.GOODBYE)

    def close(self, last_word: bytes = b"") -> None:
        """Nothing is read, handed over or acknowledged any more."""
        transport, self._transport = self._transport, None
        self._set_over(None)
        if transport is not None:
            if last_word:
                transport.write(last_word)
                transport.close()
            else:
                transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._ping = self._loop.call_later(KEEPALIVE_S / 2, self._keep_alive)

    def data_received(self, data: bytes) -> None:
        self._heard = True
        self._incoming.feed(data)
        if not self._paused:
            self._hand_over()
        if len(data) < LARGE_READ_BYTES:
            self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._set_over(exc)

    def _hand_over(self) -> None:
        """All that is here, or up to the first message without room: the broker's answers need none."""
        has_room, incoming = self._taker.has_room, self._incoming
        try:
            if has_room() or not incoming.next_is_message:
                for kind, body, message in incoming.packets():
                    if message is None:
                        self._answer(kind, body)
                    else:
                        self._take(message, body)
                    if not has_room() and incoming.next_is_message:
                        break
                else:
                    return
        except (MqttProtocolError, IndexError) as error:
            self._fail(error)
            return
        self._pause()
        self._loop.call_later(_LOOK_FOR_ROOM_EVERY_S, self._look_for_room)

    def _take(self, message: MeterMessage, packet_id: bytes) -> None:
        if not packet_id:
            self._taker.take(message, _nobody_waits)
            return
        receipt = _Receipt(self, packet_id)
        self._unacknowledged.append(receipt)
        self._taker.take(message, receipt)

    def _answer(self, kind: int, body: bytes) -> None:
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
            if not self._resting:
                self._transport.pause_reading()

    def _rest(self) -> None:
        if not self._paused and not self._resting and self._transport is not None:
            self._resting = True
            self._transport.pause_reading()
            self._loop.call_later(RESTS_S, self._rested)

    def _rested(self) -> None:
        self._resting = False
        if not self._paused and self._transport is not None:
            self._transport.resume_reading()

    def _look_for_room(self) -> None:
        if self._transport is None or self._stopping:
            return
        if self._incoming.next_is_message and not self._taker.has_room():
            self._loop.call_later(_LOOK_FOR_ROOM_EVERY_S, self._look_for_room)
            return
        self._paused = False
        self._heard = True  # what the broker said meanwhile is still unread
        self._hand_over()
        if not self._paused and self._transport is not None:
            self._transport.resume_reading()

    def _acknowledge(self) -> None:
        self._acknowledging = False
        waiting = self._unacknowledged
        done = []
        # In the order of their coming, as MQTT asks.
        while waiting and waiting[0].is_kept:
            done.append(packets.puback(waiting.popleft().packet_id))
        if done and self._transport is not None:
            self._transport.write(b"".join(done))
        if not waiting:
            self._all_acknowledged.set()

    def _keep_alive(self) -> None:
        if self._transport is None:
            return
        # While nothing is read, no answer can be heard either.
        if not self._heard and not self._paused:
            self._fail(TimeoutError("the broker did not answer a ping"))
            return
        self._heard = False
        self._transport.write(packets.PINGREQ)
        self._ping = self._loop.call_later(KEEPALIVE_S / 2, self._keep_alive)

    def _fail(self, error: BaseException) -> None:
        transport, self._transport = self._transport, None
        self._set_over(error)
        if transport is not None:
            transport.abort()

    def _set_over(self, error: BaseException | None) -> None:
        if self._ping is not None:
            self._ping.cancel()
        self._all_acknowledged.set()
        if not self.over.done():
            self.over.set_result(error)
        for waiting in (self.connack, self.suback):
            if not waiting.done():
                waiting.cancel()


def _nobody_waits() -> None:
    """At QoS 0 there is nothing to acknowledge."""
