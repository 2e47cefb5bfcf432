"""The base class of the readings files: what they do with their rows, whatever the format."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from zoneinfo import ZoneInfo

from adapters.readings_file.ordering import sort_file
from adapters.readings_file.time_zones import clock_changes_in, time_zones_beside
from application.history_import.interval_grid import steps_of
from application.ports.history_import import (
    ClockChange,
    FacilityReadings,
    OnRead,
    OrderedReadings,
    ReadingsBatch,
)

BATCH_ROWS = 50_000


class FileOnDisk(ABC):
    """A ReadingsFile without `batches`, which subclasses add, with at most `batch_rows` rows each."""

    def __init__(self, path: Path, *, batch_rows: int = BATCH_ROWS) -> None:
        self._path, self._batch_rows = path, batch_rows

    @abstractmethod
    def batches(self, facility_ids: Collection[str] | None = None) -> Iterator[ReadingsBatch]: ...

    def ordered(
        self, facility_ids: Collection[str] | None = None, *, on_read: OnRead = lambda _rows: None
    ) -> AbstractContextManager[OrderedReadings]:
        return sort_file(self._path, self.batches(facility_ids), on_read)

    def read(self, facility_ids: Collection[str] | None = None) -> Mapping[str, FacilityReadings]:
        with self.ordered(facility_ids) as ordered:
            return {
                facility_id: _readings(facility_id, step_s, ordered)
                for facility_id, step_s in steps_of(ordered, facility_ids).items()
            }

    def time_zones(self) -> Mapping[str, ZoneInfo]:
        return time_zones_beside(self._path)

    def clock_changes(self, first_year: int, last_year: int) -> Mapping[str, list[ClockChange]]:
        return clock_changes_in(self.time_zones(), first_year, last_year)

    def exporters(self) -> frozenset[str]:
        return frozenset()


def _readings(facility_id: str, step_s: int, ordered: OrderedReadings) -> FacilityReadings:
    rows = ReadingsBatch.joined(list(ordered.rows_of(facility_id)))
    return FacilityReadings(facility_id, step_s, rows.starts_at, rows.load_kwh, rows.temp_c)
