"""Parsing of meter messages from MQTT.

The topic decides the facility; a message that names another one is rejected. A message that fits the schema
is decoded in one step by the fast parser. Any other message is checked field by field: valid fields are used
and the reading is flagged incomplete, unknown fields are stored beside it, and unusable readings are returned
with their reason.
"""

import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec

from application.command_bus.trace_context import trace_id_in
from application.ports.telemetry.meter_feed import MAX_PAYLOAD_BYTES, UNKNOWN_FACILITY
from application.telemetry.ingest.fast_parser import PlainReadings, ReadingMessage, parse_plain_readings
from application.telemetry.ingest.lenient_parser import (
    UnusableReading,
    lenient_reading,
)
from domain.event_sourcing.decoders import json_decoder
from domain.telemetry.meter_reading import (
    IDENTIFIER,
    OLDEST_READING,
    AbsurdReading,
    MeterReading,
    checked,
)

MAX_MESSAGE_BYTES = MAX_PAYLOAD_BYTES
MAX_READINGS_PER_MESSAGE = 1_000
MAX_PARKED_BYTES = MAX_MESSAGE_BYTES
"""The stored part of an oversized message in its dead letter."""

_TOPIC = re.compile(rf"meters/({IDENTIFIER.pattern})/({IDENTIFIER.pattern})/readings")


class MalformedReading(msgspec.Struct, frozen=True):
    """A message, or one reading of a list, that cannot be used."""

    topic: str
    reason: str
    body: bytes
    """The original bytes; of an oversized message the beginning."""


class ParsedMessage(msgspec.Struct, frozen=True):
    """The content of a meter message, all of the topic's facility. For a list both parts may be non-empty."""

    facility_id: str
    """UNKNOWN_FACILITY where the topic names none."""
    readings: Sequence[MeterReading]
    malformed: Sequence[MalformedReading]
    traceparent: str | None = None
    """As stated in the message, well-formed or not."""

    def has_older_than(self, moment: datetime) -> bool:
        readings = self.readings
        if isinstance(readings, PlainReadings):
            return readings.oldest_at < moment  # the usual case, without an object per reading
        return any(reading.ts < moment for reading in readings)


_decode_message = json_decoder(ReadingMessage | list[ReadingMessage]).decode
_decode_anything = msgspec.json.Decoder().decode
_as_sent = json_decoder(list[msgspec.Raw]).decode


def parse_message(
    topic: str, payload: bytes, *, now: datetime, size: int | None = None, oldest: timedelta = OLDEST_READING
) -> ParsedMessage:
    """The usable and the unusable readings of one MQTT message; never raises.

    `size` is the size of the message where `payload` is only its beginning; a reading older than `oldest` is unusable.
    """
    named = _TOPIC.fullmatch(topic)
    if named is None or len(payload) > MAX_MESSAGE_BYTES or (size is not None and size > len(payload)):
        return _unreadable(topic, payload, len(payload) if size is None else size)
    address = (named[1], named[2])
    try:
        return _parse(topic, payload, address, now, oldest)
    except RecursionError:
        return _unusable(named[1], topic, "JSON nested too deep", payload)


