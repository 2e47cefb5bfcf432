"""Statements as CSV: columns, records that add up, and texts that no spreadsheet computes."""

import csv
import io
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings

from application.settlement.period import period_document
from domain.settlement.inputs import EndedEvent, MeteringStep
from interfaces.settlement.statement.csv_records import COLUMNS, month_csv, statement_csv
from tests.settlement_cases import PROPORTIONAL, STARTS_AT, ended_event, facility, rule_of, steps_of
from tests.settlement_documents import document_of, program_of, settlement_cases, v1_document

Case = tuple[dict[str, Any], EndedEvent, dict[str, list[MeteringStep]]]
HEADER = (
    "record,dr_event_id,revision,unit,facility_id,starts_at,ends_at,committed_kw,baseline_kw,metered_kw,delivered_kw,"
    "counted_kw,component,quantity,rate,factor,amount,currency,note"
)


def records(written: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(written, newline="")))


def of_kind(written: str, *kinds: str) -> list[dict[str, str]]:
    return [one for one in records(written) if one["record"] in kinds]


def amount(written: str, kind: str) -> Decimal:
    return sum((Decimal(one["amount"]) for one in of_kind(written, kind)), Decimal(0))


def test_the_columns_are_those_of_the_contract() -> None:
    written = statement_csv(v1_document())
    assert written.split("\r\n")[0] == HEADER
    assert written.endswith("\r\n")
    assert len(COLUMNS) == 19


def test_the_first_vector_as_records() -> None:
    written = statement_csv(v1_document())
    assert [one["record"] for one in records(written)] == [
        *["step"] * 8,
        *["interval"] * 2,
        *["line"] * 2,
        "facility",
        "total",
    ]
    step = of_kind(written, "step")[0]
    assert {name: step[name] for name in HEADER.split(",") if step[name]} == {
        "record": "step",
        "dr_event_id": "event-2026-07-14",
        "revision": "0",
        "facility_id": "fac-001",
        "starts_at": "2026-07-14T18:00:00Z",
        "ends_at": "2026-07-14T18:15:00Z",
        "committed_kw": "100.000",
        "baseline_kw": "500.000",
        "metered_kw": "400.000",
        "delivered_kw": "100.000",
    }
    line = of_kind(written, "line")[0]
    assert (line["quantity"], line["rate"], line["factor"], line["amount"], line["currency"]) == (
        "100.000",
        "4.00",
        "0.90",
        "360.00",
        "USD",
    )
    assert line["note"] == "formula: 4.00 x 100.000 kW x 0.90"


@settings(max_examples=60)
@given(case=settlement_cases())
def test_lines_and_facilities_add_up_to_the_total(case: Case) -> None:
    written = statement_csv(document_of(*case))
    (total,) = of_kind(written, "total")
    assert amount(written, "line") == amount(written, "facility") == Decimal(total["amount"])


@pytest.mark.parametrize("level", ["facility", "portfolio"])
def test_a_facilitys_statement_has_its_own_rows_that_add_up(level: str) -> None:
    document = document_of(
        {"level": level, "energy": {"rate": "1.00"}, "penalty": {"rate": "0.07"}},
        ended_event(facility("mine"), facility("other-site", "50"), hours=1),
        {"mine": steps_of("400"), "other-site": steps_of("480")},
    )
    written = statement_csv(document, facility="mine")
    assert "other-site" not in written
    assert (
        amount(written, "line")
        == amount(written, "facility")
        == amount(written, "total")
        == Decimal("100.00")
    )


def test_an_hour_without_readings_is_empty_and_not_zero() -> None:
    rule = {"energy": {"rate": "1.00"}}
    document = document_of(rule, ended_event(hours=2), {"f1": steps_of("400", None)})
    steps = of_kind(statement_csv(document), "step")
    assert [one["delivered_kw"] for one in steps] == ["100.000"] * 4 + [""] * 4


@pytest.mark.parametrize("hostile", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_an_id_that_looks_like_a_formula_is_text(hostile: str) -> None:
    found = records(statement_csv(v1_document(hostile)))
    assert {one["facility_id"] for one in found if one["facility_id"]} == {f"'{hostile}"}
    assert {one["unit"] for one in found if one["unit"]} == {f"'{hostile}"}


@pytest.mark.parametrize("strange", ['a"b', "a,b", "a\r\nline,b", "a'b", "größe"])
def test_any_id_comes_back_as_it_was(strange: str) -> None:
    found = of_kind(statement_csv(v1_document(strange)), "facility")
    assert [one["facility_id"] for one in found] == [strange]


def test_negative_amounts_stay_numbers() -> None:
    rule = {"penalty": {"rate": "0.75"}}
    written = statement_csv(document_of(rule, ended_event(hours=1), {"f1": steps_of("500")}))
    assert of_kind(written, "line")[0]["amount"] == "-75.00"
    assert of_kind(written, "line")[0]["note"] == "formula: -0.75 x 100.000 kWh"


def test_a_month_adds_up_over_its_dr_events_and_its_capacity() -> None:
    rule = {
        "energy": {"rate": "1.00"},
        "capacity": {"rate": "8.00", "unit": "kw-month", "tiers": PROPORTIONAL},
        "share": "0.5",
    }
    documents = [
        document_of(
            rule,
            ended_event(facility("f1"), facility("f2", "50"), hours=1, starts_at=starts_at),
            {name: steps_of(kw, starts_at=starts_at) for name, kw in (("f1", "400"), ("f2", "460"))},
        )
        for starts_at in (STARTS_AT, STARTS_AT.replace(day=15))
    ]
    program = program_of(rule_of(**rule), enrolments={"f1": "100", "f2": "50"})
    capacity = period_document(program, "2026-07", documents)
    written = month_csv(documents, [capacity])
    assert (
        amount(written, "line")
        == amount(written, "facility")
        == amount(written, "total")
        == Decimal("1400.00")
    )
    assert [(one["facility_id"], one["amount"], one["note"]) for one in of_kind(written, "facility")] == [
        ("f1", "1000.00", "net 500.00"),
        ("f2", "400.00", "net 200.00"),
    ]
    own = month_csv(documents, [capacity], facility="f2")
    assert "f1" not in own
    assert amount(own, "line") == amount(own, "total") == Decimal("400.00")
