"""Sorts any number of rows in bounded memory: sorted runs are written to disk and merged from there.

A classical external merge sort. A run is a temporary file without a name: however this process ends, its space is
freed. Small runs are never written to disk.
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
"""Ordered by group, time and place: the place is a row's position among those added."""
RUN_ROWS = 65_536
FAN_IN = 32
"""The number of runs that are merged at once; each has a buffer of BUFFER_ROWS."""
BUFFER_ROWS = 4_096
_IN_MEMORY_BYTES = 1 << 20


class Run:
    """Rows in a temporary file; can be read any number of times, by one reader at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115 - closed by close()
        self.rows = 0

    def append(self, rows: Rows) -> None:
        """Raises NoRoomToSort."""
        try:
            self._file.write(rows.view(np.uint8).data)
        except OSError as error:
            with suppress(OSError):  # its buffer does not fit, either
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
    """The position of the merge in one run."""

    def __init__(self, run: Run) -> None:
        self._run, self._next = run, 0
        self._buffer = run.read(0, 0)

    def filled(self) -> bool:
        """True if rows remain."""
        if not len(self._buffer):
            self._buffer = self._run.read(self._next, BUFFER_ROWS)
            self._next += len(self._buffer)
        return bool(len(self._buffer))

    def last(self) -> tuple[int, int, int] | None:
        """The key of the last row in the buffer; None where it is the last of the run."""
        return None if self._next >= self._run.rows else _key(self._buffer[-1])

    def take(self, through: tuple[int, int, int] | None) -> Rows:
        """The rows whose key is at most `through`; None: all."""
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
    """Accepts rows in any order and returns them in order. A context manager: it owns the temporary files."""

    def __init__(self, path: Path, *, run_rows: int = RUN_ROWS, fan_in: int = FAN_IN) -> None:
        """`path` is the file of the rows, for error messages."""
        self._path, self._run_rows, self._fan_in = path, run_rows, fan_in
        self._waiting: list[Rows] = []
        self._waiting_rows = self._added = 0
        self._levels: list[list[Run]] = []
        """Runs by the number of merges of their rows; each level holds fewer than `fan_in`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for run in (run for level in self._levels for run in level):
            run.close()

    def add(self, rows: Rows) -> None:
        """Add rows and set their `place`. Raises NoRoomToSort."""
        rows["place"] = np.arange(self._added, self._added + len(rows))
        self._added += len(rows)
        for first in range(0, len(rows), self._run_rows):
            piece = rows[first : first + self._run_rows]
            self._waiting.append(piece)
            self._waiting_rows += len(piece)
            if self._waiting_rows >= self._run_rows:
                self._write_run()

    def merged(self) -> Run:
        """All rows in order, once everything is added. Raises NoRoomToSort."""
        self._write_run()
        runs = [run for level in self._levels for run in level]
        self._levels = [[self._merge_runs(runs)]]
        return self._levels[0][0]

    def _write_run(self) -> None:
        if not self._waiting:
            return
        run = Run(self._path)
        run.append(_in_order(np.concatenate(self._waiting)))
        self._waiting, self._waiting_rows = [], 0
        self._add_run(run, 0)

    def _add_run(self, run: Run, level: int) -> None:
        if level == len(self._levels):
            self._levels.append([])
        self._levels[level].append(run)
        if len(self._levels[level]) == self._fan_in:
            whole = self._merge_runs(self._levels[level])
            self._levels[level] = []
            self._add_run(whole, level + 1)

    def _merge_runs(self, runs: Sequence[Run]) -> Run:
        if len(runs) == 1:
            return runs[0]
        whole = Run(self._path)
        for rows in _merged(runs):
            whole.append(rows)
        for run in runs:
            run.close()
        return whole
