"""A revision beside the old one: which lines moved, and by what reason."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from domain.settlement.inputs import MeteringStep
from domain.settlement.lines import PriceMissing
from domain.settlement.quantities import ZERO
from domain.settlement.resettlement import (
    Basis,
    CurrencyChanged,
    DeadlinePassed,
    Resettlement,
    changed_facilities,
    check_deadline,
    resettlement_of,
)
from tests.settlement_cases import (
    HOUR,
    STARTS_AT,
    STEP_S,
    ended_event,
    facility,
    money,
    prices_of,
    rule_of,
    steps_of,
)

ENERGY = {"rate": "1.00"}


def basis(rule: dict[str, Any] | None = None, *facilities: Any, **steps: Any) -> Basis:
    """Two hours of f1 and f2, which delivered 100 and 80 kW."""
    return Basis(
        rule=rule_of(**({"energy": ENERGY} | (rule or {}))),
        dr_event=ended_event(*(facilities or (facility("f1"), facility("f2"))), hours=2),
        steps={"f1": steps_of("400", "400"), "f2": steps_of("420", "420")} | steps,
        step_s=STEP_S,
    )


def reasons(found: Resettlement) -> list[str]:
    return [f"{part.why} {money(part.amount)}" for part in found.by_reason]


def changes(found: Resettlement) -> list[str]:
    return [f"{one.unit} {one.component} {money(one.old)} {money(one.new)}" for one in found.changes]


def test_the_same_figures_change_nothing() -> None:
    found = resettlement_of(basis(), basis())
    assert found == Resettlement(changes=(), by_reason=(), difference=ZERO)


def test_a_corrected_reading_is_the_meter() -> None:
    found = resettlement_of(basis(), basis(f1=steps_of("400", "410")))
    assert reasons(found) == ["meter -10.00"]
    assert changes(found) == ["f1 energy 200.00 190.00"]


def test_a_reading_that_comes_late_is_the_meter() -> None:
    found = resettlement_of(basis(f1=steps_of("400", None)), basis())
    assert reasons(found) == ["meter 100.00"]


def test_another_baseline_has_its_reason_before_the_meter() -> None:
    later = basis(f1=steps_of("400", "410", adjusted_kw="505"))
    assert reasons(resettlement_of(basis(), later)) == ["baseline 10.00", "meter -10.00"]


def test_every_reason_at_once_in_its_order_and_they_add_up() -> None:
    """Rule 360 x .1; the second hour cancelled; 5 kW more of baseline and 4 less of delivery for an hour."""
    later = basis({"limits": None}, f1=steps_of("404", "400", adjusted_kw="505"))
    later = replace(
        later,
        rule=rule_of(energy={"rate": "1.10"}),
        dr_event=replace(later.dr_event, status="cancelled_while_active", ended_at=STARTS_AT + HOUR),
    )
    found = resettlement_of(basis(), later)
    assert reasons(found) == ["rule 36.00", "event -198.00", "baseline 5.50", "meter -4.40"]
    assert money(found.difference) == "-160.90"


def test_steps_that_the_old_one_did_not_have_come_from_the_new_event() -> None:
    """The window became two hours: the second hour is the event's, also where its readings are new."""
    short = replace(
        basis(f1=steps_of("400"), f2=steps_of("420")),
        dr_event=replace(basis().dr_event, ends_at=STARTS_AT + HOUR),
    )
    assert reasons(resettlement_of(short, basis())) == ["event 180.00"]


def test_a_facility_that_was_excused_later_loses_its_line_by_the_event() -> None:
    found = resettlement_of(basis(), basis(None, facility("f1"), facility("f2", result="excused")))
    assert reasons(found) == ["event -160.00"]
    assert changes(found) == ["f2 energy 160.00 0.00"]


