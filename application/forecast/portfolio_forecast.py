"""The forecast of many facilities together, with intervals that include the correlation of their errors;
pure.

Errors are assumed to have the same correlation between any two facilities, by lead time: a common factor.
With half-widths u_i (p90 - p50, and likewise p50 - p10) the portfolio's is sqrt((1 - r) sum u_i^2 + r (sum
u_i)^2): the root of the squares for r = 0, the sum of the quantiles for r = 1. The medians are summed. r is
estimated by moments from the scores of the last weeks: (sum e_i)^2 - sum e_i^2 = r k^2 ((sum s_i)^2 - sum
s_i^2), where s_i are the forecast spreads and k^2 = sum e_i^2 / sum s_i^2 corrects spreads that were too wide
or too narrow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime, timedelta

import msgspec
import numpy as np

from application.forecast.as_of import EARLIEST_YEAR
from application.forecast.documents import QuantilesDocument, StepDocument
from application.forecast.scoring import LEADS_H
from application.ports.forecast.scores import ErrorCorrelation, ForecastScores
from domain.forecast import CYCLE, ForecastState, cycle_start_of, quality_at
from domain.time_series.quantiles import CompactSteps
from domain.time_series.windows import FloatArray

MEASURED_OVER = timedelta(days=28)
MIN_QUARTERS = 7 * 96
"""A week of quarter-hours. With fewer, no correlation is estimated."""
ASSUMED = 1.0
"""The correlation without an estimate; it gives the widest interval."""
MAX_LISTED = 100


class NoPortfolioForecast(ValueError):
    """No facility of the portfolio has a forecast that could be summed. The text says how many there are."""


class CorrelationEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """The correlation between the errors of any two facilities, `lead_h` hours ahead."""

    lead_h: int
    correlation: float
    """0 to 1. Negative correlations count as 0."""
    measured: bool
    """False: too few scores; 1 is assumed."""
    quarters: int


class PortfolioForecastDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The forecast of the facilities that have one; those in `without_forecast` are not in the sums."""

    as_of: datetime
    facilities: int
    without_forecast: int
    without_forecast_ids: tuple[str, ...]
    """The first 100 of them."""
    counts_as: dict[str, int]
    """The number of facilities by the data quality of their forecast at `as_of`."""
    weather_available: int
    """The number of facilities whose forecast had weather."""
    least_sensor_coverage_pct: float
    oldest_issued_at: datetime
    models: tuple[str, ...]
    correlations: tuple[CorrelationEstimate, ...]
    step_s: int
    steps: tuple[StepDocument, ...]
    """As far as all forecasts reach."""


def measured_correlations(scores: ForecastScores, day: date) -> list[CorrelationEstimate]:
    """Estimates over the four weeks before `day`, from the data available when it begins; one for each scored
    lead time."""
    found: dict[int, ErrorCorrelation] = {}
    if day.year >= EARLIEST_YEAR:
        first, last = day - MEASURED_OVER, day - timedelta(days=1)
        found = {one.lead_h: one for one in scores.correlations(first, last)}
    return [_estimate(lead_h, found.get(lead_h)) for lead_h in LEADS_H]


def assumed_correlations() -> list[CorrelationEstimate]:
    """A correlation for each scored lead time, without any score."""
    return [_estimate(lead_h, None) for lead_h in LEADS_H]


def _estimate(lead_h: int, sums: ErrorCorrelation | None) -> CorrelationEstimate:
    if (
        sums is None
        or sums.quarters < MIN_QUARTERS
        or min(sums.own_kw2, sums.spread_own_kw2, sums.spread_pairs_kw2) <= 0
    ):
        return CorrelationEstimate(
            lead_h=lead_h, correlation=ASSUMED, measured=False, quarters=0 if sums is None else sums.quarters
        )
    scale = sums.own_kw2 / sums.spread_own_kw2
    correlation = sums.pairs_kw2 / (scale * sums.spread_pairs_kw2)
    return CorrelationEstimate(
        lead_h=lead_h, correlation=min(1.0, max(0.0, correlation)), measured=True, quarters=sums.quarters
    )


def portfolio_forecast(
    states: Collection[ForecastState],
    facility_ids: Iterable[str],
    estimates: Sequence[CorrelationEstimate],
    as_of: datetime,
) -> PortfolioForecastDocument:
    """The sum of the forecasts in `states` from the quarter-hour of `as_of` on. Raises NoPortfolioForecast."""
    foreseen = {state.facility_id for state in states}
    missing = sorted(set(facility_ids) - foreseen)
    first = cycle_start_of(as_of)
    quantiles = [state.compact_steps for state in states]
    last = min((steps.ends_at for steps in quantiles), default=first)
    count = max(0, (last - first) // CYCLE)
    if not states or not count:
        raise NoPortfolioForecast(
            f"none of {len(missing) + len(foreseen)} facilities has a forecast at {as_of.isoformat()}; without meter "
            "data there is none, else see that the compute worker runs"
        )
    lead_h = np.arange(count) * (CYCLE / timedelta(hours=1))
    correlation = np.interp(lead_h, [e.lead_h for e in estimates], [e.correlation for e in estimates])
    p10, p50, p90 = together(_stacked(quantiles, first, count), correlation)
    inputs = [state.inputs for state in states]
    return PortfolioForecastDocument(
        as_of=as_of,
        facilities=len(states),
        without_forecast=len(missing),
        without_forecast_ids=tuple(missing[:MAX_LISTED]),
        counts_as=dict(Counter(quality_at(s.data_quality, s.cycle_start, as_of) for s in states)),
        weather_available=sum(one.weather_available for one in inputs),
        least_sensor_coverage_pct=min(one.sensor_coverage_pct for one in inputs),
        oldest_issued_at=min(state.issued_at for state in states),
        models=tuple(sorted({f"{state.model.name} {state.model.version}" for state in states})),
        correlations=tuple(estimates),
        step_s=int(CYCLE.total_seconds()),
        steps=tuple(
            StepDocument(
                starts_at=first + CYCLE * n, ends_at=first + CYCLE * (n + 1), kw=QuantilesDocument(*kw)
            )
            for n, kw in enumerate(np.round([p10, p50, p90], 3).T.tolist())
        ),
    )


def together(kw: FloatArray, correlation: FloatArray) -> FloatArray:
    """10, 50 and 90 % quantiles of the sum, shape (3, steps), of those in `kw`, shape (3, facilities, steps).

    `correlation` (steps) is that between any two facilities' errors.
    """
    middle = kw[1].sum(axis=0)
    half_widths = np.abs(kw[[0, 2]] - kw[1])
    own, whole = (half_widths**2).sum(axis=1), half_widths.sum(axis=1) ** 2
    below, above = np.sqrt((1.0 - correlation) * own + correlation * whole)
    return np.stack([middle - below, middle, middle + above])


def _stacked(quantiles: Iterable[CompactSteps], first: datetime, count: int) -> FloatArray:
    rows = []
    for steps in quantiles:
        skipped = (first - steps.starts_at) // CYCLE
        rows.append(steps.kw()[:, skipped : skipped + count])
    return np.stack(rows, axis=1)
