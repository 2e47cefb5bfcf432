"""The error of methods: of one facility over its days, and over facilities."""

from collections.abc import Iterable, Mapping, Sequence
from math import exp, log
from statistics import fmean, median

import msgspec
import numpy as np

from domain.baseline.expected_error import ExpectedError, measured_error
from domain.time_series.windows import FloatArray

MOST_BIAS = 0.015
"""A method whose median bias is larger is not recommended: it pays too much, or too little, on every day."""


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """Over `days`; both None where nothing was metered, or nothing above zero on average."""

    days: int
    bias: float | None
    cvrmse: float | None


class MethodScore(Score, frozen=True, kw_only=True):
    """A method on the days of a facility."""

    refused: int
    """Days that the method could not do."""
    hot: Score


class OverallScore(msgspec.Struct, frozen=True, kw_only=True):
    """Over `facilities` that have the method's figures; None without one."""

    facilities: int
    days: int
    bias_median: float | None
    cvrmse_median: float | None
    cvrmse_geomean: float | None


class MethodOverall(OverallScore, frozen=True, kw_only=True):
    """A method over all facilities."""

    refused: int
    hot: OverallScore


def method_score(
    baselines_kw: Sequence[FloatArray | None], metered_kw: Sequence[FloatArray], hot_days: frozenset[int]
) -> MethodScore:
    """`baselines_kw` are the adjusted ones of each day, None where refused; `hot_days` are indices of days."""
    pairs = list(zip(baselines_kw, metered_kw, strict=True))
    everything = _score(pairs)
    return MethodScore(
        days=everything.days,
        bias=everything.bias,
        cvrmse=everything.cvrmse,
        refused=sum(1 for baseline_kw in baselines_kw if baseline_kw is None),
        hot=_score([pair for n, pair in enumerate(pairs) if n in hot_days]),
    )


def hottest(mean_temp_c: FloatArray, share: float) -> frozenset[int]:
    """The indices of the hottest `share` of the days (at least one) that have a temperature; of equals the first."""
    known = np.flatnonzero(~np.isnan(mean_temp_c))
    count = min(len(known), max(1, round(share * len(known))))
    order = np.argsort(-mean_temp_c[known], kind="stable")
    return frozenset(known[order[:count]].tolist())


def overall(scores: Iterable[MethodScore]) -> MethodOverall:
    """The scores of one method over all facilities."""
    all_scores = list(scores)
    everything = _overall(all_scores)
    return MethodOverall(
        **msgspec.structs.asdict(everything),
        refused=sum(score.refused for score in all_scores),
        hot=_overall([score.hot for score in all_scores]),
    )


def recommended(methods: Mapping[str, MethodOverall]) -> str | None:
    """The method of the least cvrmse_geomean among those with a median bias of at most MOST_BIAS."""
    candidates = {
        name: score.cvrmse_geomean
        for name, score in methods.items()
        if score.cvrmse_geomean is not None and abs(score.bias_median or 0.0) <= MOST_BIAS
    }
    return min(candidates, key=lambda name: candidates[name], default=None)


def _score(pairs: Sequence[tuple[FloatArray | None, FloatArray]]) -> Score:
    done = [(baseline_kw, load_kw) for baseline_kw, load_kw in pairs if baseline_kw is not None]
    if not done:
        return Score(days=0, bias=None, cvrmse=None)
    loads_kw = np.concatenate([load_kw for _, load_kw in done])
    is_metered = ~np.isnan(loads_kw)
    errors_kw = np.concatenate([baseline_kw for baseline_kw, _ in done]) - loads_kw
    error: ExpectedError | None = measured_error(
        errors_kw[is_metered].tolist(), loads_kw[is_metered].tolist(), days=len(done)
    )
    return Score(
        days=len(done),
        bias=None if error is None else error.bias,
        cvrmse=None if error is None else error.cvrmse,
    )


def _overall(scores: Sequence[Score]) -> OverallScore:
    biases = [score.bias for score in scores if score.bias is not None]
    errors = [score.cvrmse for score in scores if score.cvrmse is not None]
    return OverallScore(
        facilities=len(errors),
        days=sum(score.days for score in scores),
        bias_median=median(biases) if biases else None,
        cvrmse_median=median(errors) if errors else None,
        cvrmse_geomean=_geometric_mean(errors),
    )


def _geometric_mean(values: Sequence[float]) -> float | None:
    if not values:
        return None
    return exp(fmean(log(value) for value in values)) if min(values) > 0 else 0.0
