"""The broker's byte stream gives the same packets for any split; oversized ones are skipped."""

from hypothesis import given
from hypothesis import strategies as st

from adapters.mqtt.incoming import _MAX_PACKET_BYTES, Incoming, Packet
from adapters.mqtt.packets import PUBLISH, Version, varint
from application.ports.telemetry.meter_feed import MAX_PAYLOAD_BYTES, MeterMessage

PINGRESP = b"\xd0\x00"
TOPIC = "meters/fac-001/m1/readings"


def publish(payload: bytes, *, packet_id: int, topic: str = TOPIC, properties: bytes | None = None) -> bytes:
    body = len(topic.encode()).to_bytes(2, "big") + topic.encode()
    body += packet_id.to_bytes(2, "big") if packet_id else b""
    if properties is not None:
        body += varint(len(properties)) + properties
    body += payload
    return bytes((0x32 if packet_id else 0x30,)) + varint(len(body)) + body


def received(stream: bytes, cuts: list[int], version: Version = "3.1.1") -> list[tuple[bytes, MeterMessage]]:
    """The publishes of `stream`, read piece by piece; nothing else may remain."""
    incoming = Incoming(version)
    found = []
    at = 0
    for cut in [*sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]:
        incoming.feed(stream[at:cut])
        at = cut
        for kind, packet_id, message in incoming.packets():
            if kind == PUBLISH:
                assert message is not None
                found.append((packet_id, message))
        assert incoming.buffered_bytes <= _MAX_PACKET_BYTES + 5
    assert incoming.buffered_bytes == 0
    return found


@given(
    payloads=st.lists(st.binary(max_size=300), max_size=8),
    cuts=st.lists(st.integers(0, 3_000), max_size=12),
)
def test_the_packets_do_not_depend_on_how_the_stream_is_split(payloads: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(publish(payload, packet_id=n + 1) + PINGRESP for n, payload in enumerate(payloads))
    assert received(stream, cuts) == [
        ((n + 1).to_bytes(2, "big"), MeterMessage(TOPIC, payload, len(payload)))
        for n, payload in enumerate(payloads)
    ]


@given(
    size=st.integers(_MAX_PACKET_BYTES - 100, 2 * _MAX_PACKET_BYTES),
    cuts=st.lists(st.integers(0), max_size=8),
)
def test_an_oversized_message_is_returned_as_its_beginning_and_its_size(size: int, cuts: list[int]) -> None:
    stream = publish(b"x" * size, packet_id=7) + publish(b"after", packet_id=8)
    long, after = received(stream, cuts)
    assert (long[0], long[1].size, long[1].topic) == (b"\0\7", size, TOPIC)
    assert MAX_PAYLOAD_BYTES < len(long[1].payload) <= min(size, _MAX_PACKET_BYTES)
    assert after == (b"\0\b", MeterMessage(TOPIC, b"after", 5))


def test_a_message_of_ten_megabytes_is_not_buffered() -> None:
    incoming = Incoming("3.1.1")
    stream = publish(b"x" * 10_000_000, packet_id=7) + publish(b"after", packet_id=8)
    found: list[Packet] = []
    for at in range(0, len(stream), 65_536):
        incoming.feed(stream[at : at + 65_536])
        found.extend(incoming.packets())
        assert incoming.buffered_bytes <= _MAX_PACKET_BYTES + 65_536
    assert [message.size for _, _, message in found if message] == [10_000_000, 5]


def test_a_user_property_carries_the_trace() -> None:
    def prop(name: str, value: str) -> bytes:
        texts = (text.encode() for text in (name, value))
        return b"\x26" + b"".join(len(text).to_bytes(2, "big") + text for text in texts)

    expiry = b"\x02\0\0\0\x09"
    for properties, trace in (
        (b"", None),
        (expiry + prop("a", "b") + prop("traceparent", "00-1"), "00-1"),
        (expiry + prop("a", "traceparent"), None),
        (b"\x26\0\x0btraceparent\xff\xff", None),
        (b"\x77traceparent", None),
    ):
        ((_, message),) = received(publish(b"{}", packet_id=1, properties=properties), [], "5")
        assert message == MeterMessage(TOPIC, b"{}", 2, trace)


def test_reading_continues_in_the_middle_of_a_message() -> None:
    incoming = Incoming("3.1.1")
    incoming.feed(b"".join(publish(bytes((n,)), packet_id=n + 1) for n in range(4)))
    first = next(iter(incoming.packets()))
    rest = list(incoming.packets())
    assert [m.payload for _, _, m in (first, *rest) if m] == [b"\0", b"\1", b"\2", b"\3"]
