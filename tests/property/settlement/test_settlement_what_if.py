"""What-if in money: the same changes nothing; a facility that is left out takes exactly its own lines with it."""

from decimal import Decimal
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from application.settlement.what_if import Alteration, SettlementComparison, altered, compared
from domain.settlement.inputs import EndedEvent, MeteringStep
from domain.settlement.resettlement import Basis
from tests.settlement_cases import STEP_S, rule_of
from tests.settlement_documents import RATES, program_of, settlement_cases
from tests.sizes import examples

Drawn = tuple[dict[str, Any], EndedEvent, dict[str, list[MeteringStep]]]
EXAMPLES = examples(25)
KW = st.none() | RATES


def basis_of(drawn: Drawn) -> Basis:
    rule, dr_event, steps = drawn
    return Basis(rule=rule_of(**rule), dr_event=dr_event, steps=steps, step_s=STEP_S)


def comparison(basis: Basis, alteration: Alteration) -> SettlementComparison:
    return compared(basis, altered(basis, alteration), program_of(basis.rule))


def assert_adds_up(found: SettlementComparison) -> None:
    difference = Decimal(found.difference)
    assert sum((Decimal(one.difference) for one in found.changes), Decimal()) == difference
    assert sum((Decimal(one.amount) for one in found.by_reason), Decimal()) == difference
    before, after = (Decimal(side.total or "0") for side in (found.in_force, found.what_if))
    assert after - before == difference
    assert sum((Decimal(one.difference) for one in found.facilities), Decimal()) == difference


@settings(max_examples=EXAMPLES)
@given(drawn=settlement_cases())
def test_an_alteration_by_the_same_rule_changes_nothing(drawn: Drawn) -> None:
    basis = basis_of(drawn)
    found = comparison(basis, Alteration(rule=basis.rule, steps=basis.steps))
    assert (found.changes, found.by_reason) == ((), ())
    assert Decimal(found.difference) == 0
    assert found.in_force == found.what_if
    assert all(one.in_force == one.what_if for one in found.facilities)


@settings(max_examples=EXAMPLES)
@given(drawn=settlement_cases(), number=st.integers(0, 2))
def test_without_a_facility_at_level_facility_exactly_its_lines_are_removed(
    drawn: Drawn, number: int
) -> None:
    basis = basis_of((drawn[0] | {"level": "facility"}, *drawn[1:]))
    facilities = basis.dr_event.facilities
    assume(number < len(facilities))
    left_out = facilities[number].facility_id
    found = comparison(basis, Alteration(without=(left_out,)))
    assert [one for one in found.in_force.lines if one.unit != left_out] == list(found.what_if.lines)
    assert {one.unit for one in found.changes} <= {left_out}
    assert {one.why for one in found.by_reason} <= {"event"}
    of_it = next((one for one in found.facilities if one.facility_id == left_out), None)
    assert of_it is None or of_it.what_if is None
    assert all(one.in_force == one.what_if for one in found.facilities if one is not of_it)
    assert_adds_up(found)


@settings(max_examples=EXAMPLES)
@given(drawn=settlement_cases(), other=settlement_cases(), kw=KW)
def test_the_reasons_of_any_alteration_add_up_to_the_difference(
    drawn: Drawn, other: Drawn, kw: str | None
) -> None:
    basis = basis_of(drawn)
    rule = rule_of(**other[0] | {"minor_unit": basis.rule.minor_unit, "energy": {"rate": "0.25"}})
    again = {
        name: [
            MeteringStep(starts_at=one.starts_at, adjusted_kw=kw, metered_kw=one.metered_kw) for one in steps
        ]
        for name, steps in list(basis.steps.items())[:1]
    }
    without = tuple(one.facility_id for one in basis.dr_event.facilities[2:])
    assert_adds_up(comparison(basis, Alteration(rule=rule, steps=again, without=without)))
