"""A batch of histories that are fitted together."""

from typing import NamedTuple

from adapters.forecasting.calendar.local_week import HOURS_A_DAY, IntArray
from domain.time_series.windows import FloatArray


class HistoryBatch(NamedTuple):
    """Hourly histories on one grid that begins with a UTC day; NaN where unknown. Shapes (facilities, hours)."""

    first_hour: int
    """Hours since 1970, UTC; a multiple of 24."""
    load_kw: FloatArray
    temp_c: FloatArray
    week: IntArray
    """Hours of the week; two days longer than the others."""
    clocks_h: IntArray
    """The offset of local clocks from UTC; as long as `week`."""

    @property
    def days(self) -> int:
        """The number of whole days."""
        return int(self.load_kw.shape[1]) // HOURS_A_DAY
