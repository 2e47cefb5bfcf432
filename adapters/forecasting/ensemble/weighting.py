"""Weights the candidates by 1/MSE^p of their errors over the last weeks.

Where the models are good, the mix is nearly theirs alone. Where a facility has changed, or has no pattern, the
naive methods have more weight, so that no facility is much worse off than with the best of them.
"""

import numpy as np
from numpy.typing import NDArray

from domain.time_series.windows import FloatArray

POWER = 3.0
SPANS_H = ((0, 4), (4, 24), (24, 48))
"""Horizons with separate weights."""
SPAN_OF = np.concatenate([np.full(last - first, i) for i, (first, last) in enumerate(SPANS_H)])


def mean_squares(errors_kw: FloatArray) -> FloatArray:
    """Sum and count of the squares of errors (..., 48), NaN where not metered, for each span: shape (..., spans,
    2)."""
    known = np.isfinite(errors_kw)
    square = np.where(known, np.square(np.where(known, errors_kw, 0.0)), 0.0)
    parts = [
        np.stack([square[..., first:last].sum(axis=-1), known[..., first:last].sum(axis=-1)], axis=-1)
        for first, last in SPANS_H
    ]
    return np.stack(parts, axis=-2)


def mixing_weights(sums: FloatArray, allowed: NDArray[np.bool_], prior: FloatArray) -> FloatArray:
    """Shape (candidates, facilities, spans), with a sum of 1 over the candidates.

    `sums` as of mean_squares, (candidates, facilities, spans, 2); only candidates `allowed` (candidates,
    facilities) count. Without any errors, `prior` (candidates,) are the weights.
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
    result: FloatArray = merit / np.maximum(merit.sum(axis=0), 1e-300)
    return result


def combine(weights: FloatArray, candidates_kw: FloatArray, age_h: int = 0) -> FloatArray:
    """Shape (facilities, n), the mix of candidates (candidates, facilities, n) without those that are NaN.

    With data `age_h` old the weights are those of a horizon longer by that.
    """
    span = SPAN_OF[np.minimum(np.arange(candidates_kw.shape[2]) + age_h, len(SPAN_OF) - 1)]
    usable = np.isfinite(candidates_kw)
    used = weights[:, :, span] * usable
    total = np.einsum("cfs,cfs->fs", used, np.where(usable, candidates_kw, 0.0))
    result: FloatArray = total / np.maximum(used.sum(axis=0), 1e-300)
    return result