def test_prices_that_come_later_are_the_event() -> None:
    priced = {"energy": {"price": "event"}}
    old, new = (
        Basis(
            rule=rule_of(**priced),
            dr_event=ended_event(facility(), hours=2, prices=prices_of("0.10", price)),
            steps={"f1": steps_of("400", "400")},
            step_s=STEP_S,
        )
        for price in ("0.20", "0.25")
    )
    assert reasons(resettlement_of(old, new)) == ["event 5.00"]


def test_a_rule_that_pays_prices_the_old_event_did_not_have_is_part_of_the_event() -> None:
    new = replace(
        basis(),
        rule=rule_of(energy={"price": "event"}),
        dr_event=replace(basis().dr_event, prices=prices_of("0.50", "0.50")),
    )
    assert reasons(resettlement_of(basis(), new)) == ["event -180.00"]
    with pytest.raises(PriceMissing):
        resettlement_of(basis(), replace(new, dr_event=basis().dr_event))


def test_another_length_of_steps_is_the_event() -> None:
    five = [
        replace(step, starts_at=step.starts_at + timedelta(minutes=5 * part), metered_kw="390")
        for step in steps_of("400", "400")
        for part in range(3)
    ]
    found = resettlement_of(basis(), replace(basis(f1=five, f2=five), step_s=300))
    assert reasons(found) == ["event 80.00"]


def test_a_rule_whose_interval_the_old_steps_do_not_fill_is_part_of_the_event() -> None:
    finer = [
        MeteringStep(
            starts_at=STARTS_AT + timedelta(seconds=300) * number, adjusted_kw="500", metered_kw="400"
        )
        for number in range(24)
    ]
    new = replace(
        basis({"interval_s": 300, "energy": {"rate": "1.10"}}), steps={"f1": finer, "f2": finer}, step_s=300
    )
    assert reasons(resettlement_of(basis(), new)) == ["event 80.00"]


def test_another_currency_has_no_difference() -> None:
    with pytest.raises(
        CurrencyChanged, match="settled in USD, the new rule pays in EUR: nothing is converted"
    ):
        resettlement_of(basis(), basis({"currency": "EUR"}))


def test_a_portfolio_moves_as_one_line() -> None:
    portfolio = {"level": "portfolio"}
    found = resettlement_of(basis(portfolio), basis(portfolio, f1=steps_of("400", "410")))
    assert (changes(found), reasons(found)) == (["portfolio energy 360.00 350.00"], ["meter -10.00"])


def test_the_facilities_that_differ_are_named() -> None:
    same_values = [replace(step) for step in steps_of("400", "400")]
    assert changed_facilities(basis(), basis(f1=tuple(same_values))) == frozenset()
    assert changed_facilities(basis(), basis(f1=steps_of("400", "410"))) == frozenset({"f1"})
    assert changed_facilities(basis(), basis(None, facility("f1"))) == frozenset({"f2"})
    assert changed_facilities(basis(), basis({"share": "0.5"})) is None
    longer = replace(basis().dr_event, ends_at=STARTS_AT + 3 * HOUR)
    assert changed_facilities(basis(), replace(basis(), dr_event=longer)) is None


@pytest.mark.parametrize("level", ["facility", "portfolio"])
def test_what_does_not_differ_is_taken_from_the_settlement_before(level: str) -> None:
    old, new = basis({"level": level}), basis({"level": level}, f1=steps_of("400", "410"))
    before = old.settlement()
    found = new.settlement_after(old, before)
    assert found == new.settlement()
    assert found.facilities[1] is before.facilities[1]
    assert money(found.total) == "350.00"


@pytest.mark.parametrize(
    ("rule", "days"), [({}, 60), ({"deadline": {"final_after_days": 100}}, 100), ({"deadline": None}, 60)]
)
def test_after_the_deadline_nothing_is_settled_again(rule: dict[str, Any], days: int) -> None:
    found = basis(rule)
    final_at = found.dr_event.ends_at + timedelta(days=days)
    check_deadline(found.rule, found.dr_event, final_at)
    with pytest.raises(DeadlinePassed, match=f"{days} days after the end"):
        check_deadline(found.rule, found.dr_event, final_at + timedelta(seconds=1))
