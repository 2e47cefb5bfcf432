"""Where benchmarks run: a PostgreSQL of their own in a temporary folder, with fsync on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.bench.setup import BenchDatabase

__all__ = ["Bed", "BenchDatabase"]


ROUNDS = 15
LEAST_SCALE_OF_A_MEASUREMENT = 0.05


class Bed:
    """What a benchmark is given."""

    def __init__(
        self,
        fresh_database: Callable[[], AbstractContextManager[BenchDatabase]],
        *,
        scale: float = 1.0,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._fresh_database = fresh_database
        self.scale = scale
        self.tell = tell

    def sized(self, full: int, *, least: int = 1) -> int:
        """`full` by the scale of this run, but at least `least`."""
        return max(least, round(full * self.scale))

    @property
    def rounds(self) -> int:
        """How often contenders take turns; once when somebody only tries whether it runs."""
        return ROUNDS if self.scale >= LEAST_SCALE_OF_A_MEASUREMENT else 1

    def callers(self, full: int) -> int:
        """How many call at once; an eighth when somebody only tries whether it runs."""
        return full if self.scale >= LEAST_SCALE_OF_A_MEASUREMENT else max(1, full // 8)

    @contextmanager
    def database(self) -> Iterator[BenchDatabase]:
        """A database of this benchmark's own, dropped afterwards."""
        with self._fresh_database() as database:
            yield database
