"""Splits the broker's byte stream into packets."""

from collections.abc import Iterator

from adapters.mqtt.packets import PUBLISH, MqttProtocolError, Version, read_varint, traceparent_of
from application.ports.telemetry.meter_feed import MAX_PAYLOAD_BYTES, MeterMessage

_MAX_PACKET_BYTES = MAX_PAYLOAD_BYTES + 2 * 65_536
"""Enough for a whole payload after the longest topic and some properties. The rest of a longer packet is discarded as
it arrives, so that a message of megabytes costs no more memory than this."""

Packet = tuple[int, bytes, MeterMessage | None]
"""(kind, body, None), and for PUBLISH (kind, packet id, message): no packet id at QoS 0."""


class Incoming:
    """Bytes in, packets out. A caller that stops in the middle of `packets` continues there the next time."""

    def __init__(self, version: Version) -> None:
        self._has_properties = version == "5"
        self._data = b""
        self._at = 0
        self._to_skip = 0
        self._cut: Packet | None = None

    @property
    def buffered_bytes(self) -> int:
        """How many received bytes are not returned yet."""
        return len(self._data) - self._at

    @property
    def next_is_message(self) -> bool:
        """True if the next packet, complete or not, is a PUBLISH."""
        if self._cut is not None:
            return True
        return self._at < len(self._data) and self._data[self._at] >> 4 == PUBLISH

    def feed(self, data: bytes) -> None:
        if self._to_skip:
            skipped = min(self._to_skip, len(data))
            self._to_skip -= skipped
            data = data[skipped:]
        self._data = data if self._at == len(self._data) else self._data[self._at :] + data
        self._at = 0

    def packets(self) -> Iterator[Packet]:
        """The complete packets. Raises MqttProtocolError, or IndexError where a packet ends within one of its parts."""
        yield from self._next_packet()
        data = self._data
        available = len(data)
        while available - self._at >= 2:
            first, length, start = data[self._at], data[self._at + 1], self._at + 2
            if length >= 0x80:
                if available > start and data[start] < 0x80:
                    length += (data[start] - 1) << 7
                    start += 1
                else:
                    try:
                        length, start = read_varint(data, self._at + 1)
                    except IndexError:
                        return
            if length > _MAX_PACKET_BYTES:
                if available - start < _MAX_PACKET_BYTES or not self._discard_oversized(first, start, length):
                    return
                yield from self._next_packet()
                continue
            end = start + length
            if end > available:
                return
            self._at = end
            if first >> 4 == PUBLISH:
                yield self._publish(first, data, start, end, end)
            else:
                yield first >> 4, data[start:end], None

    def _next_packet(self) -> Iterator[Packet]:
        """The truncated packet, once its end has arrived."""
        if self._cut is not None and not self._to_skip:
            cut, self._cut = self._cut, None
            yield cut

    def _discard_oversized(self, first: int, start: int, length: int) -> bool:
        """Store the beginning of an oversized packet; returns whether its end has arrived already."""
        end = start + length
        self._cut = self._publish(first, self._data, start, end, start + _MAX_PACKET_BYTES)
        self._at = min(end, len(self._data))
        self._to_skip = end - self._at
        return self._to_skip == 0

    def _publish(self, first: int, data: bytes, at: int, end: int, cut_at: int) -> Packet:
        """The PUBLISH whose body is data[at:end], of which data[:cut_at] is available."""
        if first >> 4 != PUBLISH:
            raise MqttProtocolError(f"the broker sent a packet of kind {first >> 4} with {end - at} bytes")
        topic_at = at + 2
        at = topic_at + (data[at] << 8 | data[at + 1])
        topic = data[topic_at:at].decode("utf-8", "replace")
        packet_id = b""
        if first & 6:
            packet_id = data[at : at + 2]
            at += 2
        traceparent = None
        if self._has_properties:
            properties, at = read_varint(data, at)
            if properties:
                traceparent = traceparent_of(data[at : at + properties])
                at += properties
        if at > end:
            raise MqttProtocolError("the broker sent a PUBLISH that is shorter than its parts")
        return (
            PUBLISH,
            packet_id,
            MeterMessage(topic, data[at:cut_at], end - at, traceparent, bool(first & 1)),
        )
