"""Energy of the hours around a clock change back, and of the same hours a day before and after."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from application.ports.history_import import ClockChange, ReadingsBatch, TimeArray

_HOUR = timedelta(hours=1)


class AdjacentHour(NamedTuple):
    """An hour next to a clock change; NaN where it is incomplete."""

    starts_at: np.datetime64
    kwh: float
    usual_kwh: float
    """The mean of the same hour a day before and after."""


def moment64(of: datetime) -> np.datetime64:
    return np.datetime64(of.astimezone(UTC).replace(tzinfo=None), "us")


class HourEnergies:
    """Sums the energy of those hours."""

    def __init__(self, changes: Iterable[ClockChange]) -> None:
        back = [change.at for change in changes if change.shift_s < 0]
        # The hour before and the hour after.
        self._beside = [at + hours * _HOUR for at in back for hours in (-1, 0)]
        days = [at + timedelta(days=days) for at in self._beside for days in (-1, 0, 1)]
        self._starts: TimeArray = np.unique(np.array([moment64(at) for at in days], dtype="datetime64[us]"))
        self._kwh = np.zeros(len(self._starts))
        self._rows = np.zeros(len(self._starts), dtype=np.int64)

    def add(self, rows: ReadingsBatch) -> None:
        if not len(self._starts):
            return
        hour = np.searchsorted(self._starts, rows.starts_at, side="right") - 1
        inside = (hour >= 0) & (rows.starts_at < self._starts[hour] + np.timedelta64(1, "h"))
        np.add.at(self._kwh, hour[inside], rows.load_kwh[inside])
        np.add.at(self._rows, hour[inside], 1)

    def energies(self, step_us: int) -> Iterator[AdjacentHour]:
        whole: NDArray[np.bool_] = (self._rows > 0) & (
            self._rows * step_us == _HOUR // timedelta(microseconds=1)
        )
        kwh = np.where(whole, self._kwh, np.nan)
        for at in self._beside:
            starts = [moment64(at + timedelta(days=days)) for days in (-1, 0, 1)]
            before, its_own, after = kwh[np.searchsorted(self._starts, starts)].tolist()
            yield AdjacentHour(starts[1], its_own, (before + after) / 2)
