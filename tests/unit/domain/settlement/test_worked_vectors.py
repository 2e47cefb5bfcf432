"""V1 to V9 of docs/settlement.md."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import count

import pytest
from msgspec.structs import replace

from domain.settlement.allocation import parts_of
from domain.settlement.period import period_named, settle_period
from domain.settlement.resettlement import Basis, resettlement_of
from domain.settlement.rounding import decimal_text
from domain.settlement.settle import Settlement, settle
from tests.settlement_cases import (
    PROPORTIONAL,
    STARTS_AT,
    STEP_S,
    components_of,
    ended_event,
    facility,
    gross_of,
    money,
    net_of,
    rule_of,
    steps_of,
)


def test_v1_capacity_in_proportion_and_energy() -> None:
    rule = rule_of(
        capacity={"rate": "4.00", "unit": "kw-event", "tiers": PROPORTIONAL},
        energy={"rate": "1.50"},
        performance={"places": 2, "max": "1"},
    )
    settlement = settle(rule, ended_event(hours=2), {"f1": steps_of("400", "420")}, step_s=STEP_S)
    assert settlement.performance == Fraction(9, 10)
    assert components_of(settlement) == ["capacity 360.00", "energy 270.00"]


@pytest.mark.parametrize(
    ("delivered_kw", "amount"),
    [
        ("75", "750.00"),
        ("74.999", "500.00"),
        ("60", "500.00"),
        ("59.999", "-0.01"),
        ("105", "1050.00"),
        ("200", "1050.00"),
        ("30", "-300.00"),
    ],
)
def test_v2_capacity_by_tiers(delivered_kw: str, amount: str) -> None:
    tiers = [("0", "-0.6", "1"), ("0.6", "0.5", "0"), ("0.75", "0", "1"), ("1.05", "1.05", "0")]
    rule = rule_of(
        capacity={
            "rate": "10",
            "unit": "kw-event",
            "tiers": [{"from": begin, "a": a, "b": b} for begin, a, b in tiers],
        },
        performance={"places": 5},
    )
    metered = steps_of(str(500 - Decimal(delivered_kw)))
    settlement = settle(rule, ended_event(hours=1), {"f1": metered}, step_s=STEP_S)
    assert components_of(settlement) == [f"capacity {amount}"]


def test_v3_an_hour_counts_at_most_the_cap() -> None:
    rule = rule_of(delivered={"cap_ratio": "1.2"}, energy={"rate": "1.00"})
    metered = steps_of("300", "380", "379.999", "500")
    settlement = settle(rule, ended_event(hours=4), {"f1": metered}, step_s=STEP_S)
    (unit,) = settlement.units
    assert [one.counted_kw for one in unit.intervals] == [120, 120, 120, 0]
    assert components_of(settlement) == ["energy 360.00"]


def test_v4_negative_delivery_counts_without_a_floor() -> None:
    rule = rule_of(delivered={"floor": "none"}, energy={"rate": "1.50"}, penalty={"rate": "0.75"})
    metered = steps_of("560", "540", "480", "505")
    settlement = settle(rule, ended_event(hours=4), {"f1": metered}, step_s=STEP_S)
    (unit,) = settlement.units
    assert (unit.counted_kwh, settlement.lines[1].quantity) == (Fraction(-85), Fraction(485))
    assert components_of(settlement) == ["energy -127.50", "penalty -363.75"]


@pytest.mark.parametrize(("rounding", "amount"), [("half_up", "0.01"), ("half_even", "0.00")])
def test_v5_half_a_cent(rounding: str, amount: str) -> None:
    rule = rule_of(energy={"rate": "0.005"}, rounding=rounding)
    settlement = settle(rule, ended_event(hours=1), {"f1": steps_of("499")}, step_s=STEP_S)
    assert components_of(settlement) == [f"energy {amount}"]


def test_v6_a_portfolio_is_allocated_and_shared() -> None:
    rule = rule_of(
        level="portfolio",
        delivered={"floor": "none"},
        energy={"rate": "0.334"},
        penalty={"rate": "0.07"},
        share="0.8",
    )
    names = ("f1", "f2", "f3", "f4")
    dr_event = ended_event(*(facility(name, "15") for name in names), hours=1)
    steps = {name: steps_of("505" if name == "f4" else "490") for name in names}
    settlement = settle(rule, dr_event, steps, step_s=STEP_S)
    assert components_of(settlement) == ["energy 8.35", "penalty -2.45"]
    assert gross_of(settlement.amounts) == ["2.44", "2.43", "2.43", "-1.40"]
    assert net_of(settlement.amounts) == ["1.95", "1.94", "1.94", "-1.12"]


def test_v6_parts_of_each_line() -> None:
    short = {"f1": Fraction(5), "f2": Fraction(5), "f3": Fraction(5), "f4": Fraction(20)}
    delivered = {"f1": Fraction(10), "f2": Fraction(10), "f3": Fraction(10), "f4": Fraction(0)}
    earned = parts_of(Fraction("8.35"), delivered, 2)
    owed = parts_of(Fraction("-2.45"), short, 2)
    assert [money(part) for part in earned.values()] == ["2.79", "2.78", "2.78", "0.00"]
    assert [money(part) for part in owed.values()] == ["-0.35", "-0.35", "-0.35", "-1.40"]


def test_v7_the_largest_remainder_goes_to_the_smaller_id() -> None:
    parts = parts_of(Fraction(10), {"b": Fraction(1), "a": Fraction(1), "c": Fraction(1)}, 2)
    assert {name: money(part) for name, part in parts.items()} == {"a": "3.34", "b": "3.33", "c": "3.33"}


def test_v8_the_rate_rises_from_the_fourth_event_of_the_season() -> None:
    rule = rule_of(
        level="portfolio",
        performance={"places": 2},
        capacity={
            "rate": "18",
            "unit": "kw-month",
            "tiers": PROPORTIONAL,
            "from_event": [{"event": 4, "rate": "23"}],
        },
        kinds={"test": {"capacity": None}},
    )
    days = count()

    def settled(f1_kw: str, f2_kw: str, month: int = 7, **members: str) -> Settlement:
        starts_at = STARTS_AT.replace(month=month) + timedelta(days=next(days))
        dr_event = ended_event(
            facility("f1", "100"), facility("f2", "60"), hours=2, starts_at=starts_at, **members
        )
        steps = {
            "f1": steps_of(f1_kw, f1_kw, starts_at=starts_at),
            "f2": steps_of(f2_kw, f2_kw, starts_at=starts_at),
        }
        return settle(rule, dr_event, steps, step_s=STEP_S)

    season = [
        settled("400", "450"),
        settled("400", "450"),
        settled("400", "450"),
        settled("500", "500", kind="test"),
        settled("400", "450", status="cancelled"),
        settled("405", "460", month=8),
    ]
    assert [facility.delivered_kwh for facility in season[-1].facilities] == [190, 80]
    period = settle_period(rule, period_named("2026-08"), season, {"f1": "120", "f2": "50"})
    (line,) = period.lines
    assert (line.performance, line.rate, line.quantity) == (
        Fraction("0.84"),
        Fraction(23),
        Fraction(170),
    )
    assert decimal_text(period.total, 2) == "3284.40"
    assert gross_of(period.amounts) == ["2311.24", "973.16"]
    three = settle_period(rule, period_named("2026-08"), season[1:], {"f1": "120", "f2": "50"})
    assert three.lines[0].rate == 18


def test_v9_a_resettlement_is_split_by_reason() -> None:
    old = Basis(
        rule=rule_of(energy={"rate": "1.00"}, penalty={"rate": "0.5"}),
        dr_event=ended_event(hours=2),
        steps={"f1": steps_of("400", "420")},
        step_s=STEP_S,
    )
    new = replace(
        old,
        rule=rule_of(energy={"rate": "1.10"}, penalty={"rate": "0.5"}),
        dr_event=ended_event(facility(committed_kw="90"), hours=2),
    )
    assert (money(old.settlement().total), money(new.settlement().total)) == ("170.00", "193.00")
    found = resettlement_of(old, new)
    assert [(part.why, money(part.amount)) for part in found.by_reason] == [
        ("rule", "18.00"),
        ("event", "5.00"),
    ]
