"""Meter messages as they come over MQTT, and the packed form in which readings travel in the telemetry log.

The topic decides whose reading it is. A message that fits the schema is decoded in one step; anything else
is looked at field by field: what is valid is kept and flagged incomplete, unknown fields are kept beside
it, and what cannot be used is handed back with its reason.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, cast, get_args

import msgspec

from domain.meter_reading import IDENTIFIER, AbsurdReading, MeterReading, Quality, checked

SCHEMA_MAJOR = 1
MAX_MESSAGE_BYTES = 65_536
MAX_READINGS_PER_MESSAGE = 1_000
MAX_EXTRA_BYTES = 2_048
MAX_PARKED_BYTES = MAX_MESSAGE_BYTES
"""Of an oversized message only so much is kept with its dead letter."""

QUALITIES = frozenset(get_args(Quality))
KNOWN_FIELDS = frozenset({"schema", "ts", "seq", "kw", "kwh_total", "quality", "traceparent"})


class _ReadingMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A complete reading of schema 1."""

    ts: Annotated[datetime, msgspec.Meta(tz=True)]
    kw: float
    kwh_total: float
    schema: Annotated[int, msgspec.Meta(ge=SCHEMA_MAJOR, le=SCHEMA_MAJOR)] = SCHEMA_MAJOR
    seq: int | None = None
    quality: Quality = "measured"
    traceparent: str | None = None


class MalformedReading(msgspec.Struct, frozen=True):
    """A message, or one reading of a list, that cannot be used."""

    topic: str
    reason: str
    body: bytes


class ParsedMessage(msgspec.Struct, frozen=True):
    """What a meter message holds; both parts may be non-empty for a list."""

    readings: tuple[MeterReading, ...]
    malformed: tuple[MalformedReading, ...]
    traceparent: str | None = None


class _Unusable(ValueError):
    """The reason why a reading cannot be used."""


class MalformedBatch(ValueError):
    """A packed message of the telemetry log that cannot be decoded."""


class ReadingBatch(msgspec.Struct, frozen=True, kw_only=True):
    """What one message of the telemetry log holds: readings of one partition."""

    received_at: datetime
    """When ingest took the first of them."""
    readings: list[MeterReading]


class MalformedMessages(msgspec.Struct, frozen=True, kw_only=True):
    """What one message of the log's malformed partition holds, on its way to the dead letters."""

    received_at: datetime
    malformed: list[MalformedReading]


_decode_message = msgspec.json.Decoder(_ReadingMessage | list[_ReadingMessage]).decode
_decode_anything = msgspec.json.Decoder().decode
_decode_batch = msgspec.msgpack.Decoder(ReadingBatch).decode
_decode_malformed = msgspec.msgpack.Decoder(MalformedMessages).decode
_encode = msgspec.msgpack.Encoder().encode


def pack(batch: ReadingBatch | MalformedMessages) -> bytes:
    """As it travels in the telemetry log."""
    return _encode(batch)


def unpack(body: bytes) -> ReadingBatch:
    """The inverse of `pack`. Raises MalformedBatch."""
    try:
        return _decode_batch(body)
    except (msgspec.DecodeError, ValueError) as error:
        raise MalformedBatch(f"not a packed batch of readings: {error}") from error


def unpack_malformed(body: bytes) -> MalformedMessages:
    """Likewise for the malformed partition. Raises MalformedBatch."""
    try:
        return _decode_malformed(body)
    except (msgspec.DecodeError, ValueError) as error:
        raise MalformedBatch(f"not a packed batch of malformed messages: {error}") from error


def parse_message(topic: str, payload: bytes, *, now: datetime) -> ParsedMessage:
    """The usable and the unusable readings of one MQTT message; never raises."""
    try:
        facility_id, meter_id = addressed(topic)
        if len(payload) > MAX_MESSAGE_BYTES:
            raise _Unusable(f"the message has {len(payload)} bytes; at most {MAX_MESSAGE_BYTES} are read")
        try:
            message = _decode_message(payload)
        except msgspec.ValidationError:
            return _parse_leniently(topic, payload, facility_id, meter_id, now)
    except (_Unusable, msgspec.DecodeError, UnicodeDecodeError) as error:
        return ParsedMessage((), (MalformedReading(topic, _reason(error), payload[:MAX_PARKED_BYTES]),))
    items = message if isinstance(message, list) else [message]
    try:
        _check_count(len(items))
        readings = tuple(checked(_typed_reading(facility_id, meter_id, item), now=now) for item in items)
    except (_Unusable, AbsurdReading):
        return _parse_leniently(topic, payload, facility_id, meter_id, now)
    return ParsedMessage(readings, (), items[0].traceparent)


