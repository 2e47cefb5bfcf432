"""Capacity of a month or a season, from the settlements of its DR events."""

from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from domain.program import SettlementRule
from domain.settlement.period import InvalidPeriod, PeriodSettlement, period_named, settle_period
from domain.settlement.settle import Settlement, settle
from tests.settlement_cases import (
    PROPORTIONAL,
    STARTS_AT,
    STEP_S,
    ended_event,
    facility,
    gross_of,
    money,
    net_of,
    rule_of,
    steps_of,
)

ENROLLED = {"f1": "100", "f2": "50"}


def capacity_rule(
    unit: str = "kw-month", share: str = "1", level: str = "facility", **members: Any
) -> SettlementRule:
    capacity = {"rate": "2", "unit": unit, "tiers": PROPORTIONAL} | members
    return rule_of(
        capacity=capacity,
        share=share,
        level=level,
        kinds={"test": {"capacity": None}},
        delivered={"floor": "none"},
    )


def settled(
    rule: SettlementRule,
    *metered_kw: str | None,
    starts_at: datetime = STARTS_AT,
    tz: str = "UTC",
    **members: str,
) -> Settlement:
    """An hour of f1 and f2, which committed 100 and 50 kW."""
    dr_event = ended_event(
        facility("f1", "100", tz=tz), facility("f2", "50"), hours=1, starts_at=starts_at, **members
    )
    steps = {f"f{number}": steps_of(kw, starts_at=starts_at) for number, kw in enumerate(metered_kw, 1)}
    return settle(rule, dr_event, steps, step_s=STEP_S)


def amounts(period: PeriodSettlement) -> list[str]:
    return [money(line.amount) for line in period.lines]


@pytest.mark.parametrize(
    ("unit", "period", "expected"),
    [
        ("kw-day", "2026-07", ["6200.00", "3100.00"]),
        ("kw-month", "2026-07", ["200.00", "100.00"]),
        ("kw-day", "2026-06/2026-09", ["24400.00", "12200.00"]),
        ("kw-month", "2026-06/2026-09", ["800.00", "400.00"]),
        ("kw-season", "2026-06/2026-09", ["200.00", "100.00"]),
    ],
)
def test_units_of_a_period_are_days_months_or_one(unit: str, period: str, expected: list[str]) -> None:
    assert amounts(settle_period(capacity_rule(unit), period_named(period), [], ENROLLED)) == expected


@pytest.mark.parametrize(("factor", "expected"), [(None, ["200.00", "100.00"]), ("0.5", ["100.00", "50.00"])])
def test_without_a_dr_event_the_agreed_factor_holds(factor: str | None, expected: list[str]) -> None:
    rule = capacity_rule() if factor is None else capacity_rule(no_event_factor=factor)
    found = settle_period(rule, period_named("2026-07"), [], ENROLLED)
    assert amounts(found) == expected
    assert [(line.performance, line.events) for line in found.lines] == [(None, 0), (None, 0)]


@pytest.mark.parametrize("unit", ["kw-event", "kw-hour"])
def test_capacity_that_is_paid_with_the_event_is_not_paid_again(unit: str) -> None:
    found = settle_period(capacity_rule(unit), period_named("2026-07"), [], ENROLLED)
    assert (len(found.lines), len(found.amounts), float(found.total)) == (0, 0, 0.0)


def test_the_ratio_of_a_period_is_the_mean_of_its_dr_events() -> None:
    rule = capacity_rule()
    season = [
        settled(rule, "400", "450"),
        settled(rule, "450", "450", starts_at=STARTS_AT + timedelta(days=1)),
    ]
    found = settle_period(rule, period_named("2026-07"), season, ENROLLED)
    assert [line.performance for line in found.lines] == [Fraction(3, 4), 1]
    assert [line.events for line in found.lines] == [2, 2]
    assert amounts(found) == ["150.00", "100.00"]


