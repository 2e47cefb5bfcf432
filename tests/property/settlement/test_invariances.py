"""What must not change an amount: the order of facilities, shorter steps of equal values, the other facilities.

And what changes it in proportion: the rates.
"""

from datetime import datetime, timedelta
from fractions import Fraction
from random import Random
from typing import Any

import msgspec
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.program import SettlementRule
from domain.settlement.inputs import EndedEvent, EventFacility, MeteringStep, step_window
from domain.settlement.lines import PriceMissing
from domain.settlement.resettlement import Basis
from domain.settlement.settle import Settlement, UnknownKind
from tests.property.settlement.random_cases import case_of
from tests.sizes import examples

NUMBERS = st.integers(min_value=1_000_000, max_value=2**40)
FEW = settings(max_examples=examples(60), deadline=None)


def basis_of(number: int, **members: Any) -> Basis:
    """The first DR event of a random case whose rule pays it; `members` replace those of the rule."""
    case = case_of(number)
    dr_event, steps = case.events[0]
    found = Basis(
        rule=msgspec.convert(case.program["settlement"] | members, SettlementRule),
        dr_event=msgspec.convert(dr_event, EndedEvent),
        steps=msgspec.convert(steps, dict[str, list[MeteringStep]]),
        step_s=case.step_s,
    )
    assume(found.dr_event.facilities)
    return found


def settled(basis: Basis) -> Settlement:
    try:
        return basis.settlement()
    except (PriceMissing, UnknownKind):
        assume(condition=False)
        raise


def figures(settlement: Settlement) -> Any:
    return settlement.units, settlement.lines, settlement.amounts, settlement.reasons, settlement.performance


@FEW
@given(NUMBERS, st.randoms(use_true_random=False))
def test_the_order_of_facilities_and_of_their_steps_changes_nothing(number: int, random: Random) -> None:
    basis = basis_of(number)
    facilities, names = list(basis.dr_event.facilities), list(basis.steps)
    random.shuffle(facilities)
    random.shuffle(names)
    steps = {name: random.sample(list(basis.steps[name]), len(basis.steps[name])) for name in names}
    mixed = replace(basis, dr_event=replace(basis.dr_event, facilities=tuple(facilities)), steps=steps)
    assert figures(settled(mixed)) == figures(settled(basis))


