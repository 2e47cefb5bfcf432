"""The mean load by time of week and temperature: ridge-weighted least squares on hourly means.

After the time-of-week-and-temperature model of LBNL (Mathieu et al., "Quantifying changes in building
electricity use, with application to demand response", IEEE Trans. Smart Grid 2(3), 2011): columns for the hour
of the day and its Saturday and Sunday deviations, the weekday, and a piecewise-linear temperature (knots at its
20, 50 and 80 % quantiles) apart for occupied and other hours, and temperature smoothed over a day. Older hours
count less. What is left per hour of the week is added as a shrunk mean.
"""

import msgspec
import numpy as np
from statsmodels.regression.linear_model import WLS

from adapters.forecasting.hours import HOUR_S, HOURS_A_WEEK, IntArray, without_gaps
from domain.time_windows import FloatArray

HALF_LIFE_H = 24 * 60.0
SMOOTHED_H = 24.0
SATURDAY, SUNDAY = 5, 6
LEAST_WEEKLY_H = 14 * 24
"""With fewer known hours than two weeks the model knows the time of day only."""
WEEK_SHRINKAGE = 4.0


class MeanModel(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of a fitted mean, plain numbers; kW and degrees Celsius."""

    weekly: bool
    coefficients: list[float]
    week_offsets_kw: list[float]
    """Per hour of the week."""
    occupied: list[bool]
    """Per hour of the week."""
    knots_c: list[float]
    """Empty: fitted without temperature."""

    @property
    def uses_weather(self) -> bool:
        return bool(self.knots_c)


class FittedMean(msgspec.Struct, frozen=True, eq=False):
    """A model and its errors on the hours it was fitted to, each as if that hour had been left out."""

    model: MeanModel
    residual_kw: FloatArray
    """Metered less fitted, shape (hours,), NaN where not metered."""


def fit_mean(hour_of_week: IntArray, load_kw: FloatArray, temp_c: FloatArray | None) -> FittedMean:
    """Fit to hourly means (all arrays of shape (hours,), NaN where `load_kw` is missing)."""
    known = np.isfinite(load_kw)
    weekly = int(known.sum()) >= LEAST_WEEKLY_H
    outline = MeanModel(
        weekly=weekly,
        coefficients=[],
        week_offsets_kw=[0.0] * HOURS_A_WEEK,
        occupied=_occupied(hour_of_week[known], load_kw[known]),
        knots_c=_knots(temp_c) if weekly and temp_c is not None else [],
    )
    columns, penalty = _design(outline, hour_of_week, temp_c)
    age_h = np.arange(len(load_kw))[::-1][known]
    weights = 0.5 ** (age_h / HALF_LIFE_H)
    coefficients, leverage = _ridge(columns[known], load_kw[known], weights, penalty)
    residual = np.full(len(load_kw), np.nan)
    residual[known] = (load_kw[known] - columns[known] @ coefficients) / (1.0 - leverage)
    model = msgspec.structs.replace(outline, coefficients=coefficients.tolist())
    if not weekly:
        return FittedMean(model, residual)
    offsets, left = _week_offsets(hour_of_week, residual)
    return FittedMean(msgspec.structs.replace(model, week_offsets_kw=offsets.tolist()), left)


def mean_kw(model: MeanModel, hour_of_week: IntArray, temp_c: FloatArray | None) -> FloatArray:
    """The fitted mean of each hour, shape (hours,)."""
    columns, _ = _design(model, hour_of_week, temp_c)
    fitted: FloatArray = columns @ np.array(model.coefficients)
    offsets: FloatArray = np.array(model.week_offsets_kw)[hour_of_week]
    return fitted + offsets


def hour_of_week_of(local_s: IntArray) -> IntArray:
    return local_s // HOUR_S


def _ridge(
    columns: FloatArray, load_kw: FloatArray, weights: FloatArray, penalty: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Coefficients and each row's leverage; the penalty enters as rows that pull each coefficient to zero."""
    count = columns.shape[1]
    rows = np.vstack([columns, np.eye(count)])
    target = np.concatenate([load_kw, np.zeros(count)])
    # hasconst: the hours of the day add up to one; unsaid, statsmodels spends most of its time on finding out.
    fitted = WLS(target, rows, weights=np.concatenate([weights, penalty]), hasconst=True).fit(method="qr")
    inverse = fitted.normalized_cov_params
    leverage = weights * np.einsum("ij,ij->i", columns @ inverse, columns)
    return np.asarray(fitted.params), np.minimum(leverage, 0.9)


def _design(
    model: MeanModel, hour_of_week: IntArray, temp_c: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """The columns of each hour and the ridge penalty of each column."""
    hour, day = hour_of_week % 24, hour_of_week // 24
    hours = np.eye(24)[hour]
    parts, penalties = [hours], [np.full(24, 1e-3)]
    if model.weekly:
        parts += [hours * (day == SATURDAY)[:, None], hours * (day == SUNDAY)[:, None], np.eye(7)[day]]
        penalties += [np.full(48, 0.5), np.full(7, 2.0)]
    if model.uses_weather:
        if temp_c is None:
            raise ValueError("this model was fitted with temperatures and needs them")
        warmth = _temperature_columns(model, hour_of_week, temp_c)
        parts.append(warmth)
        penalties.append(np.full(warmth.shape[1], 1.0))
    return np.hstack(parts), np.concatenate(penalties)


def _temperature_columns(model: MeanModel, hour_of_week: IntArray, temp_c: FloatArray) -> FloatArray:
    """Tens of kelvin in each segment between the knots, by occupancy, and the smoothed temperature."""
    filled = without_gaps(temp_c)
    edges = [-np.inf, *model.knots_c, np.inf]
    base = [model.knots_c[0], *model.knots_c]
    segments = np.stack(
        [
            np.clip(filled, low, high) - start
            for low, high, start in zip(edges[:-1], edges[1:], base, strict=True)
        ],
        axis=1,
    )
    occupied = np.array(model.occupied)[hour_of_week][:, None]
    smooth = _smoothed(filled) - model.knots_c[1]
    return np.hstack([segments * occupied, segments * ~occupied, smooth[:, None]]) / 10.0


def _smoothed(temp_c: FloatArray) -> FloatArray:
    """Exponential smoothing over about a day, which stands for the heat kept in the building."""
    smooth = np.empty_like(temp_c)
    level = float(temp_c[:24].mean())
    share = 1.0 / SMOOTHED_H
    for index, value in enumerate(temp_c.tolist()):
        level += share * (value - level)
        smooth[index] = level
    return smooth


def _knots(temp_c: FloatArray) -> list[float]:
    """None where the temperature is hardly known or hardly varies: it then explains nothing."""
    known = temp_c[np.isfinite(temp_c)]
    if known.size < 0.7 * temp_c.size or float(np.ptp(known)) < 2.0:
        return []
    return [float(knot) for knot in np.quantile(known, [0.2, 0.5, 0.8])]


def _occupied(hour_of_week: IntArray, load_kw: FloatArray) -> list[bool]:
    """Hours of the week whose mean load is in the upper half of its range."""
    count = np.bincount(hour_of_week, minlength=HOURS_A_WEEK)
    mean = np.bincount(hour_of_week, weights=load_kw, minlength=HOURS_A_WEEK) / np.maximum(count, 1)
    low, high = np.quantile(mean[count > 0], [0.1, 0.9])
    return [bool(busy) for busy in mean > (low + high) / 2]


def _week_offsets(hour_of_week: IntArray, residual: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Shrunk mean residual per hour of the week, and what each hour's residual is beside the others of its kind."""
    known = np.isfinite(residual)
    hours, values = hour_of_week[known], residual[known]
    count = np.bincount(hours, minlength=HOURS_A_WEEK)
    total = np.bincount(hours, weights=values, minlength=HOURS_A_WEEK)
    left = np.full(len(residual), np.nan)
    left[known] = values - (total[hours] - values) / (count[hours] - 1 + WEEK_SHRINKAGE)
    return total / (count + WEEK_SHRINKAGE), left
