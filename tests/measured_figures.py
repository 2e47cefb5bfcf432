"""Figures of measurements, for tests that need one and do not look at where it came from."""

from typing import Any

from domain.baseline import BaselineParameters
from domain.dispatch import AdjustmentFigures, MeasuredDay, MeasurementFigures
from tests.sample_values import ENDS_AT, STARTS_AT


def figures(delivered_kw: float = 70.0, data_hash: str = "a", **changes: Any) -> MeasurementFigures:
    values: dict[str, Any] = {
        "baseline_method": "caiso-10-in-10",
        "parameters": BaselineParameters(),
        "tz": "America/Los_Angeles",
        "starts_at": STARTS_AT,
        "ends_at": ENDS_AT,
        "holidays_of": "US",
        "adjustment": AdjustmentFigures(kind="none"),
        "intervals": (),
        "coverage_pct": 100.0,
        "figures_hash": data_hash.upper(),
    }
    return MeasurementFigures(**(values | changes), delivered_kw=delivered_kw, data_hash=data_hash)


def measured_day(day: str) -> MeasuredDay:
    return MeasuredDay(day=day, use="used", mean_kw=110.0, window_kw=(110.0,))
