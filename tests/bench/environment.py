"""The environment of a benchmark: fresh databases of an embedded PostgreSQL with fsync on, and the scale."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.bench.setup import BenchDatabase

__all__ = ["BenchDatabase", "BenchEnvironment"]


ROUNDS = 15
MIN_MEASUREMENT_SCALE = 0.05


class BenchEnvironment:
    """The parameter of every benchmark."""

    def __init__(
        self,
        fresh_database: Callable[[], AbstractContextManager[BenchDatabase]],
        *,
        scale: float = 1.0,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._fresh_database = fresh_database
        self.scale = scale
        self.report = report

    def sized(self, full: int, *, least: int = 1) -> int:
        """`full` times the scale of this run, but at least `least`."""
        return max(least, round(full * self.scale))

    @property
    def rounds(self) -> int:
        """How many rounds the contenders take turns; 1 in a trial run."""
        return ROUNDS if self.scale >= MIN_MEASUREMENT_SCALE else 1

    def callers(self, full: int) -> int:
        """The number of concurrent callers; an eighth in a trial run."""
        return full if self.scale >= MIN_MEASUREMENT_SCALE else max(1, full // 8)

    @contextmanager
    def database(self) -> Iterator[BenchDatabase]:
        """A fresh database, dropped at the end of the block."""
        with self._fresh_database() as database:
            yield database
