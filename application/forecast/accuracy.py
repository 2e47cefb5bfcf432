"""Forecast accuracy from sums of scores: by lead time and quality, and whether a facility's forecasts have
drifted; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from math import sqrt

import msgspec

from application.ports.forecast.scores import ForecastScore, ForecastScores

ALL = "all"
RECENT = timedelta(days=7)
LONG_RUN = timedelta(days=90)
"""The reference period before the recent days."""
MIN_RECENT, MIN_LONG_RUN = 3 * 24, 14 * 24
"""Quarter-hours of one lead time. One hour in each hour is scored, which is four quarter-hours."""
WORSE_BY = 1.5
COVERED_PCT = (60.0, 95.0)
"""The accepted coverage of an interval that should cover 80 %; weeks of real buildings vary by about 5 %."""


class Accuracy(msgspec.Struct, frozen=True, kw_only=True):
    """The accuracy over one facility's quarter-hours that were forecast `lead_h` hours ahead."""

    lead_h: int
    data_quality: str
    """`all`, or a data quality of forecasts."""
    quarters: int
    mean_load_kw: float
    bias_kw: float
    """Above zero: the forecast was higher than the meter."""
    mae_kw: float
    rmse_kw: float
    pinball_kw: float
    coverage_pct: float
    """Of the 80 % interval."""
    below_pct: float
    above_pct: float
    last_week_rmse_kw: float | None
    """RMSE of the load a week before as a forecast; None where it is not available."""
    skill: float | None
    """1 - RMSE / last week's RMSE, over the quarter-hours for which both are available. Below zero: worse
    than last week."""


class FacilityAccuracy(msgspec.Struct, frozen=True, kw_only=True):
    """Accuracies over the UTC days from `first` to `last`, both included."""

    facility_id: str
    first: date
    last: date
    accuracy: tuple[Accuracy, ...]


def facility_accuracies(
    scores: ForecastScores, first: date, last: date, facility_ids: Sequence[str] | None = None
) -> list[FacilityAccuracy]:
    """The accuracies by facility; facilities without any score are left out."""
    by_facility: dict[str, list[ForecastScore]] = {}
    for score in scores.totals(first, last, facility_ids):
        by_facility.setdefault(score.facility_id, []).append(score)
    return [
        FacilityAccuracy(facility_id=one, first=first, last=last, accuracy=tuple(accuracies_of(own)))
        for one, own in sorted(by_facility.items())
    ]


def accuracies_of(scores: Iterable[ForecastScore]) -> list[Accuracy]:
    """The accuracies of one facility: for each lead time over all qualities, then by quality."""
    by_lead: dict[int, list[ForecastScore]] = {}
    for score in scores:
        by_lead.setdefault(score.lead_h, []).append(score)
    found = []
    for _, own in sorted(by_lead.items()):
        found.append(_accuracy(summed(own), ALL))
        found += [_accuracy(score, score.data_quality) for score in own]
    return found


def summed(scores: Sequence[ForecastScore]) -> ForecastScore:
    """The sum of scores of one facility and lead time, at least one."""
    names = [
        name
        for name in ForecastScore.__struct_fields__
        if name not in {"facility_id", "lead_h", "data_quality"}
    ]
    sums = {name: sum(getattr(score, name) for score in scores) for name in names}
    return msgspec.structs.replace(scores[0], data_quality=ALL, **sums)


def _accuracy(score: ForecastScore, data_quality: str) -> Accuracy:
    quarters = score.quarters
    naive = sqrt(score.naive_square_kw2 / score.compared) if score.compared else None
    skill = 1.0 - sqrt(score.compared_square_kw2 / score.compared) / naive if naive else None
    return Accuracy(
        lead_h=score.lead_h,
        data_quality=data_quality,
        quarters=quarters,
        mean_load_kw=score.load_kw / quarters,
        bias_kw=score.error_kw / quarters,
        mae_kw=score.abs_kw / quarters,
        rmse_kw=sqrt(score.square_kw2 / quarters),
        pinball_kw=score.pinball_kw / quarters,
        coverage_pct=100.0 * (1.0 - (score.below + score.above) / quarters),
        below_pct=100.0 * score.below / quarters,
        above_pct=100.0 * score.above / quarters,
        last_week_rmse_kw=naive,
        skill=skill,
    )


def drifted(scores: ForecastScores, last: date) -> dict[str, str]:
    """The facilities whose full-quality forecasts of the 7 days to `last` have drifted, and how.

    Degraded forecasts are not considered: the cause of their errors is recorded with them.
    """
    recent_from = last - RECENT + timedelta(days=1)
    recent = _full(scores.totals(recent_from, last))
    before = _full(scores.totals(recent_from - LONG_RUN, recent_from - timedelta(days=1)))
    found: dict[str, str] = {}
    for (facility_id, lead_h), score in sorted(recent.items()):
        why = _drift(score, before.get((facility_id, lead_h)))
        if why is not None and facility_id not in found:
            found[facility_id] = f"{lead_h} h ahead: {why}"
    return found


def _full(scores: Iterable[ForecastScore]) -> dict[tuple[str, int], ForecastScore]:
    return {(score.facility_id, score.lead_h): score for score in scores if score.data_quality == "full"}


def _drift(recent: ForecastScore, before: ForecastScore | None) -> str | None:
    if recent.quarters < MIN_RECENT:
        return None
    now = _accuracy(recent, ALL)
    low, high = COVERED_PCT
    if not low <= now.coverage_pct <= high:
        return f"the 80 % interval covered {now.coverage_pct:.0f} % of the last week"
    if before is None or before.quarters < MIN_LONG_RUN:
        return None
    usual_kw = _accuracy(before, ALL).rmse_kw
    if now.rmse_kw > WORSE_BY * usual_kw:
        return f"an error of {now.rmse_kw:.1f} kW in the last week, usually {usual_kw:.1f} kW"
    return None
