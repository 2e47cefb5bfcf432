"""The expected forecasts of a simulated day, from the journals of the weather service and the meters."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from application.forecast.scoring import HOUR, LEADS_H, QUARTERS
from application.weather.cached_source import FRESH
from domain.forecast import CYCLE, DataQuality, Forecast, data_quality
from domain.time_series.windows import TimeWindow
from interfaces.demo.options import EPOCH
from tests.chaos.forecast_day.forecast_day import METER_CADENCE_S, Day, Fact

DAY = timedelta(days=1)
LATE = timedelta(minutes=20)
"""Clock time until a forecast uses a new reading; it is shorter than two cycles."""
LOOKUP_DELAY = timedelta(minutes=30)
"""Clock time from the weather lookup to the recording of the forecast."""
Place = tuple[str, datetime]
"""A facility and a cycle."""


def facts_by_place(facts: Iterable[Fact]) -> dict[Place, list[Fact]]:
    """The domain events of each forecast: when it was issued and reissued."""
    found: dict[Place, list[Fact]] = {}
    streams: dict[object, Place] = {}
    for fact in facts:
        if isinstance(fact, Forecast.Issued):
            streams[fact.originator_id] = fact.facility_id, fact.cycle_start
        found.setdefault(streams[fact.originator_id], []).append(fact)
    return found


def weather_issue_times(day: Day, by: datetime) -> list[datetime]:
    """The issue times of the weather forecasts that may be in use at `by`: the newest, or one within the cache time."""
    since = day.cache_lost_at if by > day.cache_lost_at else None
    calls = [
        (call.at, call.issued_at)
        for call in day.weather_calls
        if call.issued_at is not None and call.at <= by and (since is None or since <= call.at)
    ]
    return [
        issued_at for at, issued_at in calls if at > by - FRESH - LOOKUP_DELAY or (at, issued_at) == calls[-1]
    ]


def is_weather_of(fact: Fact, issue_times: list[datetime]) -> bool:
    """Whether the forecast's weather age matches one of the issue times, or is None if there are none."""
    age_s = fact.inputs.weather_age_s
    if age_s is None or not fact.inputs.weather_available:
        return not issue_times
    issued_at = fact.issued_at - timedelta(seconds=age_s)
    return any(timedelta(0) <= issued_at - one <= LOOKUP_DELAY for one in issue_times)


def last_reading(day: Day, facility_id: str, by: datetime) -> datetime | None:
    """The last reading of a silent facility before `by`; None if its meters are sending."""
    last = None
    for turn in day.meter_turns:
        if turn.facility_id == facility_id and turn.at < by:
            last = turn.at - timedelta(seconds=METER_CADENCE_S) if turn.turn == "silent" else None
    return last


def is_reading_of(fact: Fact, last: datetime | None, cycle_start: datetime) -> bool:
    newest_at = fact.inputs.newest_reading_at
    if last is None:
        return cycle_start - LATE <= newest_at <= cycle_start
    return last <= newest_at <= last + timedelta(seconds=METER_CADENCE_S)


def coverage_pct(day: Day, facility_id: str, by: datetime) -> float:
    """The coverage of the 24 hours before `by`, without silent times and the time before the meters started."""
    since = EPOCH.replace(minute=EPOCH.minute // 15 * 15)
    lost, silent_since = timedelta(0), since
    speaks = False
    for turn in [turn for turn in day.meter_turns if turn.facility_id == facility_id and turn.at < by]:
        if turn.turn == "speaks" and not speaks:
            lost += max(timedelta(0), turn.at - max(silent_since, by - DAY))
        speaks, silent_since = turn.turn == "speaks", turn.at
    if not speaks:
        lost += max(timedelta(0), by - max(silent_since, by - DAY))
    return 100.0 * (1.0 - lost / DAY)


def expected_quality(day: Day, fact: Fact, place: Place) -> DataQuality:
    facility_id, cycle_start = place
    return data_quality(
        at=cycle_start,
        newest_reading_at=last_reading(day, facility_id, cycle_start) or cycle_start,
        sensor_coverage_pct=coverage_pct(day, facility_id, cycle_start),
        weather_available=bool(weather_issue_times(day, fact.issued_at)),
        weather_age_s=fact.inputs.weather_age_s,
    )


def scores_due(day: Day, scored_through: datetime) -> dict[tuple[str, int, str], int]:
    """(facility, lead time, quality) -> number of quarter-hours in scored hours with readings and a forecast."""
    forecasts, due = facts_by_place(day.facts), dict[tuple[str, int, str], int]()
    hour = EPOCH.replace(minute=0) - DAY
    while hour + HOUR <= scored_through:
        for facility_id in day.facility_ids:
            quarters = [hour + CYCLE * n for n in range(QUARTERS)]
            metered = sum(not _is_silent(day, facility_id, quarter) for quarter in quarters)
            for lead_h in LEADS_H:
                facts = forecasts.get((facility_id, hour - HOUR * lead_h), [])
                stood = [fact.data_quality for fact in facts if fact.issued_at <= hour]
                if stood and metered:
                    key = facility_id, lead_h, str(stood[-1])
                    due[key] = due.get(key, 0) + metered
        hour += HOUR
    return due


def _is_silent(day: Day, facility_id: str, quarter: datetime) -> bool:
    """Whether the meters were silent for the whole quarter-hour."""
    turns = [one for one in day.meter_turns if one.facility_id == facility_id and one.at < quarter + CYCLE]
    return bool(turns) and turns[-1].turn == "silent" and turns[-1].at <= quarter


def stood_still(day: Day, cycle_start: datetime) -> bool:
    """Whether the machine stalled around that cycle; checks are then skipped."""
    around = TimeWindow(cycle_start - CYCLE, cycle_start + 2 * CYCLE)
    return any(stall.overlaps(around) for stall in day.stalls)


def stood_still_pct(day: Day, by: datetime) -> float:
    """The share of the 24 hours before `by` in which the machine stalled; meters may not have sent then."""
    last_day = TimeWindow(by - DAY, by)
    lost = [
        min(stall.ends_at, by) - max(stall.starts_at, by - DAY)
        for stall in day.stalls
        if stall.overlaps(last_day)
    ]
    return 100.0 * (sum(lost, timedelta(0)) / DAY)
