import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.ports.telemetry.meter_feed import UNKNOWN_FACILITY
from application.telemetry.ingest.batch_codec import (
    MalformedBatch,
    MalformedMessages,
    ReadingBatch,
    pack,
    unpack,
    unpack_malformed,
)
from application.telemetry.ingest.fast_parser import PlainReadings
from application.telemetry.ingest.message_parser import MAX_MESSAGE_BYTES, MalformedReading, parse_message
from domain.telemetry.meter_reading import MeterReading, conflict_rank

NOW = datetime(2026, 7, 14, 21, 0, 20, tzinfo=UTC)
TOPIC = "meters/fac-001/m1/readings"


def message(**changes: object) -> dict[str, Any]:
    body = {"schema": 1, "ts": "2026-07-14T21:00:15Z", "seq": 1234, "kw": 118.2, "kwh_total": 991823.4}
    body.update(changes)
    return {name: value for name, value in body.items() if value is not ...}


def parsed(body: object, topic: str = TOPIC) -> tuple[list[MeterReading], list[str]]:
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = parse_message(topic, payload, now=NOW)
    return list(found.readings), [m.reason for m in found.malformed]


def test_a_complete_reading_takes_its_facility_and_meter_from_the_topic() -> None:
    readings, reasons = parsed(message())
    at = datetime(2026, 7, 14, 21, 0, 15, tzinfo=UTC)
    assert readings == [MeterReading("fac-001", "m1", at, 118.2, 991823.4, 1234)]
    assert reasons == []


def test_a_list_of_readings_from_a_gateway_is_parsed() -> None:
    readings, reasons = parsed([message(), message(ts="2026-07-14T23:00:00+02:00")])
    assert [r.ts for r in readings] == [NOW - timedelta(seconds=5), NOW - timedelta(seconds=20)]
    assert all(r.ts.tzinfo is UTC for r in readings)
    assert reasons == []


def test_only_a_traceparent_of_normal_length_is_stored_with_its_readings() -> None:
    usual = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for traceparent, is_held in ((usual, True), (usual + "-", False), ("0" * 64_000, False)):
        body = [message(), message(traceparent=traceparent)]
        found = parse_message(TOPIC, json.dumps(body).encode(), now=NOW)
        assert isinstance(found.readings, PlainReadings) == is_held, "decoded in one step"
        assert list(found.readings) == parsed([message()] * 2)[0]
        assert not found.malformed


def test_the_facility_of_any_message_comes_from_its_topic() -> None:
    bodies = (json.dumps(message()), json.dumps([message(), message(ts="noon")]), "no JSON", "[" * 100_000)
    for payload in (*bodies, " " * (MAX_MESSAGE_BYTES + 1)):
        assert parse_message(TOPIC, payload.encode(), now=NOW).facility_id == TOPIC.split("/")[1]
        for nowhere in ("meters/fac-001/readings", "meters/fac 1/m/readings", "meters/fac-001/m 1/readings"):
            assert parse_message(nowhere, payload.encode(), now=NOW).facility_id == UNKNOWN_FACILITY


def test_the_valid_readings_of_a_list_with_a_bad_one_are_used() -> None:
    found = parse_message(TOPIC, json.dumps([message(), message(ts="noon"), message(kw=1)]).encode(), now=NOW)
    assert [r.kw for r in found.readings] == [118.2, 1.0]
    (bad,) = found.malformed
    assert bad.reason == "ts is no RFC 3339 time with an offset"
    assert json.loads(bad.body) == message(ts="noon")


def test_a_bad_reading_of_a_list_is_stored_byte_for_byte() -> None:
    good = json.dumps(message()).encode()
    bad = (
        b'{ "ts" : "noon",\t"kw":1.180E2, "kw": 3.0, "x": 0.1000,\n "y": "\\u00e9\xc3\xa9" }',
        b'["not", "an object", 12345678901234567890.50]',
        b'{"ts":"2026-07-14T21:00:15Z","kw":1e300}',
        b"null",
    )
    found = parse_message(TOPIC, b" [\n" + b" ,  ".join([bad[0], good, *bad[1:]]) + b" ] ", now=NOW)
    assert len(found.readings) == 1
    assert tuple(one.body for one in found.malformed) == bad


@pytest.mark.parametrize(
    ("changes", "kw", "kwh_total"),
    [
        ({"kw": ...}, None, 991823.4),
        ({"kw": None}, None, 991823.4),
        ({"kw": "much"}, None, 991823.4),
        ({"kw": True}, None, 991823.4),
        ({"kwh_total": ...}, 118.2, None),
    ],
)
def test_the_valid_fields_of_a_partial_reading_are_used_and_it_is_flagged(
    changes: dict[str, object], kw: float | None, kwh_total: float | None
) -> None:
    readings, reasons = parsed(message(**changes))
    assert [(r.kw, r.kwh_total, r.incomplete) for r in readings] == [(kw, kwh_total, True)]
    assert reasons == []


