"""The stored intervals of one facility, as tests look at them."""

from application.ports.telemetry.store import TelemetryStore
from domain.telemetry.intervals import INTERVAL_S
from domain.time_series.windows import IntervalSeries, TimeWindow


def interval_series(
    store: TelemetryStore, facility_id: str, window: TimeWindow, step_s: int = INTERVAL_S
) -> IntervalSeries:
    """Mean kW per step, NaN where missing."""
    return store.interval_series_of([facility_id], window, step_s).series(facility_id)


def coverage(store: TelemetryStore, facility_id: str, window: TimeWindow) -> float:
    """The share of `window` that readings cover, in %; whole quarter-hours."""
    return float(store.interval_series_of([facility_id], window).coverage_pct.mean())
