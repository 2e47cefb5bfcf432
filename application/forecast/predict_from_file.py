"""Predictions from a readings file: train on the data before a moment, and forecast from it; pure but for the
port."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from application.forecast.forecast_commands import last_usable_at
from application.ports.forecast.load_forecaster import (
    NAIVE,
    FacilityHistory,
    LoadForecaster,
    LoadQuantiles,
    TooLittleHistory,
    TrainedModel,
)
from application.ports.history_import import FacilityReadings
from domain.forecast import STALE_READING, DataQuality, data_quality
from domain.time_series.windows import IntervalSeries

PREDICTED = timedelta(hours=48)
TRAINED_ON = timedelta(days=1_100)
"""Older load has almost no weight, and costs time."""
SILENT_FOR = timedelta(days=28)
"""Load from longer ago says nothing about the present load."""


class UnusableStep(ValueError):
    """The file's steps do not divide an hour."""


class PredictedStep(msgspec.Struct, frozen=True, kw_only=True):
    """Mean kW of one step, as quantiles."""

    starts_at: datetime
    ends_at: datetime
    p10_kw: float
    p50_kw: float
    p90_kw: float


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """The prediction of one facility, step by step."""

    facility_id: str
    tz: str
    data_quality: DataQuality
    model: str
    """Name and version, `name@version`."""
    used_weather: bool
    notes: tuple[str, ...]
    steps: tuple[PredictedStep, ...]


def predict_loads(
    readings: Sequence[FacilityReadings],
    forecaster: LoadForecaster,
    *,
    at: datetime,
    zones: Mapping[str, ZoneInfo],
    with_weather: bool,
    region: str | None = None,
) -> tuple[list[Prediction], dict[str, str]]:
    """Predict 48 hours from the first step that starts at `at` or later, using the steps that ended by then.

    With `with_weather`, the temperatures from `at` on serve as the weather forecast. Also returns facility ->
    reason for those without a prediction. `zones` has the time zone of each facility; `region` (as
    FacilityHistory.region) is that of all.
    """
    histories: list[tuple[FacilityReadings, FacilityHistory]] = []
    refused: dict[str, str] = {}
    for one in readings:
        try:
            histories.append((one, history_before(one, at, zones[one.facility_id], region)))
        except (UnusableStep, TooLittleHistory) as error:
            refused[one.facility_id] = str(error)
    models = forecaster.train_many([history for _, history in histories], at=at)
    predictions = []
    for (one, history), model in zip(histories, models, strict=True):
        if isinstance(model, TooLittleHistory):
            refused[one.facility_id] = str(model)
        else:
            predictions.append(_prediction(one, history, model, forecaster, at=at, with_weather=with_weather))
    return predictions, refused


def history_before(
    readings: FacilityReadings, at: datetime, tz: ZoneInfo, region: str | None = None
) -> FacilityHistory:
    """The history that had ended by `at`. Raises UnusableStep or TooLittleHistory."""
    facility_id, step_s = readings.facility_id, readings.step_s
    check_step(readings)
    load_kw = _before(readings.load_kw(), at)
    known = np.flatnonzero(np.isfinite(load_kw.values))
    if known.size:
        newest = load_kw.starts_at + timedelta(seconds=step_s * (int(known[-1]) + 1))
        if at - newest > SILENT_FOR:
            raise TooLittleHistory(
                f"the readings of {facility_id} end at {newest.isoformat()}, more than {SILENT_FOR.days} days before "
                f"{at.isoformat()}; give an earlier --at"
            )
    return FacilityHistory(
        facility_id=facility_id,
        tz=tz.key,
        mean_kw=load_kw,
        temp_c=_before(readings.temperature_c(), at),
        region=region,
    )


def check_step(readings: FacilityReadings) -> None:
    """Raises UnusableStep."""
    step_s = readings.step_s
    if 3600 % step_s or (step_s < 900 and 900 % step_s):
        raise UnusableStep(
            f"{readings.facility_id} has steps of {step_s} s; use ones that divide a quarter-hour or an hour"
        )


def _prediction(
    readings: FacilityReadings,
    history: FacilityHistory,
    model: TrainedModel,
    forecaster: LoadForecaster,
    *,
    at: datetime,
    with_weather: bool,
) -> Prediction:
    starts_at = _first_step(readings.load_kw(), at)
    temperatures = readings.temperature_c() if with_weather else None
    found = forecaster.forecast(
        model,
        history,
        starts_at=starts_at,
        steps=int(PREDICTED.total_seconds()) // readings.step_s,
        temperatures=temperatures,
    )
    is_needless = (
        model.name == NAIVE and temperatures is not None and bool(np.isfinite(temperatures.values).any())
    )
    return Prediction(
        facility_id=readings.facility_id,
        tz=history.tz,
        data_quality=_quality(history, found, at, starts_at, has_weather=found.used_weather or is_needless),
        model=f"{model.name}@{model.version}",
        used_weather=found.used_weather,
        notes=model.notes,
        steps=_steps(found, starts_at, timedelta(seconds=readings.step_s)),
    )


def _quality(
    history: FacilityHistory, found: LoadQuantiles, at: datetime, starts_at: datetime, *, has_weather: bool
) -> DataQuality:
    """The data quality, as for a recorded forecast. A step that had not ended yet does not make the data
    stale."""
    series = history.mean_kw
    step = timedelta(seconds=series.step_s)
    known = np.isfinite(series.values)
    newest = series.starts_at + step * (int(np.flatnonzero(known)[-1]) + 1)
    newest = min(newest, last_usable_at(starts_at, age_h=found.age_h, unheard=found.unheard, step=step))
    day = known[-(timedelta(days=1) // step) :]
    return data_quality(
        at=at,
        newest_reading_at=at if at - newest < max(step, STALE_READING) else newest,
        sensor_coverage_pct=100.0 * (float(day.mean()) - found.left_out / len(day)),
        weather_available=has_weather,
        weather_age_s=0.0,
    )


def _steps(found: LoadQuantiles, starts_at: datetime, step: timedelta) -> tuple[PredictedStep, ...]:
    values = zip(found.p10_kw.tolist(), found.p50_kw.tolist(), found.p90_kw.tolist(), strict=True)
    return tuple(
        PredictedStep(
            starts_at=starts_at + step * index,
            ends_at=starts_at + step * (index + 1),
            p10_kw=round(low, 4),
            p50_kw=round(middle, 4),
            p90_kw=round(high, 4),
        )
        for index, (low, middle, high) in enumerate(values)
    )


def _before(series: IntervalSeries, at: datetime) -> IntervalSeries:
    """The steps that ended by `at`, within the last TRAINED_ON."""
    step = timedelta(seconds=series.step_s)
    known = min(max((at - series.starts_at) // step, 0), len(series.values))
    first = max(known - TRAINED_ON // step, 0)
    return IntervalSeries(series.starts_at + step * first, series.step_s, series.values[first:known])


def _first_step(series: IntervalSeries, at: datetime) -> datetime:
    """The start of the first step of the series' grid at or after `at`, even beyond its end."""
    step = timedelta(seconds=series.step_s)
    return series.starts_at - step * ((series.starts_at - at) // step)
