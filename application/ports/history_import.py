"""Readings files: a history of load and temperature from outside (CSV, Parquet or Green Button XML).

CSV and Parquet have the columns `facility,timestamp,load_kwh[,temp_c]`: the start of an interval with its UTC
offset, the energy in it, and the outdoor temperature. An empty or NaN value is missing.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from numpy.typing import NDArray

from domain.time_series.windows import FloatArray, IntervalSeries

TimeArray = NDArray[np.datetime64]
LineArray = NDArray[np.int64]
OnRead = Callable[[int], None]
"""Called with the number of rows read so far."""


QUALITIES = ("measured", "estimated", "questionable", "projected")
"""The quality that a file may state for a row. A projected row is not a measurement and counts as missing."""


class ClockChange(NamedTuple):
    """A moment at which local clocks are put forward (or back, if negative)."""

    at: datetime
    """UTC."""
    shift_s: int


class ReadingsBatch(msgspec.Struct, frozen=True, eq=False):
    """Some rows of a file, unchanged; every array has shape (n,)."""

    facility_ids: NDArray[np.str_]
    starts_at: TimeArray
    """datetime64[us], UTC."""
    load_kwh: FloatArray
    """NaN where missing."""
    temp_c: FloatArray
    lines: LineArray
    """The line (CSV, the header is 1; XML) or row (Parquet, the first is 1) of each row in the file."""
    quality: NDArray[np.int8] | None = None
    """Index into QUALITIES; None: the file states no quality."""
    duration_s: LineArray | None = None
    """The stated length of each row's interval; None: the file states none."""

    def rows(self, chosen: NDArray[Any]) -> "ReadingsBatch":
        """The chosen rows: a mask, or indices."""
        return ReadingsBatch(
            self.facility_ids[chosen],
            self.starts_at[chosen],
            self.load_kwh[chosen],
            self.temp_c[chosen],
            self.lines[chosen],
            None if self.quality is None else self.quality[chosen],
            None if self.duration_s is None else self.duration_s[chosen],
        )

    @classmethod
    def joined(cls, parts: "Sequence[ReadingsBatch]") -> "ReadingsBatch":
        """The batches one after the other, at least one. Quality and duration only where every part has them."""
        quality = [part.quality for part in parts if part.quality is not None]
        duration_s = [part.duration_s for part in parts if part.duration_s is not None]
        return cls(
            np.concatenate([part.facility_ids for part in parts]),
            np.concatenate([part.starts_at for part in parts]),
            np.concatenate([part.load_kwh for part in parts]),
            np.concatenate([part.temp_c for part in parts]),
            np.concatenate([part.lines for part in parts]),
            np.concatenate(quality) if len(quality) == len(parts) else None,
            np.concatenate(duration_s) if len(duration_s) == len(parts) else None,
        )

    def by_facility(self) -> "Iterator[tuple[str, ReadingsBatch]]":
        """The rows of each facility, in their order."""
        ids, which = np.unique(self.facility_ids, return_inverse=True)
        order = np.argsort(which, kind="stable")
        for facility_id, chosen in zip(ids, np.split(order, np.cumsum(np.bincount(which))[:-1]), strict=True):
            yield str(facility_id), self.rows(chosen)


class FacilityReadings(msgspec.Struct, frozen=True, eq=False):
    """All rows of one facility in order of time, without duplicates, on steps of `step_s` seconds."""

    facility_id: str
    step_s: int
    starts_at: TimeArray
    """datetime64[us], UTC, shape (n,); rows that are missing in the file are missing here too."""
    load_kwh: FloatArray
    temp_c: FloatArray

    def load_kw(self) -> IntervalSeries:
        """Mean kW of every step from the first to the last row, NaN where missing."""
        return self._series(self.load_kwh).kw_from_kwh()

    def temperature_c(self) -> IntervalSeries:
        """Degrees Celsius of every step from the first to the last row, NaN where missing."""
        return self._series(self.temp_c)

    def _series(self, column: FloatArray) -> IntervalSeries:
        offsets_us = (self.starts_at - self.starts_at[0]).astype(np.int64)
        steps = offsets_us // (self.step_s * 1_000_000)
        values = np.full(int(steps[-1]) + 1, np.nan)
        values[steps] = column
        first = self.starts_at[0].astype("datetime64[us]").astype(datetime)
        return IntervalSeries(first.replace(tzinfo=UTC), self.step_s, values)


