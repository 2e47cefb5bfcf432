"""The sum of many facilities' load, step by step; pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
import numpy as np

from domain.telemetry.load_history import LoadHistory


class SummedStep(msgspec.Struct, frozen=True, kw_only=True):
    starts_at: datetime
    kw: float | None
    """The sum of the available means; None where none is available."""
    missing: int
    """Facilities without data in this step. Their load is not in the sum."""


def summed(series: Sequence[LoadHistory]) -> tuple[SummedStep, ...]:
    """The sum of histories with the same steps; empty without histories."""
    if not series:
        return ()
    first = series[0]
    kw = np.stack([one.mean_kw for one in series])
    missing = np.isnan(kw).sum(axis=0)
    sums = np.round(np.nansum(kw, axis=0), 3)
    return tuple(
        SummedStep(
            starts_at=first.starts_at + timedelta(seconds=first.step_s * number),
            kw=None if absent == len(series) else total,
            missing=absent,
        )
        for number, (total, absent) in enumerate(zip(sums.tolist(), missing.tolist(), strict=True))
    )