@pytest.mark.parametrize(
    ("changes", "seq", "quality"),
    [
        ({"seq": "1234"}, None, "measured"),
        ({"seq": -1}, None, "measured"),
        ({"seq": 2**63}, None, "measured"),
        ({"seq": True}, None, "measured"),
        ({"quality": 7}, 1234, "unknown"),
        ({"quality": None}, 1234, "unknown"),
    ],
)
def test_an_unusable_number_or_quality_is_omitted_and_flagged(
    changes: dict[str, object], seq: int | None, quality: str
) -> None:
    readings, reasons = parsed(message(**changes))
    assert [(r.kw, r.kwh_total, r.seq, r.quality, r.incomplete) for r in readings] == [
        (118.2, 991823.4, seq, quality, True)
    ]
    assert reasons == []


@pytest.mark.parametrize(
    "changes",
    [{"seq": None}, {"revision": None}, {"quality": "odd"}, {"seq": 5.0, "revision": 1.0}, {"seq": ...}],
)
def test_absent_fields_and_equivalent_spellings_are_not_flagged(changes: dict[str, object]) -> None:
    readings, reasons = parsed(message(**changes))
    assert ([r.incomplete for r in readings], reasons) == ([False], [])


def test_a_revision_above_the_maximum_is_clipped_and_flagged() -> None:
    readings, reasons = parsed(
        [message(revision=2**31 - 1), message(revision=2**31), message(revision=2**70)]
    )
    assert [(r.revision, r.incomplete) for r in readings] == [(2**31 - 1, False), *[(2**31 - 1, True)] * 2]
    assert reasons == []


def test_a_correction_with_an_unusable_revision_is_not_a_contradiction() -> None:
    first, corrected = message(kw=100.0, seq=5), message(kw=140.0, seq=5)
    readings, reasons = parsed([first, {**corrected, "revision": "1"}])
    assert ([r.kw for r in readings], reasons) == (
        [100.0],
        ["revision is no whole number from 0 on: '1'"],
    )
    readings, _ = parsed([first, {**corrected, "revision": 1.0}])
    assert max(readings, key=conflict_rank).kw == 140.0


def test_unknown_fields_of_a_newer_minor_schema_are_stored() -> None:
    readings, reasons = parsed(message(schema=1.2, phase_a_kw=40.0))
    assert reasons == []
    assert (readings[0].kw, readings[0].incomplete) == (118.2, False)
    assert json.loads(readings[0].extra or "") == {"phase_a_kw": 40.0}
    assert parsed(message(schema="1.10"))[1] == []


def test_oversized_or_unstorable_unknown_fields_are_dropped_without_the_reading() -> None:
    for odd in ({"note": "x" * 5_000}, {"note": "a\0b"}):
        readings, reasons = parsed(message(**odd))
        assert ([r.extra for r in readings], reasons) == ([None], [])


def test_a_gateway_may_report_all_meters_of_its_facility() -> None:
    own, other = message(facility_id="fac-001"), message(meter_id="m2")
    for plain in (True, False):  # decoded in one step, and field by field
        bodies = [own, other] if plain else [{**own, "more": 1}, {**other, "more": 1}]
        readings, reasons = parsed(bodies)
        assert [(r.facility_id, r.meter_id) for r in readings] == [("fac-001", "m1"), ("fac-001", "m2")]
        assert reasons == []


@pytest.mark.parametrize("more", [{}, {"more": 1}])
def test_a_reading_of_another_facility_is_malformed(more: dict[str, int]) -> None:
    readings, reasons = parsed([message(**more), message(facility_id="fac-002", **more)])
    assert [r.facility_id for r in readings] == ["fac-001"]
    assert reasons == ["the message names facility 'fac-002', its topic 'fac-001'"]


@pytest.mark.parametrize("meter_id", ["M2", "", "a/b", 7, "m" * 64])
def test_an_invalid_meter_id_of_a_gateway_is_malformed(meter_id: object) -> None:
    readings, reasons = parsed(message(meter_id=meter_id))
    assert readings == []
    assert reasons[0].startswith("meter_id is no valid meter id")


def test_a_truncated_message_is_malformed_and_reported_with_its_size() -> None:
    found = parse_message(TOPIC, b'{"ts":', now=NOW, size=10_485_760)
    assert found.readings == ()
    assert found.malformed == (
        MalformedReading(TOPIC, "the message has 10485760 bytes; at most 65536 are read", b'{"ts":'),
    )


