"""Parses and checks the values of a readings file; every error names the file and the line.

Whole columns are converted at once. Only where that fails are they converted one by one, to find the line.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import isinf, nan
from pathlib import Path

import numpy as np
import pyarrow as pa

from application.ports.history_import import BadTimestamp, BadValue, LineArray, NaiveTimestamp, TimeArray
from domain.time_series.windows import FloatArray

LONGEST_ID = 200
UNPRINTABLE = "the facility has a character that cannot be printed"
LARGEST = 1e12
"""kWh or degrees: a larger value is invalid, and as kW could become infinite in the middle of an import."""


def starts_of_intervals(path: Path, lines: LineArray, written: Sequence[str]) -> TimeArray:
    """ISO 8601 times with their offsets, as datetime64[us] in UTC."""
    try:
        moments: TimeArray = pa.array(written, pa.string()).cast(pa.timestamp("us", "UTC")).to_numpy(False)
        return moments.astype("datetime64[us]")
    except pa.ArrowInvalid:
        parsed = [start_of_interval(path, int(n), value) for n, value in zip(lines, written, strict=True)]
        return np.array(parsed, dtype="datetime64[us]")


def numbers(path: Path, lines: LineArray, column: str, written: Sequence[str]) -> FloatArray:
    """Numbers of at most LARGEST, NaN for an empty field (or NaN)."""
    try:
        values = np.array([float(value) if value else nan for value in written], dtype=np.float64)
    except ValueError:
        values = np.full(len(written), np.inf)
    if (np.abs(values) > LARGEST).any():
        one_by_one = zip(lines, written, strict=True)
        return np.array([number(path, int(n), column, value) for n, value in one_by_one], dtype=np.float64)
    return values


def start_of_interval(path: Path, line: int, written: str) -> np.datetime64:
    """An ISO 8601 time with its offset, as datetime64[us] in UTC."""
    try:
        moment = datetime.fromisoformat(written.strip())
    except ValueError as error:
        raise BadTimestamp(path, line, f"timestamp {written!r} is not ISO 8601") from error
    if moment.tzinfo is None:
        raise NaiveTimestamp(
            path, line, f"timestamp {written!r} has no UTC offset; add Z or one such as +01:00"
        )
    try:
        return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")
    except OverflowError as error:
        raise BadTimestamp(path, line, f"timestamp {written!r} is outside the calendar") from error


def number(path: Path, line: int, column: str, written: str) -> float:
    """A number of at most LARGEST, NaN for an empty field (or NaN)."""
    if not written.strip():
        return nan
    try:
        value = float(written)
    except ValueError as error:
        raise BadValue(
            path, line, f"{column} {written!r} is not a number; leave it empty if missing"
        ) from error
    if isinf(value):
        raise BadValue(path, line, f"{column} {written!r} is not finite; leave it empty if missing")
    if abs(value) > LARGEST:
        raise BadValue(path, line, f"{column} {written!r} is beyond {LARGEST:g}; leave it empty if missing")
    return value


def text(path: Path, line: int, written: str) -> str:
    """A facility id: not empty, printable, and short enough that a batch of them fits into memory."""
    if not (facility_id := written.strip()):
        raise BadValue(path, line, "the facility is empty")
    if len(facility_id) > LONGEST_ID:
        raise BadValue(path, line, f"the facility {facility_id[:40]!r}... has over {LONGEST_ID} characters")
    if not facility_id.isprintable():
        raise BadValue(path, line, UNPRINTABLE)
    return facility_id
