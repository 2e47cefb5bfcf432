"""A readings file in order of facility and time: read once, sorted into a temporary file, and read from there any
number of times."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adapters.readings_file.sorting import ROW, Rows, Run, Sorter
from application.ports.history_import import (
    FileChanged,
    OnRead,
    ReadingsBatch,
    TooManyFacilities,
    UnreadableFile,
)

MAX_FACILITIES = 100_000
CHUNK_ROWS = 50_000
_UNSPECIFIED = -1


class FileState:
    """The identity and state of a file, by which a later change is detected."""

    def __init__(self, path: Path) -> None:
        """Raises UnreadableFile."""
        self.path = path
        self._was = self._is()

    def refuse_if_changed(self) -> None:
        """Raises FileChanged, and UnreadableFile where the file no longer exists."""
        if not self.is_current():
            problem = "has changed since its first row was read; nothing was stored, import it again"
            raise FileChanged(self.path, None, problem)

    def is_current(self) -> bool:
        """Raises UnreadableFile where the file no longer exists."""
        return self._is() == self._was

    def _is(self) -> tuple[int, int, int, int]:
        try:
            result = self.path.stat()
        except OSError as error:
            raise UnreadableFile(self.path, None, f"cannot be read: {error}") from error
        return result.st_dev, result.st_ino, result.st_size, result.st_mtime_ns


class OrderedReadingsFile:
    """The rows of the file at the time when it was read."""

    def __init__(self, state: FileState, run: Run, counts: Mapping[str, int], *, chunk_rows: int) -> None:
        """The number of rows of each facility, in the order of their groups in `run`."""
        self.path, self.refuse_if_changed = state.path, state.refuse_if_changed
        self._run, self._chunk_rows = run, chunk_rows
        ends = list(accumulate(counts.values()))
        self._of = dict(zip(counts, zip([0, *ends], ends, strict=False), strict=True))
        self.facility_ids = tuple(sorted(counts))

    def rows_of(self, facility_id: str) -> Iterator[ReadingsBatch]:
        first, end = self._of[facility_id]
        for at in range(first, end, self._chunk_rows):
            yield batch_of(facility_id, self._run.read(at, min(self._chunk_rows, end - at)))


@contextmanager
def sort_file(
    path: Path,
    batches: Iterable[ReadingsBatch],
    on_read: OnRead,
    *,
    chunk_rows: int = CHUNK_ROWS,
) -> Iterator[OrderedReadingsFile]:
    """Read all `batches` of `path`. Raises a ReadingsFileError, and FileChanged where it changed meanwhile."""
    state = FileState(path)
    groups: dict[str, int] = {}
    counts: Counter[int] = Counter()
    read = 0
    with Sorter(path) as sorter:
        for batch in batches:
            read += len(batch.lines)
            on_read(read)
            names, which, times = np.unique(batch.facility_ids, return_inverse=True, return_counts=True)
            group_of = np.array([groups.setdefault(str(name), len(groups)) for name in names], dtype=np.int32)
            if len(groups) > MAX_FACILITIES:
                raise TooManyFacilities(path, None, f"has more than {MAX_FACILITIES} facilities; divide it")
            counts.update(dict(zip(group_of.tolist(), times.tolist(), strict=True)))
            sorter.add(rows_of(batch, group_of[which]))
        state.refuse_if_changed()
        of_facility = {facility_id: counts[group] for facility_id, group in groups.items()}
        yield OrderedReadingsFile(state, sorter.merged(), of_facility, chunk_rows=chunk_rows)


def rows_of(batch: ReadingsBatch, group: NDArray[np.int32] | int, part: NDArray[np.int32] | int = 0) -> Rows:
    rows = np.empty(len(batch.lines), dtype=ROW)
    rows["group"], rows["part"] = group, part
    rows["starts_at_us"] = batch.starts_at.astype("datetime64[us]").astype(np.int64)
    rows["load_kwh"], rows["temp_c"], rows["line"] = batch.load_kwh, batch.temp_c, batch.lines
    rows["quality"] = _UNSPECIFIED if batch.quality is None else batch.quality
    rows["duration_s"] = _UNSPECIFIED if batch.duration_s is None else batch.duration_s
    return rows


def batch_of(facility_id: str, rows: Rows) -> ReadingsBatch:
    """Either all rows of a file have quality and duration, or none."""
    return ReadingsBatch(
        np.full(len(rows), facility_id),
        rows["starts_at_us"].astype("datetime64[us]"),
        rows["load_kwh"].copy(),
        rows["temp_c"].copy(),
        rows["line"].copy(),
        None if (rows["quality"] == _UNSPECIFIED).any() else rows["quality"].copy(),
        None if (rows["duration_s"] == _UNSPECIFIED).any() else rows["duration_s"].copy(),
    )
