"""Statements as utilities and facilities got them: the same figures are written to the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from application.settlement.document import settlement_document
from application.settlement.period import period_document
from application.settlement.resettled import resettled_document
from application.settlement.shapes import BaselineSummary, SettlementDocument
from domain.settlement.resettlement import Basis
from interfaces.settlement.statement.csv_records import month_csv, statement_csv
from interfaces.settlement.statement.event_page import statement_html
from interfaces.settlement.statement.month_page import month_html
from tests.settlement_cases import (
    PROPORTIONAL,
    STEP_S,
    ended_event,
    facility,
    prices_of,
    rule_of,
    steps_of,
)
from tests.settlement_documents import program_of

HERE = Path(__file__).parent / "statements"


def settled(level: str, mine_kw: str) -> SettlementDocument:
    """Two facilities, one of them with a missing hour and a load over its baseline."""
    rule = rule_of(
        level=level,
        capacity={"rate": "8.00", "unit": "kw-month", "tiers": PROPORTIONAL},
        energy={"price": "event"},
        penalty={"rate": "0.5", "max_per_event": "20.00"},
        share="0.8",
    )
    dr_event = ended_event(
        facility("mine"), facility("other & site", "77"), hours=2, prices=prices_of("0.1", "-0.2")
    )
    steps = {"mine": steps_of(mine_kw, None), "other & site": steps_of("460", "530")}
    basis = Basis(rule=rule, dr_event=dr_event, steps=steps, step_s=STEP_S)
    summary = BaselineSummary(method="caiso-10-in-10", domain_event_id="measured-of-mine")
    program = program_of(rule, enrolments={"mine": "100", "other & site": "77"})
    document = settlement_document(basis, program, baselines={"mine": summary})
    return replace(document, origins={"program": "agreed", "event": "accepted"})


def statements(level: str) -> dict[str, str]:
    """File name -> what is written: a DR event that was settled again, and its month."""
    earlier = settled(level, "400")
    document = resettled_document(earlier, settled(level, "410"))
    assert document is not None
    month = [document], [period_document(document.inputs.program, "2026-07", [document])]
    return {
        "event.html": statement_html(
            document, measurement_path="/api/dr-events/event-2026-07-14/measurements/{}"
        ),
        "event-of-mine.html": statement_html(document, facility="mine", previous=earlier),
        "event.csv": statement_csv(document),
        "month.html": month_html(
            "2026-07", *month, settlement_path="/api/dr-events/{}/settlement", notes=["It is provisional."]
        ),
        "month.csv": month_csv(*month),
    }


@pytest.mark.parametrize("level", ["facility", "portfolio"])
def test_a_statement_is_written_byte_for_byte(level: str) -> None:
    assert statements(level) == {
        name.name: name.read_bytes().decode() for name in sorted((HERE / level).iterdir())
    }
