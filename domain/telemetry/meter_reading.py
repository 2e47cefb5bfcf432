"""A meter reading: its validation, its conflict rank, and its partition of the telemetry log."""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Literal
from zlib import crc32

import msgspec

PARTITIONS = 8
"""The number of partitions of the telemetry log. A change moves facilities between partitions: drain the log
first."""

MALFORMED = PARTITIONS
"""The number of the additional partition that holds malformed messages until they are parked."""

ALL_PARTITIONS = (*range(PARTITIONS), MALFORMED)

MAX_ABS_KW = 1_000_000.0
MAX_KWH_TOTAL = 1e12
OLDEST_READING = timedelta(days=400)
"""A reading older than this is refused: the meter's clock is wrong. Where readings are kept for a shorter time, older
ones are refused likewise."""
NEWEST_READING = timedelta(days=1)
"""A reading further in the future than this is refused for the same reason."""

IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

Quality = Literal["measured", "substituted", "estimated", "unknown", "bad", "missing"]

TRUST: tuple[Quality, ...] = ("missing", "bad", "unknown", "estimated", "substituted", "measured")
"""From the least to the most trusted."""

UNUSABLE: frozenset[Quality] = frozenset({"bad", "missing"})
"""Qualities that are not measurements: they are stored, but not used for mean, energy or coverage."""

REPLACED_VALUES: frozenset[Quality] = frozenset({"estimated", "substituted"})
"""Estimates in place of measurements: they are used, and counted separately."""


class AbsurdReading(ValueError):
    """A reading with an impossible value; the message names the field and the reason."""


class MeterReading(msgspec.Struct, frozen=True, array_like=True):
    """A reading of one meter. In the telemetry log it is an array: fields are only ever appended.

    At least one of `kw` (mean power since the last reading, kW) and `kwh_total` (register, kWh) is present,
    unless the quality says that it is not a measurement.
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
    """Fields that this version does not define, as a JSON object."""
    revision: int = 0
    """The revision of this meter's value for this moment: a higher one replaces a lower one."""


def checksum_of(facility_id: str) -> int:
    """CRC-32 of the id (ITU-T V.42), from which the partition is derived."""
    return crc32(facility_id.encode())


def partition_of(facility_id: str) -> int:
    """The partition of the telemetry log that holds all readings of `facility_id`."""
    return checksum_of(facility_id) % PARTITIONS


def checked(reading: MeterReading, *, now: datetime, oldest: timedelta = OLDEST_READING) -> MeterReading:
    """`reading` with its time in UTC. Raises AbsurdReading for an impossible value or one older than `oldest`."""
    if reading.ts.utcoffset() is None:
        raise AbsurdReading(f"ts {reading.ts.isoformat()} has no UTC offset")
    if reading.kw is None and reading.kwh_total is None and reading.quality not in UNUSABLE:
        raise AbsurdReading("neither kw nor kwh_total is usable")
    _check_value("kw", reading.kw, -MAX_ABS_KW, MAX_ABS_KW)
    _check_value("kwh_total", reading.kwh_total, -MAX_KWH_TOTAL, MAX_KWH_TOTAL)
    if reading.ts > now + NEWEST_READING:
        raise AbsurdReading(f"ts {reading.ts.isoformat()} is more than a day in the future")
    if reading.ts < now - oldest:
        raise AbsurdReading(f"ts {reading.ts.isoformat()} is more than {oldest.days} days old")
    if reading.ts.tzinfo is UTC:
        return reading
    return msgspec.structs.replace(reading, ts=reading.ts.astimezone(UTC))


def conflict_rank(reading: MeterReading) -> tuple[int, int, int, float, float, bool, str]:
    """The rank of a reading: of two readings of one meter and moment, the one with the higher rank counts.

    The rank orders by revision, quality and the meter's own sequence number. If a meter still contradicts
    itself, the lower value counts. Any rule is suitable that does not depend on the order of arrival.
    """
    return (
        reading.revision,
        TRUST.index(reading.quality),
        -1 if reading.seq is None else reading.seq,
        -math.inf if reading.kw is None else -reading.kw,
        -math.inf if reading.kwh_total is None else -reading.kwh_total,
        not reading.incomplete,
        reading.extra or "",
    )


def _check_value(name: str, value: float | None, low: float, high: float) -> None:
    if value is None:
        return
    if not math.isfinite(value):
        raise AbsurdReading(f"{name} is not a finite number")
    if not low <= value <= high:
        raise AbsurdReading(f"{name} {value:g} is outside {low:g} .. {high:g}")
