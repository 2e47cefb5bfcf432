"""Recorded figures equal `baseline compute` on the exported readings: a simulated year and every baseline method."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from pathlib import Path

import pytest

from adapters.forecasting.calendar.public_holidays import RegionalHolidays
from domain.baseline import METHODS
from tests.independent_baseline import Comparison, export_from
from tests.simulated_year import CONTRACTS, REGION, TZ, SimulatedYear

SPRING, AUTUMN = date(2026, 3, 8), date(2026, 11, 1)
"""The days of 23 and 25 hours, both Sundays."""
HOLIDAYS = RegionalHolidays().in_years(REGION, 2026, 2026)
THANKSGIVING, CHRISTMAS = date(2026, 11, 26), date(2026, 12, 25)
SPECIAL: list[tuple[str, date, str, int]] = [
    ("flat", SPRING + timedelta(days=7), "02:00", 60),
    ("caiso", AUTUMN, "00:30", 150),
    ("own", AUTUMN, "13:00", 60),
    ("flat", AUTUMN + timedelta(days=7), "01:00", 60),
    ("caiso", THANKSGIVING, "14:00", 120),
    ("own", THANKSGIVING, "18:00", 60),
    ("before", CHRISTMAS, "12:00", 60),
    ("mid", date(2026, 6, 13), "15:00", 180),
    ("caiso", date(2026, 8, 30), "16:00", 120),
    ("pjm", date(2026, 7, 20), "23:15", 90),
]
"""Clock changes, holidays, weekends, and a DR event over midnight."""


def planned() -> list[tuple[str, date, str, int]]:
    """The DR events of the year in order; one of each program by turns, on working days."""
    found = list(SPECIAL)
    day, names = date(2026, 2, 23), [name for name in CONTRACTS if name != "towt"]
    for number in range(24):
        day += timedelta(days=11)
        while day.weekday() > 4 or day in HOLIDAYS or day in {one[1] for one in SPECIAL}:
            day += timedelta(days=1)
        start = f"{12 + number % 6}:{(0, 15, 5, 50)[number % 4]:02}"
        found.append((names[number % len(names)], day, start, (60, 125, 240)[number % 3]))
    found += [("towt", date(2026, 5, 12), "14:00", 60), ("towt", date(2026, 10, 6), "15:20", 90)]
    return sorted(found, key=lambda one: (one[1], one[2]))


def free_day_before(day: date) -> date:
    """A working day shortly before, without a DR event."""
    taken = {one[1] for one in planned()}
    days = (day - timedelta(days=back) for back in range(1, 15))
    return next(one for one in days if one.weekday() < 5 and one not in taken)


def test_every_recorded_figure_equals_the_baseline_computed_from_the_exported_readings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    year = SimulatedYear()
    export_from(year, monkeypatch)
    comparison = Comparison(year, tmp_path)
    for number, (program, day, start, minutes) in enumerate(planned()):
        if number % 7 == 3:
            year.opt_out(program, free_day_before(day))
        served = year.serve(program, day, start, minutes, shed_kw=(40.0, -15.0, 63.25)[number % 3])
        assert comparison.check_new() == [served]
        if number % 8 == 5:
            yesterday = datetime.combine(day - timedelta(days=1), time(15), TZ)
            year.correct(served.ends_at + timedelta(days=2), served.measured.starts_at, yesterday)
            assert served in comparison.check_new()
    assert comparison.methods == set(METHODS)
    assert comparison.skipped >= {"dr_event_day", "holiday", "missing_interval", "time_does_not_exist"}
    assert len(year.opted_out) == 5
