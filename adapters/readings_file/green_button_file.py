"""A readings file in Green Button XML (ESPI, NAESB REQ.21): a utility's "Download My Data"."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from adapters.readings_file.espi_catalogue import Catalogue, read_catalogue
from adapters.readings_file.espi_intervals import Row, batch_of_intervals, intervals
from adapters.readings_file.espi_series import FORWARD, Series, series_by_block
from adapters.readings_file.local_time import LocalTime, WrongRule
from adapters.readings_file.netting import SeriesSorter
from adapters.readings_file.on_disk import BATCH_ROWS, FileOnDisk
from adapters.readings_file.ordering import FileState
from application.ports.history_import import BadValue, ClockChange, ReadingsBatch


class GreenButtonFile(FileOnDisk):
    """Reads `path` twice: for its catalogue and for the intervals. All of it belongs to `facility_id` where that is
    given.

    Where delivered and fed-in energy are separate, or a facility has several usage points, its rows are sorted on
    disk and netted from there. Others are passed on in the file's order.
    """

    def __init__(self, path: Path, facility_id: str | None = None, *, batch_rows: int = BATCH_ROWS) -> None:
        super().__init__(path, batch_rows=batch_rows)
        self._facility_id = facility_id
        self._listed: tuple[FileState, Catalogue] | None = None
        """The catalogue, for as long as the file is unchanged."""

    def batches(self, facility_ids: Collection[str] | None = None) -> Iterator[ReadingsBatch]:
        by_block = self._by_block(self._catalogue())
        all_series = {series for series in by_block if series is not None}
        wanted = [s for s in all_series if facility_ids is None or s.facility_id in facility_ids]
        count = Counter(series.facility_id for series in wanted)
        apart = SeriesSorter(self._path, [series for series in wanted if count[series.facility_id] > 1])
        rows: list[tuple[Series, Row]] = []
        with apart:
            for row in intervals(self._path, by_block):
                if row[0] in apart:
                    apart.add(row)
                elif count[row[0].facility_id]:
                    rows.append(row)
                if len(rows) == self._batch_rows:
                    yield batch_of_intervals(rows)
                    rows = []
            if rows:
                yield batch_of_intervals(rows)
            yield from apart.netted()

    def clock_changes(self, first_year: int, last_year: int) -> Mapping[str, list[ClockChange]]:
        catalogue = self._catalogue()
        facilities = {series.facility_id for series in self._by_block(catalogue) if series is not None}
        local_time = self._local_time(catalogue)
        said = [] if local_time is None else local_time.clock_changes(first_year, last_year)
        return {**dict.fromkeys(facilities, said), **super().clock_changes(first_year, last_year)}

    def exporters(self) -> frozenset[str]:
        by_block = self._by_block(self._catalogue())
        return frozenset(s.facility_id for s in by_block if s is not None and s.direction != FORWARD)

    def _catalogue(self) -> Catalogue:
        if self._listed is None or not self._listed[0].is_current():
            self._listed = FileState(self._path), read_catalogue(self._path)
        return self._listed[1]

    def _by_block(self, catalogue: Catalogue) -> list[Series | None]:
        return series_by_block(self._path, catalogue, self._facility_id)

    def _local_time(self, catalogue: Catalogue) -> LocalTime | None:
        """The first of the feed: a feed belongs to one customer."""
        for entry in catalogue.entries["LocalTimeParameters"]:
            of = "LocalTimeParameters/"
            try:
                return LocalTime(
                    entry.number(self._path, f"{of}tzOffset", 0),
                    entry.number(self._path, f"{of}dstOffset", 0),
                    entry.fields.get(f"{of}dstStartRule", "FFFFFFFF"),
                    entry.fields.get(f"{of}dstEndRule", "FFFFFFFF"),
                )
            except WrongRule as error:
                raise BadValue(self._path, entry.line, str(error)) from error
        return None