class ReadingsFileError(ValueError):
    """Part of a readings file cannot be used. The message begins with the file and, where available, the
    line."""

    def __init__(self, path: Path, line: int | None, problem: str) -> None:
        super().__init__(f"{path}:{line}: {problem}" if line is not None else f"{path}: {problem}")
        self.path, self.line, self.problem = path, line, problem


class UnreadableFile(ReadingsFileError):
    """The file is absent, or its content does not match its extension."""


class UnknownFileKind(ReadingsFileError):
    """The name ends in none of .csv, .parquet and .xml."""


class MissingColumn(ReadingsFileError):
    """A required column is missing."""


class BadTimestamp(ReadingsFileError):
    """A timestamp is empty or not ISO 8601."""


class NaiveTimestamp(ReadingsFileError):
    """A timestamp has no UTC offset."""


class BadValue(ReadingsFileError):
    """A load or temperature is not a finite number, a facility is empty, or a row has too few columns."""


class DuplicateReading(ReadingsFileError):
    """A facility has two rows for one moment."""


class IrregularStep(ReadingsFileError):
    """The rows of a facility are not on regular steps, or are too few to tell."""


class UnknownTimeZone(ReadingsFileError):
    """The facilities.csv beside the file names a time zone that does not exist."""


class FacilityNotInFile(ReadingsFileError):
    """A requested facility has no row."""


class UnknownFacilities(ReadingsFileError):
    """The portfolio does not have facilities that the file has rows of."""


class FutureRows(ReadingsFileError):
    """Rows are of intervals that are not over."""


class FileChanged(ReadingsFileError):
    """The file has changed since it was read."""


class NoRoomToSort(ReadingsFileError):
    """The disk has too little space to sort the rows."""


class TooManyFacilities(ReadingsFileError):
    """The file has more facilities than supported."""


class OrderedReadings(Protocol):
    """The rows of a file in order, as they were when it was read; may be larger than memory."""

    @property
    def path(self) -> Path: ...

    @property
    def facility_ids(self) -> Sequence[str]:
        """The facilities that have a row, sorted."""
        ...

    def rows_of(self, facility_id: str) -> Iterator[ReadingsBatch]:
        """In order of time; rows of one moment in the file's order. May be called any number of times."""
        ...

    def refuse_if_changed(self) -> None:
        """Raises FileChanged where the file has changed since it was read, UnreadableFile where it is gone."""
        ...


class ReadingsFile(Protocol):
    """A file. Every method reads it from the start, in batches, and raises a ReadingsFileError."""

    def batches(self, facility_ids: Collection[str] | None = None) -> Iterator[ReadingsBatch]:
        """The rows of the given facilities (None: of all) in the file's order; duplicates are not checked."""
        ...

    def ordered(
        self, facility_ids: Collection[str] | None = None, *, on_read: OnRead = lambda _rows: None
    ) -> AbstractContextManager[OrderedReadings]:
        """The rows of `batches`, sorted in bounded memory; duplicates are not checked."""
        ...

    def read(self, facility_ids: Collection[str] | None = None) -> Mapping[str, FacilityReadings]:
        """Each facility's rows, sorted and checked, by id in order; all in memory."""
        ...

    def time_zones(self) -> Mapping[str, ZoneInfo]:
        """The time zones that a `facilities.csv` beside the file states; empty without one."""
        ...

    def clock_changes(self, first_year: int, last_year: int) -> Mapping[str, list[ClockChange]]:
        """When clocks change at the facilities, as far as the file or the one beside it says; in order."""
        ...

    def exporters(self) -> frozenset[str]:
        """Facilities for which the file also has the energy fed into the grid: their load may be negative."""
        ...
