"""A forecast cycle on real stores, with weather and alerts in memory."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from adapters.forecasting import BatchedLoadForecaster
from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.forecast.forecast_book import PostgresForecastBook
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from application.forecast.cycle import ForecastCycle
from application.forecast.cycle_report import CycleReport
from application.forecast.forecast_commands import ForecastSite
from application.forecast.issue import ForecastIssuing
from application.forecast.model_registry import ModelRegistry
from application.ports.clock import Clock
from application.ports.telemetry.store import ImportedIntervals
from tests.fakes.clock import FakeClock
from tests.fakes.coordination.locks import LockBoard
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.weather.source import FakeWeatherSource

NOW = datetime(2026, 7, 14, 20, 0, 30, tzinfo=UTC)
CYCLE_START = NOW.replace(second=0)
QUARTER_S = 900
SITES = [
    ForecastSite(facility_id=f"fac-{number:03}", tz="America/Los_Angeles", weather_cell="cell-1")
    for number in range(1, 4)
]


@dataclass
class ForecastSetup:
    """A cycle with real stores, and a weather source and a register of alerts in memory."""

    telemetry: PostgresTelemetryStore
    events: PostgresEventStore
    book: PostgresForecastBook
    stopped: FakeClock
    clock: Clock
    sites: list[ForecastSite] = field(default_factory=lambda: list(SITES))
    locks: LockBoard = field(default_factory=LockBoard)
    alerts: FakeAlertRegistry = field(default_factory=FakeAlertRegistry)
    has_weather: bool = True
    weather: FakeWeatherSource = field(
        default_factory=lambda: FakeWeatherSource(issued_at=CYCLE_START, temp_c=24.0)
    )

    def cycle(
        self, issuing: ForecastIssuing | None = None, models: ModelRegistry | None = None
    ) -> ForecastCycle:
        return ForecastCycle(
            facilities=lambda: self.sites,
            telemetry=self.telemetry,
            weather=self.weather if self.has_weather else None,
            forecaster=BatchedLoadForecaster(),
            issuing=issuing or ForecastIssuing(self.events, self.clock),
            alerts=self.alerts,
            clock=self.clock,
            models=models,
        )

    def run(self, cycle: ForecastCycle | None = None) -> CycleReport:
        return asyncio.run((cycle or self.cycle()).run(at=self.clock.now()))

    def import_history(
        self,
        facility_ids: Sequence[str],
        days: float,
        *,
        until: datetime = CYCLE_START,
        kw: float = 100.0,
        warm: bool = True,
    ) -> None:
        """Import a history with twice the load by day and warmer afternoons."""
        count = int(days * 96)
        first_s = int(until.timestamp()) - count * QUARTER_S
        starts_s = first_s + QUARTER_S * np.arange(count)
        hour = (starts_s / 3600) % 24
        temp_c = 20 + 6 * np.sin((hour - 15) * np.pi / 12) + 2 * np.sin(starts_s / 400_000)
        load = kw * (1 + ((hour >= 15) & (hour < 24))) + np.clip(temp_c - 20, 0, None)
        times = len(facility_ids)
        self.telemetry.import_intervals(
            ImportedIntervals(
                tuple(facility_ids),
                np.repeat(np.arange(times), count),
                np.tile(starts_s, times),
                np.full(times * count, QUARTER_S),
                np.tile(load, times),
                np.tile(temp_c if warm else np.full(count, np.nan), times),
            )
        )

    def open_alerts(self) -> set[tuple[str, str]]:
        return {(alert.name, alert.subject) for alert in self.alerts.listed()}


ALL = [site.facility_id for site in SITES]