def test_events_of_kinds_without_capacity_or_outside_of_the_period_do_not_count() -> None:
    rule = capacity_rule()
    season = [
        settled(rule, "400", "450"),
        settled(rule, "500", "500", kind="test"),
        settled(rule, "500", "500", status="cancelled"),
        settled(rule, None, None),
        settled(rule, "500", "500", starts_at=STARTS_AT.replace(month=8)),
    ]
    found = settle_period(rule, period_named("2026-07"), season, ENROLLED)
    assert [line.performance for line in found.lines] == [1, 1]
    assert [line.events for line in found.lines] == [1, 1]


def test_a_dr_event_belongs_to_the_period_of_its_local_day() -> None:
    """23:30 on 31 July in New York is 1 August in UTC."""
    rule = capacity_rule()
    late = datetime.fromisoformat("2026-08-01T03:30:00+00:00")
    season = [settled(rule, "450", "475", starts_at=late, tz="America/New_York")]
    july, august = (
        settle_period(rule, period_named(name), season, ENROLLED) for name in ("2026-07", "2026-08")
    )
    assert [line.events for line in july.lines] == [1, 1]
    assert [line.events for line in august.lines] == [0, 0]


def test_capacity_of_delivered_power_is_that_of_the_hours_of_the_events() -> None:
    rule = capacity_rule(quantity="delivered", tiers=None)
    season = [
        settled(rule, "400", "550"),
        settled(rule, "450", "550", starts_at=STARTS_AT + timedelta(days=1)),
    ]
    found = settle_period(rule, period_named("2026-07"), season, ENROLLED)
    assert [line.quantity for line in found.lines] == [75, -50]
    assert amounts(found) == ["150.00", "-100.00"]
    assert amounts(settle_period(rule, period_named("2026-08"), season, ENROLLED)) == ["0.00", "0.00"]


def test_a_portfolio_is_paid_for_all_that_is_enrolled_and_allocated_by_delivery() -> None:
    rule = capacity_rule(level="portfolio", share="0.75")
    found = settle_period(rule, period_named("2026-07"), [settled(rule, "420", "480")], ENROLLED)
    (line,) = found.lines
    assert line.unit == "portfolio"
    assert [line.quantity, line.performance] == [150, Fraction("0.6667")]
    assert amounts(found) == ["200.01"]
    assert (gross_of(found.amounts), net_of(found.amounts)) == (["160.01", "40.00"], ["120.01", "30.00"])


def test_a_portfolio_without_delivery_is_allocated_by_enrolment() -> None:
    rule = capacity_rule(level="portfolio")
    for season in ([], [settled(rule, "500", "510")]):
        found = settle_period(rule, period_named("2026-07"), season, ENROLLED)
        first, second = gross_of(found.amounts)
        assert float(first) == 2 * float(second)


def test_the_rate_rises_with_the_events_of_the_season_so_far() -> None:
    rule = capacity_rule(from_event=[{"event": 2, "rate": "3"}, {"event": 3, "rate": "5"}])
    season = [settled(rule, "400", "450", starts_at=STARTS_AT.replace(month=month)) for month in (6, 7, 8)]
    rates = [
        settle_period(rule, period_named(name), season, ENROLLED).lines[0].rate
        for name in ("2026-06", "2026-07", "2026-08", "2026-06/2026-09")
    ]
    assert rates == [2, 3, 5, 5]


def test_a_month_and_a_season_are_whole_local_days() -> None:
    month, season = period_named("2026-02"), period_named("2025-11/2026-02")
    assert (month.first, month.last, month.days, month.months) == (date(2026, 2, 1), date(2026, 2, 28), 28, 1)
    assert (season.first, season.last, season.days, season.months) == (
        date(2025, 11, 1),
        date(2026, 2, 28),
        120,
        4,
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026",
        "2026-13",
        "2026-00",
        "0000-01",
        "2026-7",
        "2026-07\n",
        "2026-09/2026-06",
        "2026-06/",
        "07-2026",
    ],
)
def test_a_wrong_period_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(InvalidPeriod, match="write a month as 2026-07, or a season as 2026-06/2026-09"):
        period_named(text)
