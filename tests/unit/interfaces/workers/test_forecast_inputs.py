"""How much of the past a forecast cycle reads."""

from datetime import timedelta

import pytest

from application.ports.load_forecaster import RECENT_DAYS, TrainedModel
from interfaces.workers.forecast_inputs import days_to_read
from tests.fakes.clock import NOON


@pytest.mark.parametrize(
    ("hours", "days"), [([], 2), ([0], 2), ([30, 0], 2), ([50], 3), ([24 * 30], RECENT_DAYS)]
)
def test_all_is_read_since_the_models_histories_ended_and_two_days_at_least(
    hours: list[int], days: int
) -> None:
    """Two, so that 24 whole hours lie before every quarter-hour."""
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