def _parse(
    topic: str, payload: bytes, address: tuple[str, str], now: datetime, oldest: timedelta
) -> ParsedMessage:
    """`address`: the topic's facility and meter."""
    facility_id, meter_id = address
    try:
        message = _decode_message(payload)
    except msgspec.ValidationError:
        return _parse_leniently(topic, payload, address, now, oldest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _unusable(facility_id, topic, _reason(error), payload)
    items = message if isinstance(message, list) else (message,)
    if 1 <= len(items) <= MAX_READINGS_PER_MESSAGE:
        readings = parse_plain_readings(facility_id, meter_id, items, now, oldest)
        if readings is not None:
            return ParsedMessage(facility_id, readings, (), items[0].traceparent)
    return _parse_leniently(topic, payload, address, now, oldest)


def items_of_readings(
    topic: str, payload: bytes, readings: Collection[MeterReading], malformed: Sequence[MalformedReading]
) -> bytes:
    """The part of a parsed message that `readings` come from, in a form that can be parsed again."""
    named = _TOPIC.fullmatch(topic)
    if named is None or not payload.lstrip().startswith(b"["):
        return payload
    unusable = {one.body for one in malformed}
    chosen = {(reading.meter_id, reading.ts) for reading in readings}
    items = []
    for item in map(bytes, _as_sent(payload)):
        if item not in unusable:
            reading = lenient_reading(named[1], named[2], _decode_anything(item))
            if (reading.meter_id, reading.ts) in chosen:
                items.append(item)
    return b"[" + b",".join(items) + b"]"


def unread_message(topic: str, payload: bytes, reason: str) -> ParsedMessage:
    """The message as a malformed one, without a look at its payload."""
    facility_id = UNKNOWN_FACILITY
    with suppress(UnusableReading):
        facility_id, _ = _addressed(topic)
    return _unusable(facility_id, topic, reason, payload[:MAX_PARKED_BYTES])


def _addressed(topic: str) -> tuple[str, str]:
    """The (facility, meter) of `meters/{facility_id}/{meter_id}/readings`. Raises ValueError."""
    named = _TOPIC.fullmatch(topic)
    if named is not None:
        return named[1], named[2]
    parts = topic.split("/")
    if len(parts) != 4 or parts[0] != "meters" or parts[3] != "readings":
        raise UnusableReading(f"topic {topic[:200]!r} is not meters/<facility>/<meter>/readings")
    name, value = ("meter", parts[2]) if IDENTIFIER.fullmatch(parts[1]) else ("facility", parts[1])
    raise UnusableReading(f"topic names no valid {name} id: {value[:80]!r}")


def first_valid_trace(*traces: str | None) -> str | None:
    """The first valid W3C `traceparent`. What a device sends becomes a header of the log and is archived, so
    invalid ones are dropped."""
    return next((trace for trace in traces if trace is not None and trace_id_in(trace)), None)


def _unreadable(topic: str, payload: bytes, size: int) -> ParsedMessage:
    facility_id = UNKNOWN_FACILITY
    try:
        facility_id, _ = _addressed(topic)
        reason = f"the message has {size} bytes; at most {MAX_MESSAGE_BYTES} are read"
    except UnusableReading as error:
        reason = str(error)
    return _unusable(facility_id, topic, reason, payload[:MAX_PARKED_BYTES])


def _unusable(facility_id: str, topic: str, reason: str, payload: bytes) -> ParsedMessage:
    return ParsedMessage(facility_id, (), (MalformedReading(topic, reason, payload),))


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, UnusableReading | AbsurdReading) else f"not JSON: {error}"


def _check_count(count: int) -> None:
    if not 1 <= count <= MAX_READINGS_PER_MESSAGE:
        raise UnusableReading(f"a list of {count} readings; 1 to {MAX_READINGS_PER_MESSAGE} are read")


def _parse_leniently(
    topic: str, payload: bytes, address: tuple[str, str], now: datetime, oldest: timedelta
) -> ParsedMessage:
    facility_id, meter_id = address
    try:
        message = _decode_anything(payload)
        items = message if isinstance(message, list) else [message]
        _check_count(len(items))
    except (UnusableReading, msgspec.DecodeError, UnicodeDecodeError) as error:
        return _unusable(facility_id, topic, _reason(error), payload)
    readings: list[MeterReading] = []
    malformed: list[MalformedReading] = []
    sent: Sequence[msgspec.Raw] | None = None
    for number, item in enumerate(items):
        try:
            readings.append(checked(lenient_reading(facility_id, meter_id, item), now=now, oldest=oldest))
        except (UnusableReading, AbsurdReading) as error:
            body = payload
            if len(items) > 1:
                sent = sent or _as_sent(payload)
                body = bytes(sent[number])
            malformed.append(MalformedReading(topic, _reason(error), body))
    first = items[0] if isinstance(items[0], dict) else {}
    traceparent = first.get("traceparent")
    return ParsedMessage(
        facility_id, readings, malformed, traceparent if isinstance(traceparent, str) else None
    )
