"""What another rule, another baseline, or a facility less would have paid."""

from typing import Any

import pytest

from application.settlement.what_if import (
    Alteration,
    SettlementComparison,
    WhatIfRefused,
    altered,
    compared,
)
from domain.program import SettlementRule
from domain.settlement.resettlement import Basis
from tests.settlement_cases import STEP_S, ended_event, facility, rule_of, steps_of
from tests.settlement_documents import program_of

RULE = rule_of(energy={"rate": "1.00"}, penalty={"rate": "0.5"})
FACILITIES = (facility("f1"), facility("f2", "50"))
STEPS = {"f1": steps_of("400", "420"), "f2": steps_of("450", "450")}


def basis_of(rule: SettlementRule = RULE, **members: Any) -> Basis:
    dr_event = ended_event(*FACILITIES, hours=2, **members)
    return Basis(rule=rule, dr_event=dr_event, steps=STEPS, step_s=STEP_S)


def comparison(alteration: Alteration, basis: Basis | None = None) -> SettlementComparison:
    basis = basis or basis_of()
    return compared(basis, altered(basis, alteration), program_of(basis.rule))


def reasons(found: SettlementComparison) -> list[tuple[str, str]]:
    return [(one.why, one.amount) for one in found.by_reason]


def moved(found: SettlementComparison) -> list[tuple[str, str, str, str]]:
    return [(one.unit, one.component, one.old, one.new) for one in found.changes]


def test_another_rule_changes_the_lines_by_rule() -> None:
    found = comparison(Alteration(rule=rule_of(energy={"rate": "2.00"}, penalty={"rate": "0.5"})))
    assert (found.in_force.total, found.what_if.total, found.difference) == ("270.00", "550.00", "280.00")
    assert moved(found) == [("f1", "energy", "180.00", "360.00"), ("f2", "energy", "100.00", "200.00")]
    assert reasons(found) == [("rule", "280.00")]
    assert found.what_if.lines[0].formula.startswith("2.00")


def test_a_rule_with_fewer_places_is_compared_with_the_places_of_both() -> None:
    cents = basis_of(rule_of(energy={"rate": "1.001"}))
    found = comparison(Alteration(rule=rule_of(minor_unit=0, energy={"rate": "1.00"})), cents)
    assert (found.in_force.total, found.what_if.total, found.difference) == ("280.28", "280", "-0.28")


def test_another_baseline_changes_the_lines_of_the_facilities_that_it_measured() -> None:
    found = comparison(Alteration(steps={"f2": steps_of("450", "450", adjusted_kw="490")}))
    assert moved(found) == [("f2", "energy", "100.00", "80.00"), ("f2", "penalty", "0.00", "-10.00")]
    assert reasons(found) == [("baseline", "-30.00")]


def test_readings_that_changed_meanwhile_are_a_reason_of_their_own() -> None:
    found = comparison(Alteration(steps={"f2": steps_of("440", "450", adjusted_kw="490")}))
    assert reasons(found) == [("baseline", "-30.00"), ("meter", "15.00")]


def test_a_facility_that_the_other_baseline_cannot_measure_is_left_out() -> None:
    found = comparison(Alteration(steps={"f2": steps_of("450", "450", adjusted_kw=None)}))
    of_it = next(one for one in found.facilities if one.facility_id == "f2")
    assert of_it.what_if is not None
    assert (of_it.what_if.counted, of_it.what_if.reason, of_it.difference) == (False, "baseline", "-100.00")


def test_without_every_facility_nothing_is_settled() -> None:
    found = comparison(Alteration(without=("f1", "f2")))
    assert (found.what_if.status, found.what_if.reasons) == ("not_settled", ("no_facility",))
    assert (found.what_if.total, found.difference) == (None, "-270.00")


def test_where_no_rule_was_agreed_all_of_it_is_owed_to_the_rule() -> None:
    found = compared(None, basis_of(), program_of(RULE))
    assert (found.in_force.status, found.in_force.reasons, found.in_force.total) == (
        "not_settled",
        ("no_rule",),
        None,
    )
    assert (found.what_if.total, found.difference) == ("270.00", "270.00")
    assert reasons(found) == [("rule", "270.00")]
    assert {one.in_force for one in found.facilities} == {None}


@pytest.mark.parametrize(
    ("members", "code", "text"),
    [
        ({"currency": "EUR", "energy": {"rate": "1"}}, "currency", "nothing is converted"),
        ({"energy": {"price": "event"}}, "price_missing", "price"),
        ({"interval_s": 1000, "energy": {"rate": "1"}}, "schema", "interval_s"),
    ],
)
def test_a_rule_that_cannot_be_settled_by_is_refused_with_the_reason(
    members: dict[str, Any], code: str, text: str
) -> None:
    with pytest.raises(WhatIfRefused, match=text) as refused:
        comparison(Alteration(rule=rule_of(**members)))
    assert refused.value.code == code


def test_a_rule_without_the_kind_of_the_dr_event_is_refused() -> None:
    kinds = rule_of(energy={"rate": "1"}, kinds={"test": {"share": "1"}})
    with pytest.raises(WhatIfRefused, match="no kind 'test'") as refused:
        comparison(Alteration(rule=RULE), basis_of(kinds, kind="test"))
    assert refused.value.code == "unknown_kind"


def test_a_facility_that_has_no_part_in_the_dr_event_is_refused() -> None:
    with pytest.raises(WhatIfRefused, match="f9 has no part") as refused:
        altered(basis_of(), Alteration(without=("f9",)))
    assert refused.value.code == "unknown_facility"
