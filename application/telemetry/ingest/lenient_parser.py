"""Lenient parser: checks a reading field by field, keeps what is valid, or gives the reason why it is
unusable."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, cast, get_args

import msgspec

from domain.event_sourcing.decoders import converted
from domain.telemetry.meter_reading import IDENTIFIER, MeterReading, Quality

SCHEMA_MAJOR = 1
MAX_EXTRA_BYTES = 2_048
MAX_REVISION = 2**31 - 1
_EXACT_FLOAT = 2**53
KNOWN_FIELDS = frozenset(
    {
        "schema",
        "ts",
        "seq",
        "kw",
        "kwh_total",
        "quality",
        "traceparent",
        "facility_id",
        "meter_id",
        "revision",
    }
)
QUALITY_WORDS: dict[str, Quality] = {
    **{quality: quality for quality in get_args(Quality)},
    "OK": "measured",
    "ESTIMATED": "estimated",
    "BAD": "bad",
    "MISSING": "missing",
}


class UnusableReading(ValueError):
    """The reason why a reading cannot be used."""


def lenient_reading(facility_id: str, meter_id: str, item: object) -> MeterReading:
    """A reading with the valid fields of `item`, one decoded JSON value. Raises UnusableReading."""
    if not isinstance(item, dict):
        raise UnusableReading("a reading is a JSON object")
    fields = cast("dict[str, Any]", item)
    _check_schema(fields.get("schema", SCHEMA_MAJOR))
    _check_facility(fields.get("facility_id"), facility_id)
    kw, kwh_total = _number(fields.get("kw")), _number(fields.get("kwh_total"))
    seq, quality = _checked_seq(fields.get("seq")), fields.get("quality", "measured")
    revision = _revision(fields.get("revision"))
    is_dropped = (seq is None and fields.get("seq") is not None) or not isinstance(quality, str)
    is_dropped = is_dropped or revision > MAX_REVISION
    return MeterReading(
        facility_id,
        _meter(fields.get("meter_id"), meter_id),
        _moment(fields.get("ts")),
        kw,
        kwh_total,
        seq,
        _quality(quality),
        is_dropped or kw is None or kwh_total is None,
        _extra(fields),
        min(revision, MAX_REVISION),
    )


def _check_schema(schema: object) -> None:
    major = str(schema).partition(".")[0]
    if major != str(SCHEMA_MAJOR):
        raise UnusableReading(
            f"schema {str(schema)[:20]!r} is not read here; {SCHEMA_MAJOR} or {SCHEMA_MAJOR}.x is"
        )


def _check_facility(named: object, facility_id: str) -> None:
    """A meter may report for its own facility only. The broker guarantees the facility of the topic."""
    if named is not None and named != facility_id:
        raise UnusableReading(f"the message names facility {str(named)[:80]!r}, its topic {facility_id!r}")


def _meter(named: object, meter_id: str) -> str:
    if named is None:
        return meter_id
    if not isinstance(named, str) or not IDENTIFIER.fullmatch(named):
        raise UnusableReading(f"meter_id is no valid meter id: {str(named)[:80]!r}")
    return named


def _moment(value: object) -> datetime:
    try:
        moment: datetime = converted(value, Annotated[datetime, msgspec.Meta(tz=True)])
    except msgspec.ValidationError:
        raise UnusableReading("ts is no RFC 3339 time with an offset") from None
    return moment


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _whole(value: object) -> int | None:
    """`value` where it is a whole number, including one written as 1.0."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT_FLOAT:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _checked_seq(value: object) -> int | None:
    seq = _whole(value)
    return seq if seq is not None and 0 <= seq < 2**63 else None


def _revision(value: object) -> int:
    """The revision; 0 without one. An invalid revision is refused: the correction would count as a
    contradiction, and the lower value would win."""
    if value is None:
        return 0
    revision = _whole(value)
    if revision is None or revision < 0:
        raise UnusableReading(f"revision is no whole number from 0 on: {str(value)[:80]!r}")
    return revision


def _quality(value: object) -> Quality:
    return QUALITY_WORDS.get(value, "unknown") if isinstance(value, str) else "unknown"


def _extra(fields: Mapping[str, Any]) -> str | None:
    unknown = {name: value for name, value in fields.items() if name not in KNOWN_FIELDS}
    if not unknown:
        return None
    encoded = msgspec.json.encode(unknown)
    # PostgreSQL's jsonb cannot hold NUL. A field that is too long or unusual is dropped, and the reading is
    # used.
    return None if len(encoded) > MAX_EXTRA_BYTES or b"\\u0000" in encoded else encoded.decode()
