"""A readings file in CSV."""

import csv
from collections.abc import Collection, Iterator, Sequence

import numpy as np

from adapters.readings_file.on_disk import FileOnDisk
from adapters.readings_file.parsing import numbers, starts_of_intervals, text
from application.ports.history_import import (
    BadValue,
    MissingColumn,
    ReadingsBatch,
    UnreadableFile,
)

Row = tuple[str, str, str, str, int]
"""Facility, timestamp, load and temperature as written, and the line."""


class CsvReadingsFile(FileOnDisk):
    """Reads `path` line by line, so that an error names the line that an editor shows."""

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
                result = ", ".join(names) or "none"
                raise MissingColumn(self._path, 1, f"there is no column {name}; found: {result}")
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
