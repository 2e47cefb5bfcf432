"""Readings files: a history of load and temperature as somebody hands it over (CSV or Parquet).

Columns `facility,timestamp,load_kwh[,temp_c]`: the start of an interval with its UTC offset, the energy in it, and the
outdoor temperature. An empty or NaN value is missing.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from numpy.typing import NDArray

from domain.time_windows import FloatArray, IntervalSeries

TimeArray = NDArray[np.datetime64]
LineArray = NDArray[np.int64]


class ReadingsBatch(msgspec.Struct, frozen=True, eq=False):
    """Some rows of a file, as they stand there; every array has shape (n,)."""

    facility_ids: NDArray[np.str_]
    starts_at: TimeArray
    """datetime64[us], UTC."""
    load_kwh: FloatArray
    """NaN where missing."""
    temp_c: FloatArray
    lines: LineArray
    """The line (CSV, the header is 1) or row (Parquet, the first is 1) each one stands on."""


class FacilityReadings(msgspec.Struct, frozen=True, eq=False):
    """All rows of one facility in order of time, without duplicates, on steps of `step_s` seconds."""

    facility_id: str
    step_s: int
    starts_at: TimeArray
    """datetime64[us], UTC, shape (n,); rows that are not in the file are not here either."""
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
    """Something in a readings file cannot be used; the message begins with the file and, where known, the line."""

    def __init__(self, path: Path, line: int | None, problem: str) -> None:
        super().__init__(f"{path}:{line}: {problem}" if line is not None else f"{path}: {problem}")
        self.path, self.line, self.problem = path, line, problem


class UnreadableFile(ReadingsFileError):
    """The file is absent, or is not what its name's ending says."""


class UnknownFileKind(ReadingsFileError):
    """The name ends neither in .csv nor in .parquet."""


class MissingColumn(ReadingsFileError):
    """A column that must be there is not."""


class BadTimestamp(ReadingsFileError):
    """A timestamp is empty or not ISO 8601."""


class NaiveTimestamp(ReadingsFileError):
    """A timestamp has no UTC offset."""


class BadValue(ReadingsFileError):
    """A load or temperature is not a finite number, a facility is empty, or a row has too few columns."""


class DuplicateReading(ReadingsFileError):
    """A facility has two rows for one moment."""


class IrregularStep(ReadingsFileError):
    """The rows of a facility do not stand on regular steps, or are too few to tell."""


class UnknownTimeZone(ReadingsFileError):
    """The facilities.csv beside the file names a time zone that does not exist."""


class FacilityNotInFile(ReadingsFileError):
    """A facility that was asked for has no row."""


class ReadingsFile(Protocol):
    """One file. Every method reads it anew, in batches, and raises a ReadingsFileError."""

    def batches(self, facility_ids: Collection[str] | None = None) -> Iterator[ReadingsBatch]:
        """The rows of those facilities (None: of all) in the file's order; duplicates are not looked for."""
        ...

    def read(self, facility_ids: Collection[str] | None = None) -> Mapping[str, FacilityReadings]:
        """Each facility's rows, ordered and checked, by id in the order of ids."""
        ...

    def time_zones(self) -> Mapping[str, ZoneInfo]:
        """What a `facilities.csv` beside the file says; empty without one."""
        ...
