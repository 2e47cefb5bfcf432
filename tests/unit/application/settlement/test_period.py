"""The document of a month's capacity."""

import json
from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import given, settings

from application.settlement.document import basis_of, canonical_bytes
from application.settlement.period import period_document, settlement_of
from application.settlement.without_steps import read_without_steps
from domain.settlement.inputs import EndedEvent
from domain.settlement.lines import PriceMissing
from tests.settlement_cases import PROPORTIONAL, STARTS_AT, ended_event, facility, rule_of, steps_of
from tests.settlement_documents import document_of, program_of, settlement_cases

RULE = {
    "level": "portfolio",
    "performance": {"places": 2},
    "capacity": {
        "rate": "18",
        "unit": "kw-month",
        "tiers": PROPORTIONAL,
        "from_event": [{"event": 2, "rate": "23.00"}],
    },
}


def test_a_month_says_rate_quantity_and_factor() -> None:
    settlements = [
        document_of(
            RULE,
            ended_event(
                facility("f1", "120"),
                facility("f2", "40"),
                hours=2,
                starts_at=STARTS_AT - timedelta(days=back),
            ),
            {
                "f1": steps_of("400", "410", starts_at=STARTS_AT - timedelta(days=back)),
                "f2": steps_of("460", "460", starts_at=STARTS_AT - timedelta(days=back)),
            },
        )
        for back in (40, 0)
    ]
    program = program_of(rule_of(**RULE), enrolments={"f1": "120", "f2": "50"})
    written = msgspec.json.encode(period_document(program, "2026-07", settlements))
    document = json.loads(written)
    assert document.pop("capacity")["from_event"] == [{"event": 2, "rate": "23.00"}]
    assert document == {
        "period": "2026-07",
        "program_id": "summer-peak",
        "program_version": 3,
        "currency": "USD",
        "minor_unit": 2,
        "lines": [
            {
                "unit": "portfolio",
                "component": "capacity",
                "performance": "0.84",
                "events": 1,
                "amount": "3284.40",
                "quantity": "170.000",
                "rate": "23.00",
                "factor": "0.84",
                "units": 1,
                "formula": "23.00 x 170.000 kW x 0.84 x 1 month",
            }
        ],
        "total": "3284.40",
        "facilities": [
            {"facility_id": "f1", "gross": "2311.24", "net": "2311.24"},
            {"facility_id": "f2", "gross": "973.16", "net": "973.16"},
        ],
    }


def test_a_month_without_a_dr_event_pays_by_its_own_factor() -> None:
    rule = rule_of(capacity={"rate": "2.00", "unit": "kw-day", "no_event_factor": "0.5"})
    document = period_document(program_of(rule, enrolments={"f1": "100"}), "2026-02", [])
    assert [(line.performance, line.formula) for line in document.lines] == [
        (None, "2.00 x 100.000 kW x 0.5 x 28 days")
    ]
    assert document.total == "2800.00"


def test_the_formula_has_every_digit_of_the_enrolled_power() -> None:
    rule = rule_of(capacity={"rate": "100.00", "unit": "kw-month"})
    program = program_of(rule, enrolments={"f1": "150.0005"})
    (line,) = period_document(program, "2026-07", []).lines
    assert (line.formula, line.amount) == ("100.00 x 150.0005 kW x 1 x 1 month", "15000.05")


def test_a_program_that_pays_no_capacity_with_the_period_has_no_lines() -> None:
    document = period_document(program_of(rule_of(energy={"rate": "1"})), "2026-02", [])
    assert (document.lines, document.total, document.facilities) == ((), "0.00", ())


@settings(max_examples=30)
@given(settlement_cases())
def test_the_figures_of_a_document_are_those_of_its_settlement(
    case: tuple[dict[str, Any], EndedEvent, dict[str, Any]],
) -> None:
    """A month follows from what documents state: nothing is settled again for it."""
    try:
        document = document_of(*case)
    except PriceMissing:
        return
    stated, computed = (
        settlement_of(read_without_steps(canonical_bytes(document))),
        basis_of(document).settlement(),
    )
    assert (stated.rule, stated.reasons) == (computed.rule, computed.reasons)
    assert [(one.facility_id, one.reason, one.delivered_kwh) for one in stated.facilities] == [
        (one.facility_id, one.reason, one.delivered_kwh) for one in computed.facilities
    ]
    assert [(one.unit, one.committed_kwh, one.counted_kwh, one.hours, one.ratio) for one in stated.units] == [
        (one.unit, one.committed_kwh, one.counted_kwh, one.hours, one.ratio) for one in computed.units
    ]


def test_a_document_is_read_without_its_steps() -> None:
    document = document_of(RULE, ended_event(facility("f1"), hours=1), {"f1": steps_of("400")})
    read = read_without_steps(canonical_bytes(document))
    assert read.facilities[0].steps == ()
    assert read.facilities[0].intervals == ()
    assert read.units[0].intervals == ()
    assert (read.total, read.facilities[0].gross, read.inputs) == (
        document.total,
        document.facilities[0].gross,
        document.inputs,
    )
