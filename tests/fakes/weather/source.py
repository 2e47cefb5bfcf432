"""A weather source in memory; it passes the contract suite of the HTTP one."""

from datetime import datetime, timedelta

import numpy as np

from application.ports.weather.source import WeatherReport, WeatherUnavailable
from domain.time_series.windows import IntervalSeries


class FakeWeatherSource:
    """`temp_c` at every hour; `available = False` makes every call raise; `calls` records the calls."""

    def __init__(self, *, issued_at: datetime, temp_c: float = 20.0) -> None:
        self.issued_at = issued_at
        self.temp_c = temp_c
        self.available = True
        self.calls: list[tuple[str, datetime, datetime]] = []

    async def hourly(self, cell: str, starts_at: datetime, ends_at: datetime) -> WeatherReport:
        self.calls.append((cell, starts_at, ends_at))
        if not self.available:
            raise WeatherUnavailable("the weather source is away")
        hours = max(0, int((ends_at - starts_at) / timedelta(hours=1)))
        if not hours:
            raise WeatherUnavailable("there is no hour in that range")
        series = IntervalSeries(starts_at, 3600, np.full(hours, self.temp_c))
        return WeatherReport(cell=cell, issued_at=self.issued_at, temp_c=series)
