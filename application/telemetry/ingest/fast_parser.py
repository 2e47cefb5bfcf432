"""Fast parser: readings of messages without irregularities stay as decoded; no object is made for each
reading."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import compress
from typing import Annotated, Literal

import msgspec

from application.command_bus.trace_context import USUAL_CHARACTERS
from application.telemetry.ingest.lenient_parser import MAX_REVISION, QUALITY_WORDS, SCHEMA_MAJOR
from domain.telemetry.meter_reading import (
    IDENTIFIER,
    MAX_ABS_KW,
    MAX_KWH_TOTAL,
    NEWEST_READING,
    OLDEST_READING,
    MeterReading,
    Quality,
)
from domain.telemetry.reading_block import SEPARATOR, LazyReadings

_METER_IDS = re.compile(rf"(?:{IDENTIFIER.pattern}{SEPARATOR})*{IDENTIFIER.pattern}")


class ReadingMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A complete reading of schema 1. The bounds are those of domain.telemetry.meter_reading.checked."""

    ts: Annotated[datetime, msgspec.Meta(tz=True)]
    kw: Annotated[float, msgspec.Meta(ge=-MAX_ABS_KW, le=MAX_ABS_KW)]
    kwh_total: Annotated[float, msgspec.Meta(ge=-MAX_KWH_TOTAL, le=MAX_KWH_TOTAL)]
    schema: Annotated[int, msgspec.Meta(ge=SCHEMA_MAJOR, le=SCHEMA_MAJOR)] = SCHEMA_MAJOR
    seq: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None
    quality: Quality | Literal["OK", "ESTIMATED", "BAD", "MISSING"] = "measured"
    revision: Annotated[int, msgspec.Meta(ge=0, le=MAX_REVISION)] = 0
    traceparent: Annotated[str, msgspec.Meta(max_length=USUAL_CHARACTERS)] | None = None
    """A longer one goes to the lenient parser, since decoded messages are buffered and counted as readings."""
    facility_id: str | None = None
    """Optional; must be the topic's."""
    meter_id: str | None = None
    """The meter, where a gateway sends for several; else the topic's."""


class PlainReadings(LazyReadings):
    """The readings of one message, at least one. Iterates as readings; batch_codec.py reads it as columns."""

    __slots__ = ("facility_id", "items", "meter_ids", "oldest_at")

    def __init__(
        self, facility_id: str, meter_ids: str, items: Sequence[ReadingMessage], oldest_at: datetime
    ) -> None:
        self.facility_id = facility_id
        self.meter_ids = meter_ids
        """Meter ids, separated by SEPARATOR."""
        self.items = items
        self.oldest_at = oldest_at
        """No reading is older."""

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[MeterReading]:
        for meter_id, item in zip(self.meter_ids.split(SEPARATOR), self.items, strict=True):
            yield MeterReading(
                self.facility_id,
                meter_id,
                item.ts.astimezone(UTC),
                item.kw,
                item.kwh_total,
                item.seq,
                QUALITY_WORDS[item.quality],
                revision=item.revision,
            )

    def chosen(self, chosen: Sequence[bool]) -> Sequence[MeterReading]:
        """Some of the readings; `chosen` has an element for each."""
        items = list(compress(self.items, chosen))
        if not items:
            return ()
        meter_ids = SEPARATOR.join(compress(self.meter_ids.split(SEPARATOR), chosen))
        return PlainReadings(self.facility_id, meter_ids, items, self.oldest_at)


def parse_plain_readings(
    facility_id: str,
    meter_id: str,
    items: Sequence[ReadingMessage],
    now: datetime,
    oldest: timedelta = OLDEST_READING,
) -> PlainReadings | None:
    """The readings, or None where one of `items` needs the lenient parser."""
    moments = [item.ts for item in items]
    oldest_at = min(moments)
    if oldest_at < now - oldest or max(moments) > now + NEWEST_READING:
        return None
    for item in items:
        if item.facility_id is not None and item.facility_id != facility_id:
            return None
    meter_ids = SEPARATOR.join([meter_id if item.meter_id is None else item.meter_id for item in items])
    is_known = meter_ids == meter_id
    # The separator may occur within an id that a meter sent.
    if is_known or (meter_ids.count(SEPARATOR) == len(items) - 1 and _METER_IDS.fullmatch(meter_ids)):
        return PlainReadings(facility_id, meter_ids, items, oldest_at)
    return None


def facility_of(readings: Sequence[MeterReading]) -> str:
    """The facility of the readings of one message, at least one."""
    return readings.facility_id if isinstance(readings, PlainReadings) else readings[0].facility_id
