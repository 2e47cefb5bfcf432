"""The document `settlement/1`: its texts, and that its lines follow from it alone."""

import json
import re
from fractions import Fraction
from typing import Any

import msgspec
from hypothesis import given, settings

from application.settlement.document import (
    basis_of,
    canonical_bytes,
    digest_of,
    read_document,
    recomputed,
    settlement_document,
)
from application.settlement.shapes import LineFigures, SettlementDocument
from domain.settlement.inputs import EndedEvent, MeteringStep
from domain.settlement.resettlement import Basis
from domain.settlement.rounding import exact, rounded
from tests.settlement_cases import STEP_S, ended_event, facility, prices_of, rule_of, steps_of
from tests.settlement_documents import document_of, program_of, settlement_cases, v1_document

Case = tuple[dict[str, Any], EndedEvent, dict[str, list[MeteringStep]]]


def builtins_of(document: SettlementDocument) -> Any:
    return json.loads(canonical_bytes(document))


def test_the_first_vector_is_written_as_the_contract_shows_it() -> None:
    document = builtins_of(v1_document())
    assert {name: document[name] for name in ("schema", "revision", "status", "reasons", "performance")} == {
        "schema": "settlement/1",
        "revision": 0,
        "status": "settled",
        "reasons": [],
        "performance": "0.90",
    }
    assert (document["total"], document["currency"], document["program_version"]) == ("630.00", "USD", 3)
    assert [(line["component"], line["amount"], line["note"]) for line in document["lines"]] == [
        ("capacity", "360.00", None),
        ("energy", "270.00", None),
    ]
    (unit,) = document["units"]
    assert (unit["unit"], unit["seconds"], unit["committed_kwh"], unit["counted_kwh"]) == (
        "fac-001",
        7200,
        "200.000",
        "180.000",
    )
    assert unit["intervals"][0] == {
        "starts_at": "2026-07-14T18:00:00Z",
        "seconds": 3600,
        "committed_kw": "100.000",
        "delivered_kw": "100.000",
        "counted_kw": "100.000",
        "performance": "1.00",
    }
    (one,) = document["facilities"]
    assert (one["coverage"], one["shortfall_kwh"], one["performance"], one["gross"], one["net"]) == (
        "1.00",
        "20.000",
        "0.90",
        "630.00",
        "630.00",
    )
    assert one["intervals"][1] == {
        "starts_at": "2026-07-14T19:00:00Z",
        "steps": 4,
        "known_steps": 4,
        "committed_kw": "100.000",
        "delivered_kw": "80.000",
    }
    assert one["steps"][0] == {
        "starts_at": "2026-07-14T18:00:00Z",
        "adjusted_kw": "500.000",
        "metered_kw": "400.000",
    }
    assert document["inputs"]["program"]["settlement"]["capacity"]["rate"] == "4.00"
    assert document["inputs"]["event"]["facilities"][0]["committed_kw"] == "100"


def test_lines_say_their_formula_in_numbers() -> None:
    assert [line.formula for line in v1_document().lines] == [
        "4.00 x 100.000 kW x 0.90",
        "1.50 x 180.000 kWh",
    ]


def test_prices_of_the_event_are_summed_in_the_formula() -> None:
    dr_event = ended_event(facility(), hours=2, prices=prices_of("0.18", "-0.025"))
    document = document_of({"energy": {"price": "event"}}, dr_event, {"f1": steps_of("400", "420")})
    assert document.lines[0].formula == "(100.000 kWh x 0.18 + 80.000 kWh x (-0.025))"


def test_a_portfolio_says_what_part_of_each_line_is_whose() -> None:
    document = document_of(
        {"level": "portfolio", "energy": {"rate": "1.00"}, "share": "0.5"},
        ended_event(facility("f1"), facility("f2", "50"), hours=1),
        {"f1": steps_of("400"), "f2": steps_of("460")},
    )
    parts = {
        one.facility_id: [(p.component, p.gross, p.net) for p in one.parts] for one in document.facilities
    }
    assert parts == {"f1": [("energy", "100.00", "50.00")], "f2": [("energy", "40.00", "20.00")]}
    assert all(one.performance is None for one in document.facilities)


def test_a_cancelled_event_is_a_document_without_lines() -> None:
    document = document_of({"energy": {"rate": "1"}}, ended_event(hours=1, status="cancelled"), {})
    assert (document.status, document.reasons, document.lines, document.total) == (
        "not_settled",
        ("cancelled_before_start",),
        (),
        "0.00",
    )


def test_steps_are_rounded_before_they_are_settled() -> None:
    step = steps_of("400.0005", steps_each=1)[0]
    rule = rule_of(energy={"rate": "1000"})
    basis = Basis(rule=rule, dr_event=ended_event(hours=0.25), steps={"f1": [step]}, step_s=STEP_S)
    document = settlement_document(basis, program_of(rule))
    assert document.facilities[0].steps[0].metered_kw == "400.001"
    assert document.units[0].counted_kwh == "25.000"


def test_the_digest_is_that_of_sorted_members() -> None:
    document = v1_document()
    written = canonical_bytes(document)
    assert written == json.dumps(json.loads(written), sort_keys=True, separators=(",", ":")).encode()
    assert digest_of(document) == digest_of(read_document(written))
    assert digest_of(document) != digest_of(msgspec.structs.replace(document, total="630.01"))


@settings(max_examples=60)
@given(case=settlement_cases())
def test_a_document_follows_from_its_own_inputs(case: Case) -> None:
    written = canonical_bytes(document_of(*case))
    document = read_document(written)
    assert canonical_bytes(recomputed(document)) == written
    assert basis_of(document).settlement().total == sum(
        (exact(line.amount) for line in document.lines), Fraction()
    )


@settings(max_examples=60)
@given(case=settlement_cases())
def test_who_computes_a_formula_comes_to_the_amount(case: Case) -> None:
    document = document_of(*case)
    rule = document.inputs.program.settlement
    for line in document.lines:
        amount = rounded(computed(line.formula), rule.minor_unit, rule.rounding)
        assert amount == exact(line.amount), line


@settings(max_examples=40)
@given(case=settlement_cases())
def test_the_amounts_of_lines_and_of_facilities_add_up_to_the_total(case: Case) -> None:
    document = document_of(*case)
    total = exact(document.total)
    assert sum((exact(line.amount) for line in document.lines), Fraction()) == total
    assert sum((exact(one.gross) for one in document.facilities), Fraction()) == total
    for one in document.facilities:
        assert sum((exact(part.net) for part in one.parts), Fraction()) == exact(one.net)


def computed(formula: str) -> Fraction:
    """As a reader with a pocket calculator would: units left out, "x" is times."""
    if formula.startswith("0, "):
        return Fraction(0)
    formula, _, most = formula.partition(", at most ")
    plain = re.sub(r" (kWh|kW|h)\b", "", formula).replace(" x ", " * ")
    found = eval(re.sub(r"\d+(\.\d+)?", r"Fraction('\g<0>')", plain), {"Fraction": Fraction})  # noqa: S307
    return max(Fraction(found), -Fraction(most)) if most else Fraction(found)


def test_the_reader_of_formulas_is_none_that_always_agrees() -> None:
    line: LineFigures = v1_document().lines[0]
    assert computed(line.formula.replace("0.90", "0.91")) != exact(line.amount)
