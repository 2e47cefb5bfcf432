"""Messages as received come out of a pack as they went in."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.telemetry.ingest.batch_codec import ReadingBatch, pack, unpack
from application.telemetry.ingest.original_payloads import (
    BrokenPayloads,
    ReceivedPayload,
    pack_payloads,
    unpack_payloads,
)
from domain.telemetry.meter_reading import MeterReading

T0 = datetime(2026, 7, 14, tzinfo=UTC)
MESSAGES = st.lists(
    st.builds(
        ReceivedPayload,
        topic=st.sampled_from(["meters/fac-001/m1/readings", "meters/fac-001/m2/readings"]) | st.text(),
        received_at=st.integers(-(10**9), 10**9).map(lambda us: T0 + timedelta(microseconds=us)),
        payload=st.binary(max_size=200),
    ),
    min_size=1,
    max_size=20,
)


@given(MESSAGES)
def test_unpacked_messages_equal_the_packed_ones(messages: list[ReceivedPayload]) -> None:
    assert unpack_payloads(pack_payloads(messages)) == messages


@given(st.binary(max_size=300))
def test_anything_else_is_reported_as_broken(packed: bytes) -> None:
    with pytest.raises(BrokenPayloads):
        unpack_payloads(packed)


@given(MESSAGES, st.integers(1, 40))
def test_a_part_is_reported_as_broken(messages: list[ReceivedPayload], cut: int) -> None:
    with pytest.raises(BrokenPayloads):
        unpack_payloads(pack_payloads(messages)[:-cut])


def test_a_pack_holds_them_beside_its_readings() -> None:
    reading = MeterReading("fac-001", "m1", T0, 1.0, 2.0)
    message = ReceivedPayload("meters/fac-001/m1/readings", T0, b"{}")
    batch = ReadingBatch(received_at=T0, readings=[reading], originals=pack_payloads([message]))
    found = unpack(pack(batch))
    assert list(found.readings) == [reading]
    assert found.originals is not None
    assert unpack_payloads(found.originals) == [message]


def test_a_release_that_does_not_know_them_reads_the_rest_of_a_pack() -> None:
    batch = ReadingBatch(received_at=T0, readings=[MeterReading("fac-001", "m1", T0, 1.0, 2.0)])
    packed = pack(msgspec.structs.replace(batch, originals=b"any"))
    of_before = msgspec.msgpack.decode(pack(batch))
    assert msgspec.msgpack.decode(packed) == {**of_before, "originals": b"any"}


def test_a_pack_without_them_is_what_it_was() -> None:
    batch = ReadingBatch(received_at=T0, readings=[MeterReading("fac-001", "m1", T0, 1.0, 2.0)])
    assert b"originals" not in pack(batch)
    assert unpack(pack(batch)).originals is None
