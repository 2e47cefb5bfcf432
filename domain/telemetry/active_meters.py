"""Active meters: the meters that belong to a facility at a time, because they sent a reading in the day
before.

Quarter-hours are numbered from 1970 in UTC. The presence of a meter is one integer; bit n-`base` is set if
the meter sent a reading in quarter-hour n. Bits are only ever set, so the expected number of meters does not
depend on the order of arrival.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime

from domain.telemetry.intervals import INTERVAL_S

QUARTERS_A_DAY = 86_400 // INTERVAL_S
_A_DAY = (1 << QUARTERS_A_DAY) - 1
_EPOCH_DAY = date(1970, 1, 1).toordinal()


def quarter_number(moment: datetime) -> int:
    """The number of the quarter-hour that contains `moment` (with a time zone)."""
    return int(moment.timestamp() // INTERVAL_S)


def day_number(day: date) -> int:
    """The number of the first quarter-hour of a UTC day."""
    return (day.toordinal() - _EPOCH_DAY) * QUARTERS_A_DAY


def day_of(quarter: int) -> date:
    """The UTC day that contains a quarter-hour."""
    return date.fromordinal(quarter // QUARTERS_A_DAY + _EPOCH_DAY)


class MeterPresence:
    """The presence of the meters of many facilities from quarter-hour `base` on."""

    def __init__(self, base: int) -> None:
        self._base = base
        self._bits: dict[str, dict[str, int]] = defaultdict(dict)

    def add(self, facility_id: str, meter_id: str, quarter: int, bits: int = 1) -> None:
        """Bit n of `bits`: a reading in quarter-hour `quarter` + n. Quarter-hours before `base` are dropped."""
        after = quarter - self._base
        shifted = bits << after if after >= 0 else bits >> -after
        meters = self._bits[facility_id]
        meters[meter_id] = meters.get(meter_id, 0) | shifted

    def expected(self, facility_id: str, quarter: int) -> int:
        """The number of meters that belong to the facility in that quarter-hour."""
        after = quarter + 1 - QUARTERS_A_DAY - self._base
        mask = _A_DAY << after if after >= 0 else _A_DAY >> -after
        return sum(1 for bits in self._bits.get(facility_id, {}).values() if bits & mask)


def days_before(quarters: Iterable[int]) -> tuple[date, date]:
    """The first and the last UTC day whose presence is needed for `quarters` (not empty)."""
    numbers = list(quarters)
    return day_of(min(numbers) + 1 - QUARTERS_A_DAY), day_of(max(numbers))
