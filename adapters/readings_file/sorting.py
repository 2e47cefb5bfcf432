"""Rows in order, however many: sorted in runs that lie on disk, and merged from there in bounded memory.

The classical external merge sort. A run is a temporary file without a name: however this process ends, its space is
free again. Small ones never reach the disk.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import SpooledTemporaryFile, gettempdir
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from application.ports.history_import import NoRoomToSort

Rows = NDArray[Any]
"""Shape (n,), of ROW."""

ROW = np.dtype(
    [
        ("group", "<i4"),
        ("starts_at_us", "<i8"),
        ("place", "<i8"),
        ("part", "<i4"),
        ("load_kwh", "<f8"),
        ("temp_c", "<f8"),
        ("line", "<i8"),
        ("quality", "<i1"),
        ("duration_s", "<i8"),
    ]
)
"""Ordered by group, time and place: the last is where a row stood among those added."""
RUN_ROWS = 65_536
FAN_IN = 32
"""So many runs are merged into one at a time; each has a buffer of BUFFER_ROWS."""
BUFFER_ROWS = 4_096
_IN_MEMORY_BYTES = 1 << 20


class Run:
    """Rows in a temporary file; may be read any number of times, one reader at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115 - closed by close()
        self.rows = 0

    def append(self, rows: Rows) -> None:
        """Raises NoRoomToSort."""
        try:
            self._file.write(rows.view(np.uint8).data)
        except OSError as error:
            with suppress(OSError):  # what it still holds does not fit either
                self.close()
            problem = (
                f"cannot be put in order in {gettempdir()}: {error}; set TMPDIR to a folder with more room"
            )
            raise NoRoomToSort(self._path, None, problem) from error
        self.rows += len(rows)

    def read(self, first: int, count: int) -> Rows:
        self._file.seek(first * ROW.itemsize)
        return np.frombuffer(self._file.read(count * ROW.itemsize), dtype=ROW)

    def close(self) -> None:
        self._file.close()


class _Cursor:
    """How far a run has been merged."""

    def __init__(self, run: Run) -> None:
        self._run, self._next = run, 0
        self._buffer = run.read(0, 0)

    def filled(self) -> bool:
        """Whether there is anything left."""
        if not len(self._buffer):
            self._buffer = self._run.read(self._next, BUFFER_ROWS)
            self._next += len(self._buffer)
        return bool(len(self._buffer))

    def last(self) -> tuple[int, int, int] | None:
        """The key of the last row in the buffer; None where none comes after it."""
        return None if self._next >= self._run.rows else _key(self._buffer[-1])

    def take(self, through: tuple[int, int, int] | None) -> Rows:
        """The rows whose key is at most that; None: all."""
        if through is None or _key(self._buffer[-1]) <= through:
            taken, self._buffer = self._buffer, self._buffer[:0]
            return taken
        if _key(self._buffer[0]) > through:
            return self._buffer[:0]
        low, high = 0, len(self._buffer) - 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _key(self._buffer[middle]) <= through else (low, middle)
        taken, self._buffer = self._buffer[:high], self._buffer[high:]
        return taken


def _key(row: Any) -> tuple[int, int, int]:
    return int(row["group"]), int(row["starts_at_us"]), int(row["place"])


def _in_order(rows: Rows) -> Rows:
    return rows[np.lexsort((rows["place"], rows["starts_at_us"], rows["group"]))]


def _merged(runs: Sequence[Run]) -> Iterator[Rows]:
    cursors = [cursor for run in runs if (cursor := _Cursor(run)).filled()]
    while cursors:
        lasts = [last for cursor in cursors if (last := cursor.last()) is not None]
        through = min(lasts) if lasts else None
        yield _in_order(np.concatenate([cursor.take(through) for cursor in cursors]))
        cursors = [cursor for cursor in cursors if cursor.filled()]


class Sorter:
    """Takes rows in any order and gives them back in order. A context manager: it owns the temporary files."""

    def __init__(self, path: Path, *, run_rows: int = RUN_ROWS, fan_in: int = FAN_IN) -> None:
        """`path` is what the rows are of, for refusals."""
        self._path, self._run_rows, self._fan_in = path, run_rows, fan_in
        self._waiting: list[Rows] = []
        self._waiting_rows = self._added = 0
        self._levels: list[list[Run]] = []
        """Runs by how often their rows have been merged; each level holds fewer than `fan_in`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for run in (run for level in self._levels for run in level):
            run.close()

    def add(self, rows: Rows) -> None:
        """Sets their `place`. Raises NoRoomToSort."""
        rows["place"] = np.arange(self._added, self._added + len(rows))
        self._added += len(rows)
        for first in range(0, len(rows), self._run_rows):
            piece = rows[first : first + self._run_rows]
            self._waiting.append(piece)
            self._waiting_rows += len(piece)
            if self._waiting_rows >= self._run_rows:
                self._put_down()

    def in_order(self) -> Run:
        """All of them, once everything is added. Raises NoRoomToSort."""
        self._put_down()
        runs = [run for level in self._levels for run in level]
        self._levels = [[self._one_of(runs)]]
        return self._levels[0][0]

    def _put_down(self) -> None:
        if not self._waiting:
            return
        run = Run(self._path)
        run.append(_in_order(np.concatenate(self._waiting)))
        self._waiting, self._waiting_rows = [], 0
        self._keep(run, 0)

    def _keep(self, run: Run, level: int) -> None:
        if level == len(self._levels):
            self._levels.append([])
        self._levels[level].append(run)
        if len(self._levels[level]) == self._fan_in:
            whole = self._one_of(self._levels[level])
            self._levels[level] = []
            self._keep(whole, level + 1)

    def _one_of(self, runs: Sequence[Run]) -> Run:
        if len(runs) == 1:
            return runs[0]
        whole = Run(self._path)
        for rows in _merged(runs):
            whole.append(rows)
        for run in runs:
            run.close()
        return whole
