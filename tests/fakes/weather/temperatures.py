"""Temperatures of weather cells in memory; it passes the contract suite of the stored ones."""

from datetime import date, datetime

from application.ports.weather.temperatures import StoredTemperatures
from application.weather.cell_days import CellDay, day_rows, hours_stored, merged, quarter_hours_stored
from domain.time_series.windows import IntervalSeries, TimeWindow


class FakeCellTemperatures:
    """`days` holds them by cell and UTC day."""

    def __init__(self) -> None:
        self.days: dict[str, dict[date, CellDay]] = {}

    def temperatures_of(self, cell: str, window: TimeWindow, *, final_only: bool = False) -> IntervalSeries:
        return quarter_hours_stored(window, self.days.get(cell, {}), final_only=final_only)

    def stored(self, cell: str, window: TimeWindow) -> StoredTemperatures:
        return hours_stored(window, self.days.get(cell, {}))

    def record(self, cell: str, temp_c: IntervalSeries, *, final_until: datetime) -> None:
        own = self.days.setdefault(cell, {})
        for day, known in day_rows(temp_c, final_until):
            own[day] = merged(own.get(day), known)

    def delete_before(self, day: date) -> int:
        old = [(cell, one) for cell, own in self.days.items() for one in own if one < day]
        for cell, one in old:
            del self.days[cell][one]
        return len(old)
