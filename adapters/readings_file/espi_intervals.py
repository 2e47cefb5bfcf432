"""The intervals of a Green Button feed, one by one, in the file's order."""

from collections.abc import Iterator, Sequence
from math import nan
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adapters.readings_file.espi_catalogue import whole_number
from adapters.readings_file.espi_series import Series
from adapters.readings_file.xml_walk import walk
from application.ports.history_import import QUALITIES, BadTimestamp, BadValue, ReadingsBatch
from domain.time_series.interval_block import LONGEST_STEP_S

_LATEST_START_S = 4_102_444_800
"""The year 2100: a later time was written in milliseconds, or is invalid."""
_QUALITY_CODES = {
    "8": "estimated",
    "9": "estimated",
    "10": "questionable",
    "12": "projected",
    "13": "questionable",
}
"""NAESB's QualityOfReading. Every other code (valid, validated, verified, revenue quality, raw ...) is measured."""
_MEASURED, _PROJECTED = QUALITIES.index("measured"), QUALITIES.index("projected")


class Row(NamedTuple):
    """An interval; `load_kwh` is signed, NaN where missing."""

    starts_at_s: int
    duration_s: int
    load_kwh: float
    quality: int
    """An index into QUALITIES."""
    line: int


class _Intervals:
    """Visits the feed and collects rows with the series of each."""

    def __init__(self, path: Path, by_block: Sequence[Series | None]) -> None:
        self._path, self._by_block = path, by_block
        self._entry = -1
        self._series: Series | None = None
        self._next_s: int | None = None
        """The start of the block's next interval, if it does not give one itself."""
        self._parents: list[str] = []
        self._reading: dict[str, str] | None = None
        self._quality = _MEASURED
        self.rows: list[tuple[Series, Row]] = []

    def begin(self, name: str, _attributes: dict[str, str], _line: int) -> None:
        self._parents.append(name)
        if name == "atom:entry":
            self._entry += 1
            self._series = self._by_block[self._entry] if self._entry < len(self._by_block) else None
        elif self._series is None:
            return
        elif name == "espi:IntervalBlock":
            self._next_s = None
        elif name == "espi:IntervalReading":
            self._reading, self._quality = {}, _quality_of(self._series.default_quality)

    def end(self, name: str, text: str, line: int) -> None:
        self._parents.pop()
        if name == "atom:entry":
            self._series = None
        if self._series is None:
            return
        parent = self._parents[-1] if self._parents else ""
        if name == "espi:IntervalReading" and self._reading is not None:
            self.rows.append((self._series, self._row(self._series, self._reading, line)))
            self._reading = None
        elif self._reading is None:
            if name == "espi:start" and parent == "espi:interval":
                self._next_s = self._start(text, line)
        elif name == "espi:quality" and parent == "espi:ReadingQuality":
            self._quality = max(self._quality, _quality_of(text))
        elif (name == "espi:value" and parent == "espi:IntervalReading") or parent == "espi:timePeriod":
            self._reading[name] = text

    def _row(self, series: Series, reading: dict[str, str], line: int) -> Row:
        duration_s = series.interval_s
        if "espi:duration" in reading:
            duration_s = whole_number(self._path, line, "duration", reading["espi:duration"])
        if not 1 <= duration_s <= LONGEST_STEP_S:
            raise BadValue(self._path, line, f"an interval of {duration_s} s; 1 to {LONGEST_STEP_S} are read")
        starts_at_s = self._next_s
        if "espi:start" in reading:
            starts_at_s = self._start(reading["espi:start"], line)
        if starts_at_s is None:
            raise BadTimestamp(self._path, line, "neither the interval nor its block says when it starts")
        self._next_s = starts_at_s + duration_s
        load_kwh = nan
        if reading.get("espi:value") and self._quality != _PROJECTED:
            value = whole_number(self._path, line, "value", reading["espi:value"])
            hours = duration_s / 3_600 if series.is_power else 1.0
            load_kwh = series.sign * value * series.kilo_factor * hours
        return Row(starts_at_s, duration_s, load_kwh, self._quality, line)

    def _start(self, written: str, line: int) -> int:
        """Seconds since 1970 in UTC, independent of the local time (REQ.21, TimeType)."""
        start = whole_number(self._path, line, "start", written)
        if not 0 <= start < _LATEST_START_S:
            raise BadTimestamp(self._path, line, f"start {start} is no time in seconds between 1970 and 2100")
        return start


def _quality_of(code: str) -> int:
    return QUALITIES.index(_QUALITY_CODES.get(code, "measured"))


def intervals(path: Path, by_block: Sequence[Series | None]) -> Iterator[tuple[Series, Row]]:
    """Raises a ReadingsFileError."""
    result = _Intervals(path, by_block)
    for _ in walk(path, result):
        yield from result.rows
        result.rows.clear()


def batch_of_intervals(rows: Sequence[tuple[Series, Row]]) -> ReadingsBatch:
    return ReadingsBatch(
        np.array([series.facility_id for series, _ in rows], dtype=np.str_),
        np.array([row.starts_at_s for _, row in rows], dtype="datetime64[s]").astype("datetime64[us]"),
        np.array([row.load_kwh for _, row in rows], dtype=np.float64),
        np.full(len(rows), np.nan),
        np.array([row.line for _, row in rows], dtype=np.int64),
        np.array([row.quality for _, row in rows], dtype=np.int8),
        np.array([row.duration_s for _, row in rows], dtype=np.int64),
    )
