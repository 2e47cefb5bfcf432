"""A prediction from a readings file: train on what lies before a moment, forecast from it; pure but for the port."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from application.ports.load_forecaster import FacilityHistory, LoadForecaster
from application.ports.readings_file import FacilityReadings
from domain.time_windows import IntervalSeries

PREDICTED = timedelta(hours=48)
TRAINED_ON = timedelta(days=400)
"""Older load counts for next to nothing, and costs time."""


class UnusableStep(ValueError):
    """The file's steps do not divide an hour."""


class PredictedStep(msgspec.Struct, frozen=True, kw_only=True):
    """Mean kW of one step, as quantiles."""

    starts_at: datetime
    p10_kw: float
    p50_kw: float
    p90_kw: float


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """What was predicted of one facility, step by step."""

    facility_id: str
    tz: str
    step_s: int
    model: str
    model_version: str
    used_weather: bool
    steps: tuple[PredictedStep, ...]


def predict_load(
    readings: FacilityReadings, forecaster: LoadForecaster, *, at: datetime, tz: ZoneInfo, with_weather: bool
) -> Prediction:
    """48 hours from the first step that starts at `at` or later, from the steps that ended by then.

    Temperatures from `at` on stand for the weather forecast, if `with_weather`. Raises TooLittleHistory or
    UnusableStep.
    """
    step_s = readings.step_s
    if 3600 % step_s:
        raise UnusableStep(f"{readings.facility_id} has steps of {step_s} s; use ones that divide an hour")
    load_kw, temp_c = readings.load_kw(), readings.temperature_c()
    starts_at = _first_step(load_kw, at)
    history = FacilityHistory(
        facility_id=readings.facility_id,
        tz=tz.key,
        mean_kw=_before(load_kw, at),
        temp_c=_before(temp_c, at),
    )
    model = forecaster.train(history, at=at)
    found = forecaster.forecast(
        model,
        history,
        starts_at=starts_at,
        steps=int(PREDICTED.total_seconds()) // step_s,
        temperatures=temp_c if with_weather else None,
    )
    values = zip(found.p10_kw.tolist(), found.p50_kw.tolist(), found.p90_kw.tolist(), strict=True)
    return Prediction(
        facility_id=readings.facility_id,
        tz=tz.key,
        step_s=step_s,
        model=model.name,
        model_version=model.version,
        used_weather=found.used_weather,
        steps=tuple(
            PredictedStep(
                starts_at=starts_at + timedelta(seconds=step_s * index),
                p10_kw=round(low, 4),
                p50_kw=round(middle, 4),
                p90_kw=round(high, 4),
            )
            for index, (low, middle, high) in enumerate(values)
        ),
    )


def _before(series: IntervalSeries, at: datetime) -> IntervalSeries:
    """The steps that ended by `at`, of the last TRAINED_ON."""
    step = timedelta(seconds=series.step_s)
    known = min(max((at - series.starts_at) // step, 0), len(series.values))
    first = max(known - TRAINED_ON // step, 0)
    return IntervalSeries(series.starts_at + step * first, series.step_s, series.values[first:known])


def _first_step(series: IntervalSeries, at: datetime) -> datetime:
    """The start of the first step of the series' grid at or after `at`, also beyond its end."""
    step = timedelta(seconds=series.step_s)
    return series.starts_at - step * ((series.starts_at - at) // step)
