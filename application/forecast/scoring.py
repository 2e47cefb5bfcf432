"""Scoring of one hour: the forecasts of its quarter-hours, by lead time, against the meters; pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
import numpy as np

from application.ports.forecast.past_forecasts import ForecastKey
from application.ports.forecast.scores import ErrorCorrelation, ForecastScore
from domain.forecast import CYCLE, ForecastState
from domain.time_series.windows import FloatArray

HOUR = timedelta(hours=1)
QUARTERS = HOUR // CYCLE
LEADS_H = (1, 4, 12, 23)
"""From the start of a forecast's cycle to the start of the scored hour; 23 is the last hour of a day."""
QUANTILES = (0.1, 0.5, 0.9)
SPREAD_OF_80_PCT = 2 * 1.2815515655446004
"""Standard deviations of a normal distribution between its 10 and 90 % quantiles."""


def forecasts_to_score(facility_ids: Sequence[str], hour: datetime, lead_h: int) -> list[ForecastKey]:
    """The keys of the forecasts of `hour` with that lead time."""
    return [ForecastKey(facility_id, hour - HOUR * lead_h) for facility_id in facility_ids]


class MeteredLoad(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Mean kW in the hour's quarters and a week before: arrays of shape (facilities, 4), NaN where missing."""

    facility_ids: tuple[str, ...]
    load_kw: FloatArray
    week_before_kw: FloatArray


class _MeteredQuarters(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Metered quarter-hours of one facility; `quantiles_kw` has shape (3, quarter-hours)."""

    quantiles_kw: FloatArray
    load_kw: FloatArray
    week_before_kw: FloatArray


def score_hour(
    foreseen: Mapping[ForecastKey, ForecastState],
    metered: MeteredLoad,
    hour: datetime,
    lead_h: int,
    tally: CorrelationTally,
) -> Iterator[ForecastScore]:
    """A score for each facility that has a forecast and at least one metered quarter-hour. Errors are added
    to `tally`."""
    first = lead_h * QUARTERS
    for row, place in enumerate(forecasts_to_score(metered.facility_ids, hour, lead_h)):
        state, load_kw = foreseen.get(place), metered.load_kw[row]
        known = np.isfinite(load_kw)
        if state is None or not known.any():
            continue
        steps = state.steps
        if len(steps.p50_kw) < first + QUARTERS:
            continue
        quantiles_kw = np.array(
            [values[first : first + QUARTERS] for values in (steps.p10_kw, steps.p50_kw, steps.p90_kw)]
        )
        error_kw = np.where(known, quantiles_kw[1] - load_kw, np.nan)
        tally.add(lead_h, error_kw, (quantiles_kw[2] - quantiles_kw[0]) / SPREAD_OF_80_PCT)
        beside = _MeteredQuarters(
            quantiles_kw=quantiles_kw[:, known],
            load_kw=load_kw[known],
            week_before_kw=metered.week_before_kw[row, known],
        )
        yield _score(place.facility_id, lead_h, state.data_quality, beside)


def _score(facility_id: str, lead_h: int, data_quality: str, beside: _MeteredQuarters) -> ForecastScore:
    load_kw = beside.load_kw
    over = load_kw - beside.quantiles_kw
    level = np.array(QUANTILES)[:, None]
    error_kw = -over[1]
    compared = np.isfinite(beside.week_before_kw)
    return ForecastScore(
        facility_id=facility_id,
        lead_h=lead_h,
        data_quality=data_quality,
        quarters=len(load_kw),
        load_kw=float(load_kw.sum()),
        error_kw=float(error_kw.sum()),
        abs_kw=float(np.abs(error_kw).sum()),
        square_kw2=float((error_kw**2).sum()),
        pinball_kw=float(np.maximum(level * over, (level - 1.0) * over).mean(axis=0).sum()),
        below=int((over[0] < 0).sum()),
        above=int((over[2] > 0).sum()),
        compared=int(compared.sum()),
        compared_square_kw2=float((error_kw[compared] ** 2).sum()),
        naive_square_kw2=float(((beside.week_before_kw - load_kw)[compared] ** 2).sum()),
    )


class CorrelationTally:
    """Sums of all facilities' errors in the hour, by quarter-hour."""

    def __init__(self) -> None:
        # The sums of: error, its square, spread, its square, and the number of facilities.
        self._sums: defaultdict[int, FloatArray] = defaultdict(lambda: np.zeros((5, QUARTERS)))

    def add(self, lead_h: int, error_kw: FloatArray, spread_kw: FloatArray) -> None:
        """Add one facility; NaN where it was not metered."""
        known = np.isfinite(error_kw)
        error, spread = np.where(known, error_kw, 0.0), np.where(known, spread_kw, 0.0)
        self._sums[lead_h] += np.array([error, error**2, spread, spread**2, known])

    def correlations(self) -> list[ErrorCorrelation]:
        found = []
        for lead_h, sums in sorted(self._sums.items()):
            error, error2, spread, spread2, _ = sums[:, sums[4] >= 2]
            if len(error):
                found.append(
                    ErrorCorrelation(
                        lead_h=lead_h,
                        quarters=len(error),
                        pairs_kw2=float((error**2 - error2).sum()),
                        own_kw2=float(error2.sum()),
                        spread_pairs_kw2=float((spread**2 - spread2).sum()),
                        spread_own_kw2=float(spread2.sum()),
                    )
                )
        return found
