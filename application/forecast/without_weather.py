"""Facilities whose forecasts without weather are as accurate as with it, by what was measured; for the guardrail
`accept_no_weather`."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from math import sqrt

import structlog

from application.bounded_cache import BoundedCache
from application.forecast.accuracy import summed
from application.forecast.scoring import LEADS_H, QUARTERS
from application.ports.forecast.scores import ForecastScore, ForecastScores
from application.ports.operations.unavailable import OperationsUnavailable

_log = structlog.get_logger(__name__)
SCORED_DAYS = 28
"""The UTC days that are compared, the last of them yesterday's."""
MIN_QUARTERS = 7 * 24 * QUARTERS * len(LEADS_H)
"""A week of scored quarter-hours, at all lead times. Fewer are no measurement."""
AS_GOOD = 1.05
"""The largest ratio of the errors that counts as equal: two months of one building differ by more."""
WITH_WEATHER = frozenset({"full", "degraded_stale_weather"})
WITHOUT_WEATHER = "degraded_no_weather"
CACHED = timedelta(minutes=15)
MAX_FACILITIES = 50_000


def is_as_accurate_without_weather(scores: Iterable[ForecastScore]) -> bool:
    """True if the forecasts of one facility that were issued without weather are as good as those with it.

    `scores` are those of the last SCORED_DAYS, over all lead times. The error is the root mean square error divided by
    the mean load of the same quarter-hours (CVRMSE), since the two were not made at the same time. It is as good if it
    is at most AS_GOOD times that with weather. Where fewer than MIN_QUARTERS were forecast with weather, it is as good
    if it is at most that of the load a week before as a forecast, over the quarter-hours in which that is known. Where
    fewer than MIN_QUARTERS were forecast without weather, nothing was measured, and it is not. Forecasts from stale
    data do not count.
    """
    by_quality: dict[str, list[ForecastScore]] = {}
    for score in scores:
        by_quality.setdefault(score.data_quality, []).append(score)
    without = by_quality.get(WITHOUT_WEATHER, [])
    with_weather = [score for quality in WITH_WEATHER for score in by_quality.get(quality, [])]
    if sum(score.quarters for score in without) < MIN_QUARTERS:
        return False
    if sum(score.quarters for score in with_weather) < MIN_QUARTERS:
        return _beats_last_week(summed(without))
    one, other = summed(without), summed(with_weather)
    # By products: the mean load may be zero.
    return _rmse_kw(one) * _mean_kw(other) <= AS_GOOD * _rmse_kw(other) * _mean_kw(one)


def _beats_last_week(score: ForecastScore) -> bool:
    return score.compared >= MIN_QUARTERS and score.compared_square_kw2 <= score.naive_square_kw2


def _rmse_kw(score: ForecastScore) -> float:
    return sqrt(score.square_kw2 / score.quarters)


def _mean_kw(score: ForecastScore) -> float:
    return abs(score.load_kw / score.quarters)


class AccuracyWithoutWeather:
    """The scores of facilities, read for many in one round trip and cached for a quarter-hour."""

    def __init__(self, scores: ForecastScores) -> None:
        self._scores = scores
        self._cached = BoundedCache[str, tuple[datetime, bool]](
            "accuracy without weather", max_size=MAX_FACILITIES
        )

    def __call__(self, facility_ids: Sequence[str], at: datetime) -> frozenset[str]:
        """The facilities whose forecasts without weather are as accurate; none while the scores cannot be read."""
        cached = zip(facility_ids, self._cached.get_all(facility_ids), strict=True)
        known = {one: found[1] for one, found in cached if found is not None and _is_fresh(found[0], at)}
        due = [one for one in facility_ids if one not in known]
        if due:
            try:
                known |= self._read(due, at)
            except OperationsUnavailable as error:
                _log.warning("accuracy without weather is not known", why=str(error))
                return frozenset()
        return frozenset(one for one in facility_ids if known[one])

    def _read(self, facility_ids: Sequence[str], at: datetime) -> dict[str, bool]:
        """Read these, and cache them."""
        last = (at - timedelta(days=1)).date()
        by_facility: dict[str, list[ForecastScore]] = {one: [] for one in facility_ids}
        for score in self._scores.totals(last - timedelta(days=SCORED_DAYS - 1), last, facility_ids):
            by_facility[score.facility_id].append(score)
        found = {one: is_as_accurate_without_weather(scores) for one, scores in by_facility.items()}
        for facility_id, is_as_accurate in found.items():
            self._cached.put(facility_id, (at, is_as_accurate))
        return found


def _is_fresh(read_at: datetime, at: datetime) -> bool:
    return timedelta(0) <= at - read_at < CACHED
