"""Stored temperatures of weather cells, of the past: what forecasts were trained on and measurements use."""

from datetime import date, datetime, timedelta
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from domain.time_series.windows import IntervalSeries, TimeWindow


class StoredTemperatures(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The hours of a window of whole hours."""

    temp_c: IntervalSeries
    """Degrees Celsius per hour; NaN where none is stored."""
    is_final: NDArray[np.bool_]
    """Per hour, whether its UTC day was requested once more after it had been over for a day."""

    def first_due(self) -> datetime:
        """The start of the first hour that is missing or not final; the end of the window where none is."""
        due = np.flatnonzero(np.isnan(self.temp_c.values) | ~self.is_final)
        hours = int(due[0]) if due.size else len(self.temp_c.values)
        return self.temp_c.starts_at + timedelta(hours=hours)


class CellTemperatures(Protocol):
    """Synchronous. Every method raises OperationsUnavailable when the store does not answer."""

    def temperatures_of(self, cell: str, window: TimeWindow, *, final_only: bool = False) -> IntervalSeries:
        """Degrees Celsius per quarter-hour of `window`; each has the value of its hour, NaN where none is stored, or
        none that is final (see `StoredTemperatures`) and `final_only`.

        Raises NotAligned where the window does not begin and end on a quarter-hour.
        """
        ...

    def stored(self, cell: str, window: TimeWindow) -> StoredTemperatures:
        """The hours of `window`. Raises NotAligned where it does not begin and end on the hour."""
        ...

    def record(self, cell: str, temp_c: IntervalSeries, *, final_until: datetime) -> None:
        """Store the hours of an hourly series that have a value; values stored before are replaced.

        The UTC days of the series that end by `final_until` are final from then on. Raises NotAligned where the series
        does not begin on the hour.
        """
        ...

    def delete_before(self, day: date) -> int:
        """Delete those of earlier UTC days. Returns how many days of cells there were."""
        ...
