"""Backtest scores: the quality of past forecasts beside simple methods without a model; pure.

Every method is scored on the same steps: those that were metered and for which every method has a value.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from application.ports.forecast.load_forecaster import FacilityHistory
from application.ports.forecast.rolling_forecasts import HORIZON_H, FacilityRun
from domain.time_series.windows import FloatArray

SPANS_H: dict[str, tuple[int, int]] = {"day_ahead": (0, 24), "second_day": (24, 48)}
"""Hours after the origin."""
NAIVE = ("last_week", "mean_of_7_days", "yesterday", "mean_of_4_weeks")
OURS = "forecast"
QUANTILES = (0.1, 0.5, 0.9)
HOUR_S = 3600
DAY_H, WEEK_H = 24, 168
GUARDED_WITHIN = 1.03
"""A facility counts as worse than naive where its error exceeds that of its best naive method by this
factor."""


class MethodScore(msgspec.Struct, frozen=True, kw_only=True):
    rmse_kw: float
    cvrmse: float | None
    """RMSE over the mean of the metered load; None where that is 0 or below."""
    pinball_kw: float
    """Mean over the three quantiles. A method without quantiles uses its one value for each."""


class SpanScore(msgspec.Struct, frozen=True, kw_only=True):
    """The score of one facility over a part of the horizon."""

    steps: int
    methods: dict[str, MethodScore]
    """OURS and NAIVE."""
    coverage_80: float

    def ratio(self, to: str, *, pinball: bool = False) -> float | None:
        """Our error divided by that of another method; None where that has none."""
        ours, other = self.methods[OURS], self.methods[to]
        above, below = (ours.pinball_kw, other.pinball_kw) if pinball else (ours.rmse_kw, other.rmse_kw)
        return above / below if below > 0 else None

    @property
    def best_naive(self) -> str:
        return min(NAIVE, key=lambda name: self.methods[name].rmse_kw)


class FacilityScore(msgspec.Struct, frozen=True, kw_only=True):
    facility_id: str
    model: str
    origins: int
    spans: dict[str, SpanScore]
    notes: tuple[str, ...] = ()


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A summary over facilities of one part of the horizon: geometric means, and the facilities that are
    worse than naive."""

    facilities: int
    cvrmse: float | None
    rmse_to: dict[str, float | None]
    rmse_to_best_naive: float | None
    pinball_to_last_week: float | None
    coverage_80: float | None
    """The arithmetic mean."""
    worse_than_best_naive: dict[str, float]
    """Facility -> ratio, where it is above GUARDED_WITHIN."""


class _Steps(NamedTuple):
    """Arrays of shape (origins, steps of 48 h)."""

    metered_kw: FloatArray
    naive_kw: Mapping[str, FloatArray]


def scored(run: FacilityRun, history: FacilityHistory) -> FacilityScore:
    """The scores of one facility's forecasts against its meter."""
    steps = _steps(run, history)
    per_hour = HOUR_S // history.mean_kw.step_s
    spans = {}
    for name, (first, last) in SPANS_H.items():
        part = slice(first * per_hour, last * per_hour)
        spans[name] = _span(run.kw[:, :, part], steps, part)
    return FacilityScore(
        facility_id=run.facility_id,
        model=run.model,
        origins=len(run.origins_s),
        spans={name: found for name, found in spans.items() if found is not None},
        notes=run.notes,
    )


def summary(scores: Sequence[FacilityScore], span: str) -> Summary:
    found = {one.facility_id: one.spans[span] for one in scores if span in one.spans}
    own = list(found.values())
    best = {facility_id: one.ratio(one.best_naive) for facility_id, one in found.items()}
    return Summary(
        facilities=len(own),
        cvrmse=geometric_mean([one.methods[OURS].cvrmse for one in own]),
        rmse_to={name: geometric_mean([one.ratio(name) for one in own]) for name in NAIVE},
        rmse_to_best_naive=geometric_mean(list(best.values())),
        pinball_to_last_week=geometric_mean([one.ratio("last_week", pinball=True) for one in own]),
        coverage_80=float(np.mean([one.coverage_80 for one in own])) if own else None,
        worse_than_best_naive={
            facility_id: round(ratio, 4)
            for facility_id, ratio in best.items()
            if ratio is not None and ratio > GUARDED_WITHIN
        },
    )


def geometric_mean(values: Sequence[float | None]) -> float | None:
    """Over values above 0; None without any."""
    known = [value for value in values if value is not None and value > 0]
    return float(np.exp(np.mean(np.log(known)))) if known else None


def _span(kw: FloatArray, steps: _Steps, part: slice) -> SpanScore | None:
    metered = steps.metered_kw[:, part]
    others = {name: values[:, part] for name, values in steps.naive_kw.items()}
    known = np.isfinite(metered) & np.isfinite(kw).all(axis=0)
    for values in others.values():
        known &= np.isfinite(values)
    if not known.any():
        return None
    low, middle, high = (values[known] for values in kw)
    truth = metered[known]
    methods = {OURS: _method(truth, (low, middle, high))}
    methods |= {name: _method(truth, (values[known],) * 3) for name, values in others.items()}
    inside = (truth >= low) & (truth <= high)
    return SpanScore(steps=int(known.sum()), methods=methods, coverage_80=float(inside.mean()))


def _method(truth: FloatArray, quantiles_kw: tuple[FloatArray, ...]) -> MethodScore:
    rmse = float(np.sqrt(np.mean(np.square(truth - quantiles_kw[1]))))
    mean = float(truth.mean())
    losses = [
        np.maximum(quantile * (truth - kw), (quantile - 1.0) * (truth - kw)).mean()
        for quantile, kw in zip(QUANTILES, quantiles_kw, strict=True)
    ]
    return MethodScore(
        rmse_kw=rmse, cvrmse=rmse / mean if mean > 0 else None, pinball_kw=float(np.mean(losses))
    )


def _steps(run: FacilityRun, history: FacilityHistory) -> _Steps:
    """The metered load and the naive forecasts, on the steps of the run."""
    series = history.mean_kw
    per_hour = HOUR_S // series.step_s
    first = (run.origins_s - int(series.starts_at.timestamp())) // series.step_s
    ahead = np.arange(HORIZON_H * per_hour)
    target = first[:, None] + ahead

    def at(index: NDArray[np.int64]) -> FloatArray:
        inside = (index >= 0) & (index < len(series.values))
        return np.where(inside, series.values[np.clip(index, 0, len(series.values) - 1)], np.nan)

    days_back = DAY_H * per_hour * (1 + ahead // (DAY_H * per_hour))
    yesterday, last_week = target - days_back, target - WEEK_H * per_hour
    days = [at(yesterday - DAY_H * per_hour * back) for back in range(7)]
    weeks = [at(last_week - WEEK_H * per_hour * back) for back in range(4)]
    return _Steps(
        at(target),
        {
            "last_week": weeks[0],
            "mean_of_7_days": _mean(days),
            "yesterday": days[0],
            "mean_of_4_weeks": _mean(weeks),
        },
    )


def _mean(parts: Sequence[FloatArray]) -> FloatArray:
    """The mean of the available values; NaN where there is none."""
    stacked = np.stack(parts)
    known = np.isfinite(stacked)
    count = known.sum(axis=0)
    total = np.where(known, stacked, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
