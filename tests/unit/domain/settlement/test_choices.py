"""Where the text of docs/settlement.md leaves a choice: how it is read (the table of that name, what other tests do not
show)."""

from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest

from domain.settlement.inputs import EndedEvent
from domain.settlement.lines import PriceMissing
from domain.settlement.period import period_named, settle_period
from domain.settlement.resettlement import DeadlinePassed, check_deadline
from domain.settlement.settle import Settlement, settle
from tests.settlement_cases import (
    HOUR,
    PROPORTIONAL,
    STARTS_AT,
    STEP_S,
    components_of,
    ended_event,
    facility,
    gross_of,
    prices_of,
    rule_of,
    steps_of,
)

PRICED = {"price": "event"}
MONTHLY = {"rate": "2", "unit": "kw-month"}


def settled(dr_event: EndedEvent, *metered_kw: str | None, **members: Any) -> Settlement:
    return settle(rule_of(**members), dr_event, {"f1": steps_of(*metered_kw)}, step_s=STEP_S)


def test_a_missing_price_refuses_also_below_the_minimum_performance() -> None:
    with pytest.raises(PriceMissing):
        settled(ended_event(hours=1), "499", energy=PRICED, minimum_performance="0.5")


def test_an_interval_that_is_left_out_needs_no_price() -> None:
    dr_event = ended_event(facility(), hours=2, prices=prices_of("0.10"))
    assert components_of(settled(dr_event, "400", None, energy=PRICED)) == ["energy 10.00"]


def test_the_floor_of_the_event_is_about_its_energy_and_not_about_priced_hours() -> None:
    dr_event = ended_event(facility(), hours=2, prices=prices_of("0.10", "0.10"))
    settlement = settled(dr_event, "600", "450", energy=PRICED, delivered={"floor": "event"})
    assert settlement.units[0].counted_kwh == 0
    assert components_of(settlement) == ["energy -5.00"]


def test_hours_without_readings_count_as_zero_only_where_something_else_is_metered() -> None:
    zero = {"as": "zero"}
    assert settled(ended_event(hours=2), "400", None, missing=zero).reasons == ()
    assert settled(ended_event(hours=2), None, None, missing=zero).reasons == ("coverage",)


def test_the_minimum_and_the_tiers_of_energy_take_the_ratio_of_the_event() -> None:
    """0 and 1: by the hour no hour is at .5, by the event both."""
    members: dict[str, Any] = {"performance": {"per": "interval"}, "minimum_performance": "0.5"}
    energy = {"rate": "1", "tiers": PROPORTIONAL}
    settlement = settled(ended_event(hours=2), "500", "400", energy=energy, **members)
    assert components_of(settlement) == ["energy 50.00"]


def test_capacity_by_the_interval_is_of_what_was_committed() -> None:
    capacity = {"rate": "1", "unit": "kw-event", "quantity": "delivered"}
    settlement = settled(ended_event(hours=1), "450", capacity=capacity, performance={"per": "interval"})
    assert components_of(settlement) == ["capacity 100.00"]


def test_an_allocation_weighs_by_energy_as_it_is_shown() -> None:
    """.0004 kWh each is 0.000: all weights are 0, as those of committed energy, so the line is divided equally."""
    rule = rule_of(level="portfolio", limits={"event_min": "10"})
    dr_event = ended_event(facility("f1", "0.0004"), facility("f2", "0.0001"), hours=1)
    settlement = settle(rule, dr_event, {name: steps_of("500") for name in ("f1", "f2")}, step_s=STEP_S)
    assert gross_of(settlement.amounts) == ["5.00", "5.00"]


def test_the_ratio_of_a_period_is_rounded_and_not_held_again() -> None:
    rule = rule_of(capacity=MONTHLY | {"tiers": PROPORTIONAL}, performance={"places": 0, "max": "0.5"})
    season = [
        settle(rule, ended_event(hours=1, starts_at=at), {"f1": steps_of("400", starts_at=at)}, step_s=STEP_S)
        for at in (STARTS_AT, STARTS_AT + timedelta(days=1))
    ]
    assert [one.performance for one in season] == [Fraction(1, 2), Fraction(1, 2)]
    assert settle_period(rule, period_named("2026-07"), season, {"f1": "10"}).lines[0].performance == 1


def test_delivered_power_of_a_period_includes_events_without_a_commitment() -> None:
    rule = rule_of(capacity=MONTHLY | {"quantity": "delivered"})
    later = STARTS_AT + timedelta(days=1)
    season = [
        settle(rule, ended_event(hours=1), {"f1": steps_of("400")}, step_s=STEP_S),
        settle(
            rule,
            ended_event(facility("f1", "0"), hours=1, starts_at=later),
            {"f1": steps_of("450", starts_at=later)},
            step_s=STEP_S,
        ),
    ]
    (line,) = settle_period(rule, period_named("2026-07"), season, {"f1": "100"}).lines
    assert (line.events, float(line.quantity)) == (1, 75.0)


def test_a_period_is_allocated_by_the_delivery_of_each_event_not_below_zero() -> None:
    """f1 delivered 100 and -100, f2 100 and 0."""
    rule = rule_of(level="portfolio", capacity=MONTHLY, delivered={"floor": "none"})
    season = []
    for day, (first, second) in enumerate((("400", "400"), ("600", "500"))):
        at = STARTS_AT + timedelta(days=day)
        dr_event = ended_event(facility("f1"), facility("f2"), hours=1, starts_at=at)
        steps = {"f1": steps_of(first, starts_at=at), "f2": steps_of(second, starts_at=at)}
        season.append(settle(rule, dr_event, steps, step_s=STEP_S))
    found = settle_period(rule, period_named("2026-07"), season, {"f1": "100", "f2": "20"})
    assert gross_of(found.amounts) == ["120.00", "120.00"]


@pytest.mark.parametrize(
    ("members", "metered_kw", "rate"),
    [
        ({"status": "cancelled_while_active", "ended_at": STARTS_AT + HOUR / 2}, "400", 3),
        ({}, None, 3),
        ({"status": "cancelled"}, "400", 2),
        ({"kind": "test"}, "400", 2),
    ],
)
def test_an_event_that_began_counts_for_the_rate_also_if_it_is_not_settled(
    members: dict[str, Any], metered_kw: str | None, rate: int
) -> None:
    rule = rule_of(capacity=MONTHLY | {"from_event": [{"event": 1, "rate": "3"}]}, kinds={"test": {}})
    season = [settle(rule, ended_event(hours=1, **members), {"f1": steps_of(metered_kw)}, step_s=STEP_S)]
    assert settle_period(rule, period_named("2026-07"), season, {"f1": "100"}).lines[0].rate == rate


def test_the_deadline_is_from_the_agreed_end_on_also_after_a_cancellation() -> None:
    dr_event = ended_event(hours=4, status="cancelled_while_active", ended_at=STARTS_AT + HOUR)
    final_at = STARTS_AT + 4 * HOUR + timedelta(days=60)
    check_deadline(rule_of(), dr_event, final_at)
    with pytest.raises(DeadlinePassed):
        check_deadline(rule_of(), dr_event, final_at + timedelta(seconds=1))


def test_a_bound_with_more_places_than_the_ratio_is_computed_with_as_it_is() -> None:
    capacity = {"rate": "1", "unit": "kw-event", "tiers": PROPORTIONAL}
    settlement = settled(
        ended_event(hours=1), "499", capacity=capacity, performance={"places": 0, "min": "0.125"}
    )
    assert settlement.performance == Fraction(1, 8)
    assert components_of(settlement) == ["capacity 12.50"]