def addressed(topic: str) -> tuple[str, str]:
    """The (facility, meter) of `meters/{facility_id}/{meter_id}/readings`. Raises ValueError."""
    parts = topic.split("/")
    if len(parts) != 4 or parts[0] != "meters" or parts[3] != "readings":
        raise _Unusable(f"topic {topic[:200]!r} is not meters/<facility>/<meter>/readings")
    for name, value in (("facility", parts[1]), ("meter", parts[2])):
        if not IDENTIFIER.fullmatch(value):
            raise _Unusable(f"topic names no valid {name} id: {value[:80]!r}")
    return parts[1], parts[2]


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, _Unusable | AbsurdReading) else f"not JSON: {error}"


def _check_count(count: int) -> None:
    if not 1 <= count <= MAX_READINGS_PER_MESSAGE:
        raise _Unusable(f"a list of {count} readings; 1 to {MAX_READINGS_PER_MESSAGE} are read")


def _typed_reading(facility_id: str, meter_id: str, item: _ReadingMessage) -> MeterReading:
    return MeterReading(
        facility_id, meter_id, item.ts, item.kw, item.kwh_total, _checked_seq(item.seq), item.quality
    )


def _parse_leniently(
    topic: str, payload: bytes, facility_id: str, meter_id: str, now: datetime
) -> ParsedMessage:
    try:
        message = _decode_anything(payload)
        items = message if isinstance(message, list) else [message]
        _check_count(len(items))
    except (_Unusable, msgspec.DecodeError, UnicodeDecodeError) as error:
        return ParsedMessage((), (MalformedReading(topic, _reason(error), payload),))
    readings: list[MeterReading] = []
    malformed: list[MalformedReading] = []
    for item in items:
        try:
            readings.append(checked(_lenient_reading(facility_id, meter_id, item), now=now))
        except (_Unusable, AbsurdReading) as error:
            body = payload if len(items) == 1 else msgspec.json.encode(item)
            malformed.append(MalformedReading(topic, _reason(error), body))
    first = items[0] if isinstance(items[0], dict) else {}
    traceparent = first.get("traceparent")
    return ParsedMessage(
        tuple(readings), tuple(malformed), traceparent if isinstance(traceparent, str) else None
    )


def _lenient_reading(facility_id: str, meter_id: str, item: object) -> MeterReading:
    if not isinstance(item, dict):
        raise _Unusable("a reading is a JSON object")
    fields = cast("dict[str, Any]", item)
    _check_schema(fields.get("schema", SCHEMA_MAJOR))
    kw, kwh_total = _number(fields.get("kw")), _number(fields.get("kwh_total"))
    return MeterReading(
        facility_id,
        meter_id,
        _moment(fields.get("ts")),
        kw,
        kwh_total,
        _checked_seq(fields.get("seq")),
        _quality(fields.get("quality", "measured")),
        kw is None or kwh_total is None,
        _extra(fields),
    )


def _check_schema(schema: object) -> None:
    major = str(schema).partition(".")[0]
    if major != str(SCHEMA_MAJOR):
        raise _Unusable(
            f"schema {str(schema)[:20]!r} is not read here; {SCHEMA_MAJOR} or {SCHEMA_MAJOR}.x is"
        )


def _moment(value: object) -> datetime:
    try:
        moment: datetime = msgspec.convert(value, Annotated[datetime, msgspec.Meta(tz=True)])
    except msgspec.ValidationError:
        raise _Unusable("ts is no RFC 3339 time with an offset") from None
    return moment


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _checked_seq(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value < 2**63 else None


def _quality(value: object) -> Quality:
    return cast("Quality", value) if isinstance(value, str) and value in QUALITIES else "unknown"


def _extra(fields: Mapping[str, Any]) -> str | None:
    unknown = {name: value for name, value in fields.items() if name not in KNOWN_FIELDS}
    if not unknown:
        return None
    encoded = msgspec.json.encode(unknown)
    # PostgreSQL's jsonb cannot hold NUL; a field that long or odd is not worth the reading.
    if len(encoded) > MAX_EXTRA_BYTES or b"\\u0000" in encoded:
        return None
    return encoded.decode()
