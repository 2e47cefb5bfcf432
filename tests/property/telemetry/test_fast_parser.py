"""The fast parser gives the same readings as field-by-field parsing, singly and in columns."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from itertools import chain
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from application.telemetry.ingest import message_parser
from application.telemetry.ingest.batch_codec import in_columns
from application.telemetry.ingest.fast_parser import PlainReadings
from application.telemetry.ingest.lenient_parser import QUALITY_WORDS
from application.telemetry.ingest.message_parser import ParsedMessage, parse_message
from domain.telemetry.meter_reading import OLDEST_READING, MeterReading
from domain.telemetry.reading_block import SEPARATOR, ReadingBlock

NOW = datetime(2026, 7, 14, 10, tzinfo=UTC)
MOMENTS = st.builds(
    lambda ms, minutes: (
        (NOW + timedelta(milliseconds=ms)).astimezone(timezone(timedelta(minutes=minutes))).isoformat()
    ),
    st.integers(-1, 1) | st.integers(-(10**9), 10**9),
    st.sampled_from([0, 0, 120, -210]),
)
ITEMS = st.fixed_dictionaries(
    {"ts": MOMENTS, "kw": st.floats(-1e6, 1e6), "kwh_total": st.floats(-1e12, 1e12)},
    optional={
        "seq": st.none() | st.integers(0, 2**63 - 1),
        "quality": st.sampled_from([*QUALITY_WORDS]),
        "revision": st.integers(0, 2**31 - 1),
        "meter_id": st.sampled_from(["m1", "m2", "z_9-", "M3", "", f"m1{SEPARATOR}m2", f"m1{SEPARATOR}"]),
        "facility_id": st.sampled_from(["fac-1", "fac-2"]),
    },
)
USUAL = ITEMS.map(
    lambda item: {name: value for name, value in item.items() if name in ("ts", "kw", "kwh_total")}
)
MESSAGES = st.tuples(
    st.sampled_from(["fac-1", "fac-2"]),
    st.lists(USUAL, min_size=1, max_size=5) | st.lists(ITEMS, max_size=5) | ITEMS,
)


def quickly(facility_id: str, body: Any) -> ParsedMessage:
    return parse_message(f"meters/{facility_id}/m1/readings", json.dumps(body).encode(), now=NOW)


def field_by_field(facility_id: str, body: Any) -> ParsedMessage:
    topic = f"meters/{facility_id}/m1/readings"
    return message_parser._parse_leniently(
        topic, json.dumps(body).encode(), (facility_id, "m1"), NOW, OLDEST_READING
    )


@given(MESSAGES)
def test_the_fast_parser_gives_the_readings_of_field_by_field_parsing(message: tuple[str, Any]) -> None:
    quick, slow = quickly(*message), field_by_field(*message)
    assert list(quick.readings) == list(slow.readings)
    assert list(quick.malformed) == list(slow.malformed)
    assert isinstance(quick.readings, PlainReadings) == (not slow.malformed)
    if quick.readings:
        assert (quick.facility_id, quick.readings[0]) == (message[0], slow.readings[0])
        assert len(quick.readings) == len(slow.readings)


@given(st.lists(MESSAGES, max_size=6))
def test_the_columns_of_several_messages_equal_their_single_readings(
    messages: list[tuple[str, Any]],
) -> None:
    parts = [quickly(*message).readings for message in messages]
    plain: list[Sequence[MeterReading]] = [part for part in parts if isinstance(part, PlainReadings)]
    others = [part for part in parts if not isinstance(part, PlainReadings)]
    flat = list(chain.from_iterable([*plain, *others]))
    found = in_columns(parts)
    assert isinstance(found, ReadingBlock)
    assert list(found) == flat
    assert (found.rare is None) == (ReadingBlock.of(flat).rare is None)


def test_an_id_with_the_separator_is_returned_as_single_readings() -> None:
    plain = quickly("fac-1", {"ts": NOW.isoformat(), "kw": 1.0, "kwh_total": 2.0}).readings
    odd = [MeterReading("fac-1", f"a{SEPARATOR}b", NOW, 1.0, 2.0)]
    assert in_columns([odd, plain]) == [*plain, *odd]
