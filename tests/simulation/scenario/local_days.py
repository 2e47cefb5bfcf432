"""Stories on the days on which clocks are put forward or back: of 23 or 25 hours in the facilities' time zone.

Drawn from a generator of their own, so that the stories of other days stay what they are. A story that was drawn for
the usual day is moved there as it is.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

from msgspec.structs import replace

from application.commands.dr_event import JudgeNotification, ModifyDREvent
from application.facility.portfolio_entries import FacilityEntry, ProgramEntry
from domain.dr_event import Notice
from tests.simulation.doubles.forecasts import ForecastWeather
from tests.simulation.scenario.scenario_requests import EPOCH, PROGRAM, QUARTER, UTILITY, Wish

LIKELY = 0.2
ZONES = ("Europe/Berlin", "Europe/Berlin", "Europe/Berlin", "America/New_York")
"""Of the buildings of such a seed; those in New York have an ordinary day."""
INTO_THE_STORY = timedelta(minutes=30)
"""Windows begin from 15 minutes into a story on, at quarter-hours: one may begin before, and another after."""
TURNS = (
    datetime(2026, 3, 29, 1, 0, tzinfo=UTC),  # Berlin leaves out an hour
    datetime(2026, 3, 29, 22, 0, tzinfo=UTC),  # midnight there, after 23 hours
    datetime(2026, 10, 25, 1, 0, tzinfo=UTC),  # Berlin has an hour twice
    datetime(2026, 10, 25, 22, 0, tzinfo=UTC),  # 24 hours after midnight there: an hour of the day is left
    datetime(2026, 10, 25, 22, 0, tzinfo=UTC),
    datetime(2026, 10, 25, 23, 0, tzinfo=UTC),  # midnight, after 25
)
"""Moments that a story may have in its middle."""


def draw_epoch(chance: Random) -> datetime:
    """When a story begins: on its usual day, or shortly before one of the turns."""
    if chance.random() >= LIKELY:
        return EPOCH
    return chance.choice(TURNS) - INTO_THE_STORY


def in_zones(chance: Random, facilities: tuple[FacilityEntry, ...]) -> tuple[FacilityEntry, ...]:
    """With a time zone each, and mostly one DR event a day."""
    return tuple(
        replace(entry, tz=chance.choice(ZONES), dr_events_per_day=chance.choice((1, 1, 1, 2)))
        for entry in facilities
    )


def by_local_days(chance: Random, program: ProgramEntry) -> ProgramEntry:
    """Perhaps with a baseline that takes the same hours of earlier local days."""
    method = chance.choice((program.baseline_method, "caiso-10-in-10", "high-4-of-5"))
    return replace(program, baseline_method=method)


def afterwards(chance: Random, facilities: tuple[FacilityEntry, ...]) -> list[Wish]:
    """Perhaps one more DR event over all of them, after the turn: on the local day of the others, or on the next."""
    if chance.random() < 0.3:
        return []
    notice = Notice(
        notification_id="D-1-n0",
        modification_number=0,
        program_id=PROGRAM,
        starts_at=EPOCH + INTO_THE_STORY + QUARTER,
        ends_at=EPOCH + INTO_THE_STORY + 2 * QUARTER,
        target_kw=60.0 * len(facilities),
        facility_ids=tuple(entry.facility_id for entry in facilities),
        priority=2,
        callback_url="https://utility.example/callbacks",
    )
    command = JudgeNotification(utility_id=UTILITY, utility_event_id="D-1", notice=notice)
    return [Wish(at_s=chance.uniform(5, 2_400), by="utility", command=command, key=notice.notification_id)]


def moved_wish(wish: Wish, by: timedelta) -> Wish:
    command = wish.command
    if not isinstance(command, JudgeNotification | ModifyDREvent):
        return wish
    notice = command.notice
    moved = replace(notice, starts_at=notice.starts_at + by, ends_at=notice.ends_at + by)
    return replace(wish, command=replace(command, notice=moved))


def moved_weather(weather: ForecastWeather, by: timedelta) -> ForecastWeather:
    return replace(weather, until=weather.until + by)
