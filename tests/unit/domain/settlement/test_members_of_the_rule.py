"""Each member of settlement-rule/1: its default, and each alternative, with one facility that committed 100 kW."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from domain.settlement.lines import PriceMissing
from domain.settlement.settle import IntervalMismatch, Settlement, UnknownKind, settle
from tests.settlement_cases import (
    PROPORTIONAL,
    STEP_S,
    amounts_of,
    components_of,
    ended_event,
    facility,
    gross_of,
    net_of,
    prices_of,
    rule_of,
    steps_of,
)

ENERGY = {"rate": "1.00"}
FLAT_FROM_HALF = [{"from": "0.5", "a": "1", "b": "0"}]


def settled(
    *metered_kw: str | None, committed_kw: str = "100", hours: float = 0, **members: Any
) -> Settlement:
    """Hours of f1 by a rule of those members."""
    dr_event = ended_event(facility(committed_kw=committed_kw), hours=hours or len(metered_kw))
    return settle(rule_of(**members), dr_event, {"f1": steps_of(*metered_kw)}, step_s=STEP_S)


def counted_kwh(*metered_kw: str | None, **members: Any) -> str:
    (unit,) = settled(*metered_kw, **members).units
    return f"{Decimal(float(unit.counted_kwh)):f}"


@pytest.mark.parametrize(
    ("currency", "minor_unit", "amount"),
    [("USD", 2, "100.13"), ("JPY", 0, "100"), ("KWD", 3, "100.125"), ("UYW", 4, "100.1250")],
)
def test_money_has_the_digits_of_its_currency(currency: str, minor_unit: int, amount: str) -> None:
    settlement = settled("400", currency=currency, minor_unit=minor_unit, energy={"rate": "1.00125"})
    assert components_of(settlement) == [f"energy {amount}"]


@pytest.mark.parametrize(
    ("members", "amount"),
    [({}, "100.13"), ({"rounding": "half_up"}, "100.13"), ({"rounding": "half_even"}, "100.12")],
)
def test_halves_are_rounded_away_from_zero_unless_to_even(members: dict[str, Any], amount: str) -> None:
    assert components_of(settled("400", energy={"rate": "1.00125"}, **members)) == [f"energy {amount}"]
    owed = settled("500", penalty={"rate": "1.00125"}, **members)
    assert components_of(owed) == [f"penalty -{amount}"]


@pytest.mark.parametrize(("rounding", "counted", "ratio"), [("half_up", "0.001", 1), ("half_even", "0", 0)])
def test_the_rounding_of_the_rule_holds_for_energy_and_ratios_too(
    rounding: str, counted: str, ratio: int
) -> None:
    """A mean of .0005 kW; and .5 with no places."""
    uneven = {"f1": steps_of("500", "499.999", steps_each=2)}
    settlement = settle(rule_of(rounding=rounding), ended_event(hours=1), uneven, step_s=STEP_S)
    assert settlement.units[0].counted_kwh == Fraction(counted)
    assert settled("450", rounding=rounding, performance={"places": 0}).performance == ratio


@pytest.mark.parametrize(
    ("members", "units"),
    [
        ({}, ["f1", "f2"]),
        ({"level": "facility"}, ["f1", "f2"]),
        ({"level": "portfolio"}, ["portfolio"]),
    ],
)
def test_facilities_are_settled_each_by_itself_or_as_a_portfolio(
    members: dict[str, Any], units: list[str]
) -> None:
    dr_event = ended_event(facility("f2"), facility("f1"), hours=1)
    steps = {"f1": steps_of("400"), "f2": steps_of("450")}
    settlement = settle(rule_of(energy=ENERGY, **members), dr_event, steps, step_s=STEP_S)
    assert [unit.unit for unit in settlement.units] == units
    assert gross_of(settlement.amounts) == ["100.00", "50.00"]


@pytest.mark.parametrize(
    ("members", "gross"),
    [
        ({}, ["75.00", "0.00"]),
        ({"allocation": "delivered"}, ["75.00", "0.00"]),
        ({"allocation": "committed"}, ["50.00", "25.00"]),
    ],
)
def test_a_portfolios_line_is_allocated_by_delivered_or_by_committed_energy(
    members: dict[str, Any], gross: list[str]
) -> None:
    """f2 delivers -25: it takes part in the sum and gets nothing of it by delivery."""
    rule = rule_of(level="portfolio", energy=ENERGY, **members)
    dr_event = ended_event(facility("f1", "100"), facility("f2", "50"), hours=1)
    settlement = settle(rule, dr_event, {"f1": steps_of("400"), "f2": steps_of("525")}, step_s=STEP_S)
    assert gross_of(settlement.amounts) == gross


def test_intervals_begin_with_the_window_and_the_last_may_be_shorter() -> None:
    (unit,) = settled("400", "420", hours=1.75).units
    assert [(f"{one.starts_at:%H:%M}", float(one.hours)) for one in unit.intervals] == [
        ("18:00", 1.0),
        ("19:00", 0.75),
    ]
    (unit,) = settled("400", "420", hours=1.75, interval_s=1800).units
    assert [one.hours * 60 for one in unit.intervals] == [30, 30, 30, 15]
    assert unit.counted_kwh == 160


def test_an_interval_that_is_not_whole_steps_is_refused() -> None:
    with pytest.raises(IntervalMismatch, match="interval_s 1000 is no multiple of the metering step, 900 s"):
        settled("400", interval_s=1000)


@pytest.mark.parametrize(
    ("floor", "counted"), [(None, "50"), ("interval", "50"), ("event", "0"), ("none", "-10")]
)
def test_negative_delivery_counts_by_the_floor(floor: str | None, counted: str) -> None:
    members = {} if floor is None else {"delivered": {"floor": floor}}
    assert counted_kwh("560", "450", **members) == counted


def test_delivery_counts_up_to_the_cap_where_something_is_committed() -> None:
    assert counted_kwh("300") == "200"
    assert counted_kwh("300", delivered={"cap_ratio": None}) == "200"
    assert counted_kwh("300", delivered={"cap_ratio": "1.5"}) == "150"
    assert counted_kwh("300", committed_kw="0", delivered={"cap_ratio": "1.5"}) == "200"


def test_what_a_building_feeds_in_counts_only_where_the_rule_says() -> None:
    assert counted_kwh("-50") == "500"
    assert counted_kwh("-50", delivered={"export": "to_zero"}) == "500"
    assert counted_kwh("-50", delivered={"export": "counts"}) == "550"


def test_an_hour_without_readings_is_left_out_or_counts_as_nothing() -> None:
    for missing in (None, {"as": "exclude"}):
        (unit,) = settled("400", None, missing=missing).units
        assert [unit.hours, unit.committed_kwh, unit.counted_kwh, unit.ratio] == [1, 100, 100, 1]
    (unit,) = settled("400", None, missing={"as": "zero"}).units
    assert [unit.hours, unit.committed_kwh, unit.counted_kwh, unit.ratio] == [2, 200, 100, 0.5]


def test_less_than_the_least_coverage_is_not_settled() -> None:
    for least, reasons in (("0", ()), ("0.5", ()), ("0.501", ("coverage",))):
        settlement = settled("400", None, missing={"min_coverage": least}, energy=ENERGY)
        assert settlement.reasons == reasons
        assert bool(settlement.lines) == (not reasons)
        assert float(settlement.facilities[0].coverage) == 0.5


@pytest.mark.parametrize(
    ("performance", "ratio"),
    [
        ({}, "0.3333"),
        ({"places": 2}, "0.33"),
        ({"places": 6}, "0.333333"),
        ({"max": "0.3"}, "0.3"),
        ({"min": "0.5"}, "0.5"),
        (None, "0.3333"),
    ],
)
def test_the_ratio_is_rounded_and_then_held_within_its_bounds(
    performance: dict[str, Any] | None, ratio: str
) -> None:
    found = settled("400", committed_kw="300", performance=performance).performance
    assert found == Fraction(ratio)


def test_the_ratio_may_be_below_zero_where_the_rule_says() -> None:
    floor = {"floor": "none"}
    assert settled("550", delivered=floor).performance == 0
    assert settled("550", delivered=floor, performance={"min": "-1"}).performance == -0.5


def test_a_ratio_for_each_interval_pays_capacity_by_the_hour() -> None:
    """.5 and 1 with a tier from .6 on: by the event (.75) both hours are paid, by the hour the second one alone."""
    capacity = {"rate": "1", "unit": "kw-hour", "tiers": [{"from": "0.6", "a": "1", "b": "0"}]}
    by_event = settled("450", "400", capacity=capacity)
    by_hour = settled("450", "400", capacity=capacity, performance={"per": "interval"})
    assert components_of(by_event) == ["capacity 200.00"]
    assert components_of(by_hour) == ["capacity 100.00"]
    per_event = settled(
        "450", "400", capacity=capacity | {"unit": "kw-event"}, performance={"per": "interval"}
    )
    assert components_of(per_event) == ["capacity 50.00"]


def test_below_the_minimum_performance_only_penalties_stay() -> None:
    members: dict[str, Any] = {
        "capacity": {"rate": "1", "unit": "kw-event"},
        "energy": ENERGY,
        "penalty": {"rate": "0.1"},
    }
    settlement = settled("460", minimum_performance="0.401", **members)
    assert components_of(settlement) == ["capacity 0.00", "energy 0.00", "penalty -6.00"]
    assert [line.note for line in settlement.lines] == ["minimum_performance", "minimum_performance", None]
    reached = settled("460", minimum_performance="0.4", **members)
    assert components_of(reached) == ["capacity 100.00", "energy 40.00", "penalty -6.00"]


@pytest.mark.parametrize(("unit", "amount"), [("kw-event", "200.00"), ("kw-hour", "400.00")])
def test_capacity_is_paid_for_the_event_or_by_the_hour(unit: str, amount: str) -> None:
    assert components_of(settled("400", "420", capacity={"rate": "2", "unit": unit})) == [
        f"capacity {amount}"
    ]


@pytest.mark.parametrize("unit", ["kw-day", "kw-month", "kw-season"])
def test_capacity_of_a_period_is_no_line_of_the_event(unit: str) -> None:
    assert settled("400", capacity={"rate": "2", "unit": unit}).lines == ()


def test_capacity_is_paid_for_committed_or_for_delivered_power() -> None:
    capacity = {"rate": "1", "unit": "kw-event"}
    assert components_of(settled("420", capacity=capacity)) == ["capacity 100.00"]
    assert components_of(settled("420", capacity=capacity | {"quantity": "delivered"})) == ["capacity 80.00"]
    below = settled("520", capacity=capacity | {"quantity": "delivered"}, delivered={"floor": "none"})
    assert components_of(below) == ["capacity 0.00"]


def test_tiers_give_the_factor_and_below_the_first_it_is_nothing() -> None:
    capacity = {"rate": "1", "unit": "kw-event"}
    assert components_of(settled("460", capacity=capacity | {"tiers": None})) == ["capacity 100.00"]
    assert components_of(settled("460", capacity=capacity | {"tiers": PROPORTIONAL})) == ["capacity 40.00"]
    assert components_of(settled("460", capacity=capacity | {"tiers": FLAT_FROM_HALF})) == ["capacity 0.00"]
    assert components_of(settled("450", capacity=capacity | {"tiers": FLAT_FROM_HALF})) == ["capacity 100.00"]


def test_without_a_commitment_capacity_is_nothing_and_says_so() -> None:
    settlement = settled(
        "400",
        committed_kw="0",
        capacity={"rate": "1", "unit": "kw-event"},
        energy=ENERGY | {"tiers": PROPORTIONAL},
    )
    assert components_of(settlement) == ["capacity 0.00", "energy 0.00"]
    assert [line.note for line in settlement.lines] == ["no_commitment", "no_commitment"]
    assert settlement.performance is None


def test_energy_is_paid_at_a_rate_and_by_tiers() -> None:
    assert components_of(settled("460", energy=ENERGY)) == ["energy 40.00"]
    assert components_of(settled("460", energy=ENERGY | {"tiers": PROPORTIONAL})) == ["energy 16.00"]


def priced(*per_kwh: str, **energy: str) -> Settlement:
    dr_event = ended_event(facility(), hours=2, prices=prices_of(*per_kwh))
    rule = rule_of(energy={"price": "event", **energy})
    return settle(rule, dr_event, {"f1": steps_of("400", "420")}, step_s=STEP_S)


def test_energy_is_paid_at_the_prices_of_the_event() -> None:
    assert components_of(priced("0.18", "0.025")) == ["energy 20.00"]
    assert components_of(priced("0.18", "0.025", min_price="0.03")) == ["energy 18.00"]
    assert components_of(priced("0.18", "0.03", min_price="0.03")) == ["energy 20.40"]
    assert components_of(priced("0.18", "-0.1")) == ["energy 10.00"]


def test_a_missing_price_refuses_the_settlement_and_names_the_interval() -> None:
    with pytest.raises(PriceMissing, match="interval from 2026-07-14T19:00:00"):
        priced("0.18")


def test_a_penalty_is_owed_for_what_is_short_of_the_threshold() -> None:
    assert components_of(settled("460", penalty={"rate": "0.1"})) == ["penalty -6.00"]
    assert components_of(settled("460", penalty={"rate": "0.1", "threshold": "0.5"})) == ["penalty -1.00"]
    assert components_of(settled("460", penalty={"rate": "0.1", "threshold": "0.4"})) == ["penalty 0.00"]
    assert components_of(settled("460", penalty={"rate": "0.1", "max_per_event": "5"})) == ["penalty -5.00"]


def test_limits_bring_the_total_to_the_least_and_the_most() -> None:
    short: dict[str, Any] = {"penalty": {"rate": "1"}}
    assert components_of(settled("460", limits={"event_min": "0"}, **short)) == [
        "penalty -60.00",
        "limit 60.00",
    ]
    assert components_of(settled("460", limits={"event_max": "-70"}, **short)) == [
        "penalty -60.00",
        "limit -10.00",
    ]
    assert components_of(settled("460", limits={"event_min": "-60", "event_max": "0"}, **short)) == [
        "penalty -60.00"
    ]
    assert components_of(settled("460", limits=None, **short)) == ["penalty -60.00"]


def test_limits_hold_for_each_facility() -> None:
    rule = rule_of(energy=ENERGY, limits={"event_max": "60"})
    dr_event = ended_event(facility("f1"), facility("f2"), hours=1)
    settlement = settle(rule, dr_event, {"f1": steps_of("400"), "f2": steps_of("450")}, step_s=STEP_S)
    assert amounts_of(settlement) == {
        ("f1", "energy"): "100.00",
        ("f1", "limit"): "-40.00",
        ("f2", "energy"): "50.00",
    }


def test_the_facility_gets_its_share_of_each_line() -> None:
    settlement = settled("460", energy=ENERGY, penalty={"rate": "0.1"}, share="0.333")
    assert gross_of(settlement.amounts) == ["34.00"]
    assert net_of(settlement.amounts) == ["11.32"]
    assert net_of(settled("460", energy=ENERGY).amounts) == ["40.00"]


def test_the_members_of_a_kind_replace_those_of_the_rule() -> None:
    rule = rule_of(
        energy=ENERGY,
        penalty={"rate": "1"},
        delivered={"cap_ratio": "1"},
        kinds={"test": {"penalty": None, "energy": {"rate": "2"}, "delivered": None}},
    )
    ordinary = settle(rule, ended_event(hours=1), {"f1": steps_of("300")}, step_s=STEP_S)
    test = settle(rule, ended_event(hours=1, kind="test"), {"f1": steps_of("300")}, step_s=STEP_S)
    assert components_of(ordinary) == ["energy 100.00", "penalty 0.00"]
    assert components_of(test) == ["energy 400.00"]


def test_a_kind_that_the_rule_does_not_name_is_refused() -> None:
    rule = rule_of(energy=ENERGY, kinds={"test": {}})
    with pytest.raises(UnknownKind, match="no kind 'voluntary'; there are event, test"):
        settle(rule, ended_event(hours=1, kind="voluntary"), {"f1": steps_of("400")}, step_s=STEP_S)


def test_values_with_more_than_three_places_are_rounded_before_anything_is_computed() -> None:
    steps = {"f1": steps_of("400.0004", adjusted_kw="500.0005")}
    settlement = settle(rule_of(energy=ENERGY), ended_event(hours=1), steps, step_s=STEP_S)
    (of_f1,) = settlement.facilities
    assert (of_f1.steps[0].adjusted_kw, of_f1.steps[0].metered_kw) == ("500.001", "400.000")
    assert settlement.units[0].counted_kwh * 1000 == 100_001
