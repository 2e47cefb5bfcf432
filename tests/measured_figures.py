"""Figures of measurements, for tests that need one and do not look at where it came from."""

from typing import Any

from domain.dispatch import AdjustmentFigures, MeasurementFigures


def figures(delivered_kw: float = 70.0, data_hash: str = "a", **changes: Any) -> MeasurementFigures:
    values: dict[str, Any] = {
        "baseline_method": "caiso-10-in-10",
        "holidays_of": "US",
        "adjustment": AdjustmentFigures(kind="none"),
        "intervals": (),
        "coverage_pct": 100.0,
        "figures_hash": data_hash.upper(),
    }
    return MeasurementFigures(**(values | changes), delivered_kw=delivered_kw, data_hash=data_hash)
