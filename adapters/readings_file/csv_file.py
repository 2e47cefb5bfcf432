"""A readings file in CSV."""

import csv
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from adapters.readings_file.collecting import collect
from adapters.readings_file.ordering import in_order
from adapters.readings_file.parsing import numbers, starts_of_intervals, text
from adapters.readings_file.time_zones import clock_changes_in, time_zones_beside
from application.ports.readings_file import (
    BadValue,
    ClockChange,
    FacilityReadings,
    MissingColumn,
    OnRead,
    OrderedReadings,
    ReadingsBatch,
    UnreadableFile,
)

BATCH_ROWS = 50_000

Row = tuple[str, str, str, str, int]
"""Facility, timestamp, load and temperature as written, and the line."""


class CsvReadingsFile:
    """Reads `path` line by line, so that a fault is named with the line an editor shows."""

    def __init__(self, path: Path, *, batch_rows: int = BATCH_ROWS) -> None:
        self._path, self._batch_rows = path, batch_rows

    def batches(self, facility_ids: Collection[str] | None = None) -> Iterator[ReadingsBatch]:
        wanted = None if facility_ids is None else frozenset(facility_ids)
        rows: list[Row] = []
        for row in self._rows(wanted):
            rows.append(row)
            if len(rows) == self._batch_rows:
                yield self._batch(rows)
                rows = []
        if rows:
            yield self._batch(rows)

    def ordered(
        self, facility_ids: Collection[str] | None = None, *, on_read: OnRead = lambda _rows: None
    ) -> AbstractContextManager[OrderedReadings]:
        return in_order(self._path, self.batches(facility_ids), on_read)

    def read(self, facility_ids: Collection[str] | None = None) -> Mapping[str, FacilityReadings]:
        with self.ordered(facility_ids) as ordered:
            return collect(ordered, facility_ids)

    def time_zones(self) -> Mapping[str, ZoneInfo]:
        return time_zones_beside(self._path)

    def clock_changes(self, first_year: int, last_year: int) -> Mapping[str, list[ClockChange]]:
        return clock_changes_in(self.time_zones(), first_year, last_year)

    def exporters(self) -> frozenset[str]:
        return frozenset()

    def _rows(self, wanted: frozenset[str] | None) -> Iterator[Row]:
        try:
            with self._path.open(encoding="utf-8-sig", newline="") as file:
                lines = csv.reader(file, strict=True)
                columns = self._columns(next(lines, []))
                for values in lines:
                    if values and (row := self._row(values, columns, lines.line_num, wanted)) is not None:
                        yield row
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UnreadableFile(self._path, None, f"cannot be read as CSV: {error}") from error

    def _columns(self, header: Sequence[str]) -> tuple[int, int, int, int | None]:
        names = [name.strip() for name in header]
        for name in ("facility", "timestamp", "load_kwh"):
            if name not in names:
                found = ", ".join(names) or "none"
                raise MissingColumn(self._path, 1, f"there is no column {name}; found: {found}")
        temp = names.index("temp_c") if "temp_c" in names else None
        return names.index("facility"), names.index("timestamp"), names.index("load_kwh"), temp

    def _row(
        self,
        values: list[str],
        columns: tuple[int, int, int, int | None],
        line: int,
        wanted: frozenset[str] | None,
    ) -> Row | None:
        facility, timestamp, load, temp = columns
        if len(values) <= max(facility, timestamp, load, temp or 0):
            raise BadValue(self._path, line, f"has {len(values)} columns, fewer than the header")
        facility_id = text(self._path, line, values[facility])
        if wanted is not None and facility_id not in wanted:
            return None
        temperature = values[temp] if temp is not None else ""
        return facility_id, values[timestamp], values[load], temperature, line

    def _batch(self, rows: list[Row]) -> ReadingsBatch:
        facility_ids, timestamps, loads, temperatures, line_numbers = zip(*rows, strict=True)
        lines = np.array(line_numbers, dtype=np.int64)
        return ReadingsBatch(
            np.array(facility_ids, dtype=np.str_),
            starts_of_intervals(self._path, lines, timestamps),
            numbers(self._path, lines, "load_kwh", loads),
            numbers(self._path, lines, "temp_c", temperatures),
            lines,
        )
