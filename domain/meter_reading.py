"""A meter's reading, what makes one absurd, and the partition of the telemetry log it belongs to."""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Literal
from zlib import crc32

import msgspec

PARTITIONS = 8
"""Partitions of the telemetry log. Changing it moves facilities between partitions: drain the log first."""

MALFORMED = PARTITIONS
"""The number of the partition beside them that holds malformed messages until they are parked."""

MAX_ABS_KW = 1_000_000.0
MAX_KWH_TOTAL = 1e12
OLDEST_READING = timedelta(days=400)
"""Older than this, a reading is taken for a meter with a broken clock."""
NEWEST_READING = timedelta(days=1)
"""Further ahead than this, likewise."""

IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

Quality = Literal["measured", "estimated", "substituted", "unknown"]


class AbsurdReading(ValueError):
    """A reading that no meter can mean; the text says which field and why."""


class MeterReading(msgspec.Struct, frozen=True, array_like=True):
    """One reading of one meter. In the telemetry log it is an array: fields are only ever appended.

    At least one of `kw` (mean power since the last reading, kW) and `kwh_total` (register, kWh) is there.
    """

    facility_id: str
    meter_id: str
    ts: datetime
    """UTC."""
    kw: float | None
    kwh_total: float | None
    seq: int | None = None
    quality: Quality = "measured"
    incomplete: bool = False
    """Whether a field was missing or unusable; the others are valid."""
    extra: str | None = None
    """Fields that this version does not know, as a JSON object."""


def partition_of(facility_id: str) -> int:
    """The partition of the telemetry log that holds all readings of `facility_id`."""
    return crc32(facility_id.encode()) % PARTITIONS


def checked(reading: MeterReading, *, now: datetime) -> MeterReading:
    """`reading` with its time in UTC. Raises AbsurdReading for a value that no meter can mean."""
    if reading.ts.utcoffset() is None:
        raise AbsurdReading(f"ts {reading.ts.isoformat()} has no UTC offset")
    if reading.kw is None and reading.kwh_total is None:
        raise AbsurdReading("neither kw nor kwh_total is usable")
    _check_value("kw", reading.kw, -MAX_ABS_KW, MAX_ABS_KW)
    _check_value("kwh_total", reading.kwh_total, -MAX_KWH_TOTAL, MAX_KWH_TOTAL)
    if reading.ts > now + NEWEST_READING:
        raise AbsurdReading(f"ts {reading.ts.isoformat()} is more than a day in the future")
    if reading.ts < now - OLDEST_READING:
        raise AbsurdReading(f"ts {reading.ts.isoformat()} is more than {OLDEST_READING.days} days old")
    if reading.ts.tzinfo is UTC:
        return reading
    return msgspec.structs.replace(reading, ts=reading.ts.astimezone(UTC))


def _check_value(name: str, value: float | None, low: float, high: float) -> None:
    if value is None:
        return
    if not math.isfinite(value):
        raise AbsurdReading(f"{name} is not a finite number")
    if not low <= value <= high:
        raise AbsurdReading(f"{name} {value:g} is outside {low:g} .. {high:g}")
