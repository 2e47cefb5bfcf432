"""The history that a forecast cycle reads."""

from datetime import timedelta

import numpy as np
import pytest

from application.forecast.cycle_inputs import days_to_read, inputs_of
from application.forecast.forecast_commands import ForecastSite, SiteInputs
from application.ports.forecast.load_forecaster import RECENT_DAYS, TrainedModel
from application.ports.telemetry.store import ImportedIntervals
from tests.fakes.clock import NOON
from tests.fakes.telemetry.store import FakeTelemetryStore


@pytest.mark.parametrize(
    ("hours", "days"), [([], 2), ([0], 2), ([30, 0], 2), ([50], 3), ([24 * 30], RECENT_DAYS)]
)
def test_a_cycle_reads_from_the_end_of_the_model_histories_and_at_least_two_days(
    hours: list[int], days: int
) -> None:
    """Two days, so that 24 whole hours precede every quarter-hour."""
    models = [
        TrainedModel(
            name="made up",
            version="1",
            trained_at=NOON,
            uses_weather=False,
            parameters=b"",
            known_until=NOON - timedelta(hours=age_h),
        )
        for age_h in hours
    ]
    assert days_to_read([None, *models], NOON) == days


@pytest.mark.parametrize(("silent_h", "told_until_h"), [(0, 0), (3, 3), (100, 48)])
def test_a_cycle_of_the_past_ignores_later_readings(silent_h: int, told_until_h: int) -> None:
    """Metered until `silent_h` before noon, and again from noon on."""
    telemetry, noon_s = FakeTelemetryStore(), int(NOON.timestamp())
    starts_s = noon_s + 900 * np.arange(-120 * 4, 24 * 4)
    starts_s = starts_s[(starts_s < noon_s - silent_h * 3600) | (starts_s >= noon_s)]
    count = len(starts_s)
    telemetry.import_intervals(
        ImportedIntervals(
            ("fac-001",),
            np.zeros(count, dtype=np.int64),
            starts_s,
            np.full(count, 900),
            np.full(count, 50.0),
            np.full(count, np.nan),
        )
    )
    site = ForecastSite(facility_id="fac-001", tz="UTC", weather_cell="cell-1")
    ((_, found),) = inputs_of(telemetry, [site], {}, NOON, days=2)
    assert isinstance(found, SiteInputs)
    assert found.newest_reading_at == NOON - timedelta(hours=told_until_h)