@FEW
@given(NUMBERS, st.sampled_from([2, 3, 5]))
def test_shorter_steps_of_equal_values_change_nothing(number: int, parts: int) -> None:
    """Where windows and opt-outs begin with a step; commitments may change at any time."""
    basis = _on_whole_steps(basis_of(number))
    assume(basis.step_s % parts == 0)
    part = timedelta(seconds=basis.step_s // parts)
    steps = {
        name: [
            replace(step, starts_at=step.starts_at + part * place) for step in own for place in range(parts)
        ]
        for name, own in basis.steps.items()
    }
    split = settled(replace(basis, steps=steps, step_s=basis.step_s // parts))
    assert figures(split) == figures(settled(basis))
    assert [one.coverage for one in split.facilities] == [one.coverage for one in settled(basis).facilities]


@FEW
@given(NUMBERS)
def test_no_line_of_a_facility_depends_on_another(number: int) -> None:
    """At level `facility`: each is settled the same without the others."""
    basis = basis_of(number, level="facility")
    together = settled(basis)
    for one in together.facilities:
        alone = settled(basis.of_facilities({one.facility_id}))
        assert alone.facilities == (one,)
        assert alone.units == tuple(unit for unit in together.units if unit.unit == one.facility_id)
        assert alone.lines == tuple(line for line in together.lines if line.unit == one.facility_id)
        assert alone.amounts.get(one.facility_id) == together.amounts.get(one.facility_id)


@FEW
@given(NUMBERS)
def test_the_parts_of_the_facilities_add_up_to_the_total(number: int) -> None:
    settlement = settled(basis_of(number))
    assert sum(one.gross for one in settlement.amounts.values()) == settlement.total
    assert sum(line.amount for line in settlement.lines) == settlement.total


@FEW
@given(NUMBERS, st.integers(min_value=2, max_value=1000))
def test_rates_of_whole_units_scale_every_line_exactly(number: int, times: int) -> None:
    """kWh with 3 places times a rate with one have 4 places: nothing is rounded, so an integer scales the lines."""
    basis = basis_of(number, minor_unit=4, kinds={})

    def scaled(by: int) -> Basis:
        members = {
            "capacity": {"rate": _tenths(12 * by), "unit": "kw-event"},
            "energy": {"rate": _tenths(15 * by)},
            "penalty": {"rate": _tenths(7 * by), "max_per_event": _tenths(900 * by)},
            "limits": {"event_min": _tenths(-500 * by), "event_max": _tenths(3000 * by)},
            "performance": None,
        }
        rule = msgspec.convert(msgspec.to_builtins(basis.rule) | members, SettlementRule)
        return replace(basis, rule=rule, dr_event=replace(basis.dr_event, kind="event"))

    once, more = settled(scaled(1)), settled(scaled(times))
    assert [(line.unit, line.component, line.amount * times) for line in once.lines] == [
        (line.unit, line.component, line.amount) for line in more.lines
    ]
    assert once.total * times == more.total


@FEW
@given(NUMBERS, st.integers(min_value=2, max_value=50))
def test_scaled_rates_scale_a_line_but_for_one_rounding(number: int, times: int) -> None:
    """Any rule, without limits: k lines were each rounded by half a unit at most, and the k-fold one once."""
    basis = basis_of(number, limits=None, kinds={})
    ordinary = replace(basis, dr_event=replace(basis.dr_event, kind="event"))
    once = settled(ordinary)
    more = settled(
        replace(
            ordinary,
            rule=_with_rates_times(ordinary.rule, times),
            dr_event=_prices_times(ordinary.dr_event, times),
        )
    )
    half = Fraction(1, 2 * 10**basis.rule.minor_unit)
    assert len(once.lines) == len(more.lines)
    for line, scaled in zip(once.lines, more.lines, strict=True):
        assert abs(line.amount * times - scaled.amount) <= half * (times + 1)


def _tenths(number: int) -> str:
    sign, digits = ("-" if number < 0 else ""), f"{abs(number):02d}"
    return f"{sign}{digits[:-1]}.{digits[-1]}"


def _times(text: str | None, times: int) -> str | None:
    """A decimal times an integer, exactly."""
    if text is None:
        return None
    sign = "-" if text.startswith("-") else ""
    whole, _, places = text.lstrip("-").partition(".")
    digits = str(int(whole + places) * times).rjust(len(places) + 1, "0")
    return sign + (f"{digits[: -len(places)]}.{places and digits[-len(places) :]}" if places else digits)


def _with_rates_times(rule: SettlementRule, times: int) -> SettlementRule:
    capacity, energy, penalty = rule.capacity, rule.energy, rule.penalty
    if capacity is not None:
        capacity = replace(capacity, rate=_times(capacity.rate, times))
    if energy is not None:
        energy = replace(energy, rate=_times(energy.rate, times), min_price=_times(energy.min_price, times))
    if penalty is not None:
        penalty = replace(
            penalty, rate=_times(penalty.rate, times), max_per_event=_times(penalty.max_per_event, times)
        )
    return replace(rule, capacity=capacity, energy=energy, penalty=penalty)


def _prices_times(dr_event: EndedEvent, times: int) -> EndedEvent:
    prices = tuple(replace(price, per_kwh=_times(price.per_kwh, times)) for price in dr_event.prices)
    return replace(dr_event, prices=prices)


def _on_whole_steps(basis: Basis) -> Basis:
    """The same with every window and opt-out moved to the next step."""
    step_s, dr_event = basis.step_s, basis.dr_event

    def moved(at: datetime | None) -> datetime | None:
        return None if at is None else step_window(at, at, step_s).starts_at

    def of_facility(one: EventFacility) -> EventFacility:
        return replace(
            one,
            starts_at=moved(one.starts_at),
            ends_at=moved(one.ends_at),
            opted_out_at=moved(one.opted_out_at),
        )

    starts_at, ends_at = moved(dr_event.starts_at), moved(dr_event.ends_at)
    return replace(
        basis,
        dr_event=replace(
            dr_event,
            starts_at=starts_at,
            ends_at=ends_at,
            ended_at=moved(dr_event.ended_at),
            facilities=tuple(of_facility(one) for one in dr_event.facilities),
        ),
    )
