"""Chunks that are encoded together equal those that are encoded separately."""

from datetime import UTC, datetime, timedelta
from itertools import groupby

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.postgres.telemetry.readings import chunk_encoder
from adapters.postgres.telemetry.readings.chunk_encoder import chunks_of
from domain.telemetry.meter_reading import MeterReading
from domain.telemetry.reading_block import ReadingBlock

T0 = datetime(2026, 7, 14, 10, tzinfo=UTC)
READINGS = st.builds(
    lambda facility, meter, at_s, kw, seq, quality: MeterReading(
        f"fac-{facility}", meter, T0 + timedelta(seconds=at_s), kw, 2.0, seq, quality
    ),
    st.integers(0, 30),
    st.sampled_from(["m1", "m2", "m10", "zähler"]),
    st.integers(0, 130),
    st.none() | st.floats(-1e6, 1e6),
    st.none() | st.integers(0, 2**63 - 1),
    st.just("measured"),
)
RARE = READINGS.map(
    lambda reading: MeterReading(reading.facility_id, "m1", reading.ts, 1.0, None, None, "estimated")
)


def rows_in(copied: bytes) -> list[bytes]:
    """The rows of a binary COPY without its signature."""
    found, at = [], 0
    while at < len(copied):
        start, fields = at, int.from_bytes(copied[at : at + 2], "big")
        at += 2
        for _ in range(fields):
            at += 4 + max(0, int.from_bytes(copied[at : at + 4], "big", signed=True))
        found.append(copied[start:at])
    return found


@given(st.lists(READINGS, min_size=1, max_size=80) | st.lists(READINGS | RARE, min_size=1, max_size=80))
def test_chunks_encoded_together_equal_chunks_encoded_separately(readings: list[MeterReading]) -> None:
    def place(reading: MeterReading) -> tuple[str, datetime]:
        return reading.facility_id, reading.ts.replace(second=0)

    together = chunks_of(ReadingBlock.of(readings))
    chunks = [list(some) for _, some in groupby(sorted(readings, key=place), key=place)]
    alone = [chunks_of(ReadingBlock.of(some)) for some in chunks]
    assert sorted(rows_in(together.rows)) == sorted(one.rows for one in alone)
    places = zip(together.facility_ids, together.quarters, together.firsts, strict=True)
    assert sorted(places) == sorted((c.facility_ids[0], c.quarters[0], c.firsts[0]) for c in alone)


def test_only_the_chunk_of_an_unusual_reading_is_encoded_separately(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    row = chunk_encoder._Encoder._row

    def counted(self: chunk_encoder._Encoder, facility: bytes, *place: int) -> list[bytes]:
        made.append(place[1])
        return row(self, facility, *place)

    monkeypatch.setattr(chunk_encoder._Encoder, "_row", counted)
    readings = [MeterReading(f"fac-{n:03}", "m1", T0, 1.0, 2.0) for n in range(100)]
    readings[50] = msgspec.structs.replace(readings[50], revision=1)
    chunks = chunks_of(ReadingBlock.of(readings))
    assert len(rows_in(chunks.rows)) == 100
    assert made == [0, 50], "the first of the usual readings, and the unusual one"
