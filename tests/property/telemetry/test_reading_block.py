"""Readings in columns and in encoded batches equal the original readings; the others are transferred singly."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.telemetry.ingest.batch_codec import (
    MalformedBatch,
    ReadingBatch,
    pack,
    unpack,
    unpack_readings,
)
from domain.telemetry.meter_reading import TRUST, MeterReading
from domain.telemetry.reading_block import (
    SEPARATOR,
    RareColumns,
    ReadingBlock,
    UnjoinableId,
    facilities_in,
)

T0 = datetime(2026, 7, 14, 10, tzinfo=UTC)
VALUES = st.none() | st.floats(-1e6, 1e6)
USUAL = st.builds(
    MeterReading,
    st.sampled_from(["fac-a", "fac-b", "fac-\u00e9"]),
    st.sampled_from(["m1", "m2", "z\u00e4hler", ""]),
    st.integers(0, 10**12).map(lambda us: T0 + timedelta(microseconds=us)),
    VALUES,
    VALUES,
    st.none() | st.integers(0, 2**63 - 1),
)
ANY = st.builds(
    lambda reading, *rare: msgspec.structs.replace(
        reading, **dict(zip(("quality", "incomplete", "extra", "revision"), rare, strict=True))
    ),
    USUAL,
    st.sampled_from(TRUST),
    st.booleans(),
    st.none() | st.just('{"volts": 231}'),
    st.integers(0, 2**31 - 1),
)
READINGS = st.lists(USUAL, max_size=12) | st.lists(USUAL | ANY, max_size=12)


@given(READINGS)
def test_a_block_contains_the_original_readings(readings: list[MeterReading]) -> None:
    block = ReadingBlock.of(readings)
    assert list(block) == readings
    assert len(block) == len(readings)
    assert block == readings
    assert [block[n] for n in range(len(block))] == readings
    assert ReadingBlock.of(block) is block


@given(READINGS)
def test_the_facilities_of_a_block_are_listed_without_creating_readings(readings: list[MeterReading]) -> None:
    class NeverOneByOne(ReadingBlock):
        __slots__ = ()

        def __iter__(self) -> Iterator[MeterReading]:
            raise AssertionError("a reading was made")

    columns = {name: getattr(ReadingBlock.of(readings), name) for name in ReadingBlock.__slots__}
    assert facilities_in(NeverOneByOne(**columns)) == facilities_in(readings)


@given(READINGS, st.data())
def test_a_part_of_a_block_equals_the_single_readings(
    readings: list[MeterReading], data: st.DataObject
) -> None:
    which = data.draw(st.lists(st.booleans(), min_size=len(readings), max_size=len(readings)))
    found = ReadingBlock.of(readings).chosen(np.array(which, dtype=np.bool_))
    assert list(found) == [reading for reading, is_chosen in zip(readings, which, strict=True) if is_chosen]


@given(READINGS)
def test_readings_with_other_than_default_fields_are_unusual(readings: list[MeterReading]) -> None:
    rare = ReadingBlock.of(readings).rare or RareColumns.defaults(len(readings))
    defaults = [
        (reading.quality, reading.revision, reading.incomplete, reading.extra) == ("measured", 0, False, None)
        for reading in readings
    ]
    assert (~rare.unusual()).tolist() == defaults


@given(st.lists(READINGS, max_size=4))
def test_the_readings_of_several_messages_of_the_log_are_joined_in_their_order(
    parts: list[list[MeterReading]],
) -> None:
    flat = [reading for part in parts for reading in part]
    bodies = [pack(ReadingBatch(received_at=T0, readings=part)) for part in parts]
    assert unpack_readings(bodies) == flat
    odd = [MeterReading("fac", f"a{SEPARATOR}b", T0, 1.0, None)]
    assert unpack_readings([*bodies, pack(ReadingBatch(received_at=T0, readings=odd))]) == flat + odd


@given(READINGS)
def test_an_unpacked_batch_equals_the_packed_one(readings: list[MeterReading]) -> None:
    body = pack(ReadingBatch(received_at=T0, readings=readings))
    assert unpack(body) == ReadingBatch(received_at=T0, readings=readings)
    assert pack(unpack(body)) == body


@given(READINGS)
def test_a_batch_packed_by_an_earlier_release_is_read(readings: list[MeterReading]) -> None:
    body = msgspec.msgpack.encode({"received_at": T0, "readings": readings})
    assert unpack(body).readings == readings


def test_readings_with_an_unjoinable_id_are_transferred_singly() -> None:
    readings = [MeterReading("fac", f"m{SEPARATOR}1", T0, 1.0, 2.0), MeterReading("fac", "m2", T0, 1.0, 2.0)]
    with pytest.raises(UnjoinableId):
        ReadingBlock.of(readings)
    assert unpack(pack(ReadingBatch(received_at=T0, readings=readings))).readings == readings


@pytest.mark.parametrize("column", range(8))
def test_a_packed_batch_with_inconsistent_columns_is_malformed(column: int) -> None:
    rare = MeterReading("fac", "m2", T0, 1.0, 2.0, revision=1)
    body = pack(ReadingBatch(received_at=T0, readings=[MeterReading("fac", "m1", T0, 1.0, 2.0), rare]))
    packed = msgspec.msgpack.decode(body)
    was = packed["columns"][column]
    packed["columns"][column] = "m1" if isinstance(was, str) else was[: -4 if isinstance(was, bytes) else -1]
    with pytest.raises(MalformedBatch):
        unpack(msgspec.msgpack.encode(packed))


def test_a_packed_batch_with_an_unknown_quality_is_malformed() -> None:
    readings = [MeterReading("fac", "m1", T0, 1.0, 2.0, quality="bad")]
    packed = msgspec.msgpack.decode(pack(ReadingBatch(received_at=T0, readings=readings)))
    packed["columns"][7][0] = bytes([len(TRUST)])
    with pytest.raises(MalformedBatch, match="quality"):
        unpack(msgspec.msgpack.encode(packed))
    with pytest.raises(MalformedBatch, match="none in it"):
        unpack(msgspec.msgpack.encode({"received_at": T0}))


@pytest.mark.parametrize("us", [-(2**63), 2**63 - 1, -62_135_596_800_000_001, 253_402_300_800_000_000])
def test_a_packed_batch_with_a_time_outside_the_calendar_is_malformed(us: int) -> None:
    """A damaged object of the raw archive once ended its reader with OverflowError."""
    body = pack(ReadingBatch(received_at=T0, readings=[MeterReading("fac", "m1", T0, 1.0, 2.0)]))
    packed = msgspec.msgpack.decode(body)
    packed["columns"][3] = us.to_bytes(8, "little", signed=True)
    with pytest.raises(MalformedBatch, match="years"):
        unpack(msgspec.msgpack.encode(packed))


def test_columns_of_inconsistent_length_are_refused() -> None:
    none, one = np.zeros(0), np.zeros(1)
    for counts in ([2], [0], [1, 1]):
        with pytest.raises(ValueError, match="do not add up"):
            ReadingBlock(
                facility_ids=["fac"],
                counts=np.array(counts),
                meter_ids="m",
                ts_us=np.zeros(1, np.int64),
                kw=one,
                kwh_total=one,
                seq=np.zeros(1, np.int64),
            )
    with pytest.raises(ValueError, match="one length"):
        ReadingBlock(
            facility_ids=["fac"],
            counts=np.array([1]),
            meter_ids="m",
            ts_us=np.zeros(1, np.int64),
            kw=none,
            kwh_total=one,
            seq=np.zeros(1, np.int64),
        )