def test_a_hostile_message_is_malformed() -> None:
    deep = b"[" * 30_000
    huge = b'{"ts":"2026-07-14T21:00:15Z","kw":1' + b"0" * 5_000 + b"}"
    early = message(ts="0001-01-01T00:00:00+23:59")
    late = message(ts="9999-12-31T23:59:59-23:59")
    for body in (deep, b'{"a":' * 10_000, huge, early, late, b'{"ts":1e999,"kw":1}', rb'"\ud800"'):
        readings, reasons = parsed(body)
        assert readings == []
        assert len(reasons) == 1


def test_the_traceparent_is_passed_on() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for body in (message(traceparent=trace), [message(traceparent=trace, more=1)]):
        assert parse_message(TOPIC, json.dumps(body).encode(), now=NOW).traceparent == trace


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"ts": "2026-07-14T21:00:15Z", "kw": NaN}', "not JSON"),
        (b"7", "a reading is a JSON object"),
        (b"[]", "a list of 0 readings"),
        ([message()] * 1_001, "the message has"),
        (b'{"a":"' + b"x" * MAX_MESSAGE_BYTES + b'"}', "the message has"),
        (message(schema=2), "schema '2' is not read here"),
        (message(schema=None), "schema 'None' is not read here"),
        (message(ts=...), "ts is no RFC 3339 time"),
        (message(ts="2026-07-14T21:00:15"), "ts is no RFC 3339 time"),
        (message(ts="2026-07-15T21:00:21Z"), "ts 2026-07-15T21:00:21+00:00 is more than a day in the future"),
        (message(ts="1970-01-01T00:00:00Z"), "ts 1970-01-01T00:00:00+00:00 is more than 400 days old"),
        (message(kw=1_000_001), "kw 1e+06 is outside"),
        (message(kw=-1_000_001), "kw -1e+06 is outside"),
        (message(kwh_total=1e13), "kwh_total 1e+13 is outside"),
        (message(kw=None, kwh_total="?"), "neither kw nor kwh_total is usable"),
        (message(revision=-1), "revision is no whole number"),
        (message(revision=True), "revision is no whole number"),
        (message(revision=1.5), "revision is no whole number"),
        (message(revision="3"), "revision is no whole number"),
    ],
)
def test_an_invalid_message_is_malformed_with_its_reason(body: object, reason: str) -> None:
    readings, reasons = parsed(body)
    assert readings == []
    assert len(reasons) == 1
    assert reasons[0].startswith(reason)


@pytest.mark.parametrize(
    "topic",
    ["meters/fac-001/readings", "meters/FAC/m1/readings", "meters/f/m 1/readings", "x/f/m/readings", ""],
)
def test_a_topic_without_a_meter_is_malformed(topic: str) -> None:
    readings, reasons = parsed(message(), topic)
    assert readings == []
    assert reasons[0].startswith("topic ")


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["ts", "kw", "schema", "x"]), inner)
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_payload_gives_readings_or_is_malformed(payload: bytes) -> None:
    found = parse_message(TOPIC, payload, now=NOW)
    assert found.readings or found.malformed


def test_unpacked_batches_equal_the_packed_ones() -> None:
    readings = [MeterReading("fac-001", "m1", NOW, None, 5.0, 7, "estimated", True, '{"a":1}')]
    batch = ReadingBatch(received_at=NOW, readings=readings)
    assert unpack(pack(batch)) == batch
    parked = MalformedMessages(received_at=NOW, malformed=[MalformedReading(TOPIC, "why", b"\xff")])
    assert unpack_malformed(pack(parked)) == parked
    for undo in (unpack, unpack_malformed):
        with pytest.raises(MalformedBatch):
            undo(b"\xc1")


def test_a_batch_without_the_newest_fields_is_read() -> None:
    old = {"received_at": NOW, "readings": [["fac-001", "m1", NOW, 1.0, 2.0]]}
    assert unpack(msgspec.msgpack.encode(old)).readings == [MeterReading("fac-001", "m1", NOW, 1.0, 2.0)]


def test_quality_codes_of_utilities_are_mapped_by_both_parsers() -> None:
    for more in ({}, {"more": 1}):
        for word, quality in (
            ("OK", "measured"),
            ("ESTIMATED", "estimated"),
            ("BAD", "bad"),
            ("odd", "unknown"),
        ):
            readings, _ = parsed(message(quality=word, revision=3, **more))
            assert [(r.quality, r.revision) for r in readings] == [(quality, 3)]
