"""A settlement of which some facilities changed gives the document of a whole settlement."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from application.settlement import renewal
from application.settlement.document import settlement_document
from application.settlement.renewal import renewed_document
from application.settlement.shapes import BaselineSummary
from domain.settlement.inputs import EndedEvent, MeteringStep
from domain.settlement.resettlement import Basis
from tests.settlement_cases import STEP_S, ended_event, facility, rule_of, steps_of
from tests.settlement_documents import program_of, settlement_cases

Case = tuple[dict[str, Any], EndedEvent, dict[str, list[MeteringStep]]]
NAMES = ["a", "b", "c"]


def basis_of_case(case: Case) -> Basis:
    rule, dr_event, steps = case
    return Basis(rule=rule_of(**rule), dr_event=dr_event, steps=steps, step_s=STEP_S)


def summaries(basis: Basis, *late: str) -> dict[str, BaselineSummary]:
    return {name: BaselineSummary(method="x-of-y", late_readings=name in late) for name in basis.steps}


@settings(max_examples=80)
@given(
    case=settlement_cases(),
    changed=st.sets(st.sampled_from(NAMES)),
    gone=st.sets(st.sampled_from(NAMES), max_size=1),
    committed_kw=st.sampled_from(["10", "100.5"]),
)
def test_it_equals_the_document_of_a_whole_settlement(
    case: Case, changed: set[str], gone: set[str], committed_kw: str
) -> None:
    old = basis_of_case(case)
    program = program_of(old.rule)
    earlier = settlement_document(old, program, baselines=summaries(old))
    facilities = [
        replace(one, committed_kw=committed_kw) if one.facility_id in changed & {"c"} else one
        for one in old.dr_event.facilities
        if one.facility_id not in gone
    ]
    steps = {
        name: [replace(step, metered_kw="77.7775") for step in found] if name in changed else found
        for name, found in old.steps.items()
    }
    new = replace(old, dr_event=replace(old.dr_event, facilities=tuple(facilities)), steps=steps)
    baselines = summaries(new, *changed)
    assert renewed_document(earlier, new, program, baselines=baselines) == settlement_document(
        new, program, baselines=baselines
    )


def test_a_total_of_more_digits_than_a_decimal_context_has_is_exact() -> None:
    rule = rule_of(energy={"rate": "1" * 30 + ".01"})
    dr_event = ended_event(facility("a"), facility("b"), hours=1)
    old = Basis(rule=rule, dr_event=dr_event, steps={name: steps_of("401") for name in "ab"}, step_s=STEP_S)
    earlier = settlement_document(old, program_of(rule))
    new = replace(old, steps={"a": old.steps["a"], "b": steps_of("403")})
    assert renewed_document(earlier, new, program_of(rule), baselines={}) == settlement_document(
        new, program_of(rule)
    )


def test_a_dr_event_whose_last_facility_is_gone_is_not_settled() -> None:
    rule = rule_of(energy={"rate": "1.00"})
    old = Basis(rule=rule, dr_event=ended_event(hours=1), steps={"f1": steps_of("400")}, step_s=STEP_S)
    earlier = settlement_document(old, program_of(rule), baselines={})
    new = replace(old, dr_event=replace(old.dr_event, facilities=()), steps={})
    found = renewed_document(earlier, new, program_of(rule), baselines={})
    assert (found.status, found.reasons, found.total) == ("not_settled", ("no_facility",), "0.00")


@pytest.mark.parametrize(
    ("level", "computed"), [("facility", [["b"]]), ("portfolio", [["a", "b"]])], ids=["facility", "portfolio"]
)
def test_at_level_facility_only_what_changed_is_computed(
    monkeypatch: pytest.MonkeyPatch, level: str, computed: list[list[str]]
) -> None:
    dr_event = ended_event(facility("a"), facility("b"), hours=1)
    rule = rule_of(level=level, energy={"rate": "1.00"})
    old = Basis(
        rule=rule, dr_event=dr_event, steps={"a": steps_of("400"), "b": steps_of("410")}, step_s=STEP_S
    )
    earlier = settlement_document(old, program_of(rule), baselines={})
    new = replace(old, steps={"a": old.steps["a"], "b": steps_of("420")})
    seen: list[list[str]] = []

    def recorded(basis: Basis, *arguments: Any, **options: Any) -> Any:
        seen.append([one.facility_id for one in basis.dr_event.facilities])
        return settlement_document(basis, *arguments, **options)

    monkeypatch.setattr(renewal, "settlement_document", recorded)
    found = renewed_document(earlier, new, program_of(rule), baselines={})
    assert (found.total, seen) == ("180.00", computed)
