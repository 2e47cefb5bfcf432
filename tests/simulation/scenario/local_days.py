"""Scenarios on days of 23 or 25 hours in the facilities' time zone.

They have their own random generator, so scenarios on other days do not change. A scenario drawn for the usual day is
moved to such a day.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

from msgspec.structs import replace

from application.commands.dr_event import JudgeNotification, ModifyDREvent
from application.facility.portfolio_entries import FacilityEntry, ProgramEntry
from domain.dr_event import Notice
from tests.simulation.doubles.forecasts import ForecastFault
from tests.simulation.scenario.scenario_requests import EPOCH, PROGRAM, QUARTER, UTILITY, ScenarioRequest

TRANSITION_DAY_SHARE = 0.2
ZONES = ("Europe/Berlin", "Europe/Berlin", "Europe/Berlin", "America/New_York")
"""The buildings' time zones; New York has an ordinary day then."""
INTO_SCENARIO = timedelta(minutes=30)
"""The transition comes 30 minutes into the scenario, so that windows begin before and after it."""
TRANSITIONS = (
    datetime(2026, 3, 29, 1, 0, tzinfo=UTC),  # Berlin skips an hour
    datetime(2026, 3, 29, 22, 0, tzinfo=UTC),  # midnight in Berlin, after 23 hours
    datetime(2026, 10, 25, 1, 0, tzinfo=UTC),  # Berlin repeats an hour
    datetime(2026, 10, 25, 22, 0, tzinfo=UTC),  # 24 hours after midnight in Berlin; the day has one more hour
    datetime(2026, 10, 25, 22, 0, tzinfo=UTC),
    datetime(2026, 10, 25, 23, 0, tzinfo=UTC),  # midnight in Berlin, after 25 hours
)
"""Moments around which a scenario may take place."""


def draw_epoch(rng: Random) -> datetime:
    """The start of a scenario: on the usual day, or shortly before a transition."""
    if rng.random() >= TRANSITION_DAY_SHARE:
        return EPOCH
    return rng.choice(TRANSITIONS) - INTO_SCENARIO


def with_time_zones(rng: Random, facilities: tuple[FacilityEntry, ...]) -> tuple[FacilityEntry, ...]:
    """The facilities with a time zone each, and mostly a limit of one DR event a day."""
    return tuple(
        replace(entry, tz=rng.choice(ZONES), dr_events_per_day=rng.choice((1, 1, 1, 2)))
        for entry in facilities
    )


def with_local_day_baseline(rng: Random, program: ProgramEntry) -> ProgramEntry:
    """The program, possibly with a baseline that uses the same hours of earlier local days."""
    method = rng.choice((program.baseline_method, "caiso-10-in-10", "x-of-y"))
    return replace(program, baseline_method=method)


def requests_after_transition(rng: Random, facilities: tuple[FacilityEntry, ...]) -> list[ScenarioRequest]:
    """Possibly one more DR event of all facilities after the transition, on the same local day or on the next."""
    if rng.random() < 0.3:
        return []
    notice = Notice(
        notification_id="D-1-n0",
        modification_number=0,
        program_id=PROGRAM,
        starts_at=EPOCH + INTO_SCENARIO + QUARTER,
        ends_at=EPOCH + INTO_SCENARIO + 2 * QUARTER,
        target_kw=60.0 * len(facilities),
        facility_ids=tuple(entry.facility_id for entry in facilities),
        priority=2,
        callback_url="https://utility.example/callbacks",
    )
    command = JudgeNotification(utility_id=UTILITY, utility_event_id="D-1", notice=notice)
    return [
        ScenarioRequest(at_s=rng.uniform(5, 2_400), by="utility", command=command, key=notice.notification_id)
    ]


def moved_request(request: ScenarioRequest, by: timedelta) -> ScenarioRequest:
    command = request.command
    if not isinstance(command, JudgeNotification | ModifyDREvent):
        return request
    notice = command.notice
    moved = replace(notice, starts_at=notice.starts_at + by, ends_at=notice.ends_at + by)
    return replace(request, command=replace(command, notice=moved))


def moved_forecast_fault(faults: ForecastFault, by: timedelta) -> ForecastFault:
    return replace(faults, until=faults.until + by)
