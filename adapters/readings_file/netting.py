"""Nets a facility's series: delivered less fed-in energy, over all its usage points."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from adapters.readings_file.espi_intervals import Row, batch_of_intervals
from adapters.readings_file.espi_series import REVERSE, Series
from adapters.readings_file.ordering import CHUNK_ROWS, batch_of, rows_of
from adapters.readings_file.sorting import Rows, Run, Sorter
from application.ports.history_import import DuplicateReading, ReadingsBatch

MAX_ROWS_PER_MOMENT = 100_000


class SeriesSorter:
    """Sorts on disk the series of facilities that have several. A context manager: it owns the temporary files."""

    def __init__(self, path: Path, series: Collection[Series]) -> None:
        self._path = path
        self._series = sorted(series, key=lambda one: (one.facility_id, one.label, one.direction))
        self._number = {one: n for n, one in enumerate(self._series)}
        self._facilities = list(dict.fromkeys(one.facility_id for one in self._series))
        group_of = {facility_id: n for n, facility_id in enumerate(self._facilities)}
        self._group = np.array([group_of[one.facility_id] for one in self._series], dtype=np.int32)
        self._has_rows = np.zeros(len(self._series), dtype=np.bool_)
        self._waiting: list[tuple[Series, Row]] = []
        self._sorter = Sorter(path)

    def __contains__(self, series: Series) -> bool:
        return series in self._number

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._sorter.__exit__(kind, error, where)

    def add(self, row: tuple[Series, Row]) -> None:
        """Raises NoRoomToSort."""
        self._waiting.append(row)
        if len(self._waiting) == CHUNK_ROWS:
            self._write_run()

    def netted(self) -> Iterator[ReadingsBatch]:
        """The rows by facility and time. Raises NoRoomToSort or DuplicateReading."""
        self._write_run()
        for rows in self._whole_moments(self._sorter.merged()):
            for group in np.unique(rows["group"]).tolist():
                facility_id, its_rows = self._facilities[group], rows[rows["group"] == group]
                numbers = np.flatnonzero((self._group == group) & self._has_rows).tolist()
                parts = [
                    (self._series[n], batch_of(facility_id, its_rows[its_rows["part"] == n])) for n in numbers
                ]
                yield netted(facility_id, parts)

    def _write_run(self) -> None:
        if self._waiting:
            numbers = np.array([self._number[series] for series, _ in self._waiting], dtype=np.int32)
            self._has_rows[numbers] = True
            self._sorter.add(rows_of(batch_of_intervals(self._waiting), self._group[numbers], numbers))
            self._waiting = []

    def _whole_moments(self, run: Run) -> Iterator[Rows]:
        """Pieces that end at the end of a time: netting reads one piece at a time."""
        held = run.read(0, 0)
        for first in range(0, run.rows, CHUNK_ROWS):
            rows = np.concatenate([held, run.read(first, CHUNK_ROWS)])
            last = rows[-1]
            earlier = (rows["group"] != last["group"]) | (rows["starts_at_us"] != last["starts_at_us"])
            border = int(earlier.sum())
            if border:
                yield rows[:border]
            held = rows[border:]
            if len(held) > MAX_ROWS_PER_MOMENT:
                problem = (
                    f"{self._facilities[last['group']]} has over {MAX_ROWS_PER_MOMENT} rows for one moment"
                )
                raise DuplicateReading(self._path, int(last["line"]), problem)
        if len(held):
            yield held


def netted(facility_id: str, parts: Sequence[tuple[Series, ReadingsBatch]]) -> ReadingsBatch:
    """A row for each time of any series, in order, and after it the repeated rows of a series for that time.

    Where a delivered or net series has no row, the sum is missing; where a fed-in series has none, it counts as 0.
    """
    firsts = [_first_rows(batch) for _, batch in parts]
    moments = np.unique(np.concatenate([batch.starts_at for _, batch in parts]))
    load_kwh = np.zeros(len(moments))
    lines, duration_s = (np.zeros(len(moments), dtype=np.int64) for _ in range(2))
    quality = np.zeros(len(moments), dtype=np.int8)
    again: list[ReadingsBatch] = []
    for (series, batch), first in zip(parts, firsts, strict=True):
        own = np.full(len(moments), 0.0 if series.direction == REVERSE else np.nan)
        at = np.searchsorted(moments, batch.starts_at[first])
        own[at] = batch.load_kwh[first]
        load_kwh += own
        lines[at] = np.maximum(lines[at], batch.lines[first])
        if batch.duration_s is not None:
            duration_s[at] = np.maximum(duration_s[at], batch.duration_s[first])
        if batch.quality is not None:
            quality[at] = np.maximum(quality[at], batch.quality[first])
        again.append(batch.rows(~first))
    every = ReadingsBatch(
        np.full(len(moments), facility_id),
        moments,
        load_kwh,
        np.full(len(moments), np.nan),
        lines,
        quality,
        duration_s,
    )
    return ReadingsBatch.joined([every, *again])


def _first_rows(batch: ReadingsBatch) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """For each time the row that is first in the file."""
    mask = np.zeros(len(batch.lines), dtype=np.bool_)
    mask[np.unique(batch.starts_at, return_index=True)[1]] = True
    return mask
