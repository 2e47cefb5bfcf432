"""The mix of the candidates: each weighs as 1/MSE^p of its errors over the last weeks.

Where the models are good it is nearly theirs alone; where a facility has changed, or never had a pattern, it leans on
the naive methods, so that no facility is much worse off than with the best of them.
"""

import numpy as np
from numpy.typing import NDArray

from domain.time_series.windows import FloatArray

POWER = 3.0
SPANS_H = ((0, 4), (4, 24), (24, 48))
"""Hours ahead that have weights of their own."""
SPAN_OF = np.concatenate([np.full(last - first, i) for i, (first, last) in enumerate(SPANS_H)])


def mean_squares(errors_kw: FloatArray) -> FloatArray:
    """Per span of the horizon, of errors (..., 48) with NaN where not metered: shape (..., spans, 2), sum and count."""
    known = np.isfinite(errors_kw)
    square = np.where(known, np.square(np.where(known, errors_kw, 0.0)), 0.0)
    parts = [
        np.stack([square[..., first:last].sum(axis=-1), known[..., first:last].sum(axis=-1)], axis=-1)
        for first, last in SPANS_H
    ]
    return np.stack(parts, axis=-2)


def mixing_weights(sums: FloatArray, allowed: NDArray[np.bool_], prior: FloatArray) -> FloatArray:
    """Shape (candidates, facilities, spans), adding up to 1 over the candidates.

    `sums` as of mean_squares, (candidates, facilities, spans, 2); only candidates `allowed` (candidates, facilities)
    count. Without any errors to look at, `prior` (candidates,) are the weights.
    """
    may = allowed[:, :, None]
    count = sums[..., 1]
    square = sums[..., 0] / np.maximum(count, 1)
    tried = may & (count > 0)
    best = np.min(np.where(tried, square, np.inf), axis=0)
    floor = np.where(np.isfinite(best), best, 1.0) * 1e-3 + 1e-12
    merit = np.where(tried, (floor / (square + floor)) ** POWER, 0.0)
    merit = np.where(tried.any(axis=0), merit, prior[:, None, None] * may)
    merit = np.where(merit.sum(axis=0) > 0, merit, may * 1.0)
    found: FloatArray = merit / np.maximum(merit.sum(axis=0), 1e-300)
    return found


def mixed(weights: FloatArray, candidates_kw: FloatArray, age_h: int = 0) -> FloatArray:
    """Shape (facilities, n), of candidates (candidates, facilities, n); one that is NaN is not heard.

    With data `age_h` old the weights are those of so many hours further ahead.
    """
    span = SPAN_OF[np.minimum(np.arange(candidates_kw.shape[2]) + age_h, len(SPAN_OF) - 1)]
    said = np.isfinite(candidates_kw)
    heard = weights[:, :, span] * said
    total = np.einsum("cfs,cfs->fs", heard, np.where(said, candidates_kw, 0.0))
    found: FloatArray = total / np.maximum(heard.sum(axis=0), 1e-300)
    return found
