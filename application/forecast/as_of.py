"""Selection of issued forecasts: the newest at a moment, or those issued a given lead time before each
interval."""

from collections.abc import Collection
from datetime import datetime, timedelta

import msgspec

from application.ports.forecast.past_forecasts import ForecastKey, PastForecasts
from domain.forecast import CYCLE, ForecastState, cycle_start_of
from domain.time_series.windows import TimeWindow

CYCLES_BACK = 8
"""Two hours, as far back as plans look. Older forecasts are not used."""
EARLIEST_YEAR, LATEST_YEAR = 2000, 2199
"""No forecasts exist before, and moments near the ends of the calendar cannot be shifted."""
LONGEST_WINDOW = timedelta(days=7)
LONGEST_LEAD = timedelta(hours=48)


class LeadTimeRefused(ValueError):
    """The window or the lead time is not supported. The text says what is."""


class LeadStep(msgspec.Struct, frozen=True, kw_only=True):
    """A quarter-hour, and the forecast of the cycle that began `lead_time` before it."""

    starts_at: datetime
    forecast: ForecastState | None
    """None: that cycle issued none, none that reaches so far, or only after the quarter-hour had begun.

    With a lead time of zero, a forecast issued during the quarter-hour counts.
    """
    kw: tuple[float, float, float] | None
    """The forecast's 10, 50 and 90 % quantiles of this quarter-hour."""


def newest_at(past: PastForecasts, facility_ids: Collection[str], at: datetime) -> dict[str, ForecastState]:
    """The newest forecast of each facility issued by `at`. Facilities without one in the two hours before are
    left out."""
    if at.year < EARLIEST_YEAR:
        return {}
    latest = cycle_start_of(at)
    cycles = [latest - CYCLE * back for back in range(CYCLES_BACK + 1)]
    found: dict[str, ForecastState] = {}
    for some in (cycles[:1], cycles[1:2], cycles[2:]):
        missing = [one for one in facility_ids if one not in found]
        in_force = past.in_force([ForecastKey(one, cycle) for cycle in some for one in missing], at=at)
        for cycle in some:
            for one in missing:
                if one not in found and (state := in_force.get(ForecastKey(one, cycle))) is not None:
                    found[one] = state
    return found


def by_lead_time(
    past: PastForecasts, facility_id: str, window: TimeWindow, lead_time: timedelta, at: datetime
) -> list[LeadStep]:
    """Each quarter-hour of `window` as forecast `lead_time` ahead, by the forecasts issued until `at`.

    Raises LeadTimeRefused.
    """
    if lead_time % CYCLE or not timedelta(0) <= lead_time <= LONGEST_LEAD:
        raise LeadTimeRefused("a lead time is a number of quarter-hours, from none to 48 hours")
    if window.starts_at != cycle_start_of(window.starts_at) or window.ends_at != cycle_start_of(
        window.ends_at
    ):
        raise LeadTimeRefused("the window begins and ends on quarter-hours")
    if window.starts_at.year < EARLIEST_YEAR or window.ends_at.year > LATEST_YEAR:
        raise LeadTimeRefused(f"the window is in the years {EARLIEST_YEAR} to {LATEST_YEAR}")
    if window.ends_at - window.starts_at > LONGEST_WINDOW:
        raise LeadTimeRefused(f"the window is at most {LONGEST_WINDOW.days} days long; ask for a part of it")
    starts = [window.starts_at + CYCLE * n for n in range((window.ends_at - window.starts_at) // CYCLE)]
    places = {starts_at: ForecastKey(facility_id, starts_at - lead_time) for starts_at in starts}
    in_force = past.in_force(list(places.values()), at=at)
    return [_lead_step(at, in_force.get(places[at]), lead_time // CYCLE) for at in starts]


def _lead_step(starts_at: datetime, state: ForecastState | None, index: int) -> LeadStep:
    known_by = starts_at if index else starts_at + CYCLE
    if state is None or state.issued_at > known_by or index >= len((steps := state.steps).p50_kw):
        return LeadStep(starts_at=starts_at, forecast=None, kw=None)
    kw = (steps.p10_kw[index], steps.p50_kw[index], steps.p90_kw[index])
    return LeadStep(starts_at=starts_at, forecast=state, kw=kw)
