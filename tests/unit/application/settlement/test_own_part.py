"""What one facility may see of a settlement."""

import csv
import io
import json
from collections.abc import Iterator

import pytest

from application.settlement.document import canonical_bytes, recomputed
from application.settlement.own_part import FacilityNotSettled, own_part, own_period
from application.settlement.own_revisions import own_revisions
from application.settlement.period import period_document
from application.settlement.resettled import resettled_document
from application.settlement.shapes import SettlementDocument
from interfaces.settlement.statement.csv_records import month_csv
from interfaces.settlement.statement.month_page import month_html
from tests.settlement_cases import ended_event, facility, rule_of, steps_of
from tests.settlement_documents import document_of, program_of

RULE = {"energy": {"rate": "1.00"}, "penalty": {"rate": "0.5"}}


def two_facilities(
    level: str = "facility", mine_kw: str = "400", others_kw: str = "460"
) -> SettlementDocument:
    return document_of(
        RULE | {"level": level},
        ended_event(facility("mine"), facility("other-site", "50"), hours=1),
        {"mine": steps_of(mine_kw), "other-site": steps_of(others_kw)},
    )


def revised(level: str, **loads: str) -> tuple[SettlementDocument, SettlementDocument]:
    old = two_facilities(level)
    new = resettled_document(old, two_facilities(level, **loads))
    assert new is not None
    return old, new


@pytest.mark.parametrize("level", ["facility", "portfolio"])
def test_nothing_of_another_facility_is_in_it(level: str) -> None:
    old, new = revised(level, mine_kw="410", others_kw="470")
    written = canonical_bytes(own_part(new, "mine", old))
    assert b"other-site" not in written
    assert b"50" not in json.dumps(json.loads(written)["inputs"]["event"]["facilities"]).encode()


@pytest.mark.parametrize("level", ["facility", "portfolio"])
def test_its_lines_add_up_to_its_own_total(level: str) -> None:
    part = own_part(two_facilities(level, others_kw="480"), "mine")
    assert [(line.component, line.amount) for line in part.lines] == [
        ("energy", "100.00"),
        ("penalty", "0.00"),
    ]
    assert part.total == "100.00"


def test_at_level_facility_it_follows_from_itself() -> None:
    part = own_part(two_facilities(), "mine")
    assert recomputed(part) == part


def test_its_own_reasons_have_the_revision_before() -> None:
    old, new = revised("facility", mine_kw="410", others_kw="470")
    found = own_part(new, "mine", old).resettlement
    assert found is not None
    assert [(one.why, one.amount) for one in found.by_reason] == [("meter", "-15.00")]
    assert found.difference == "-15.00"


def test_its_own_changes_are_shown_at_level_facility() -> None:
    _, new = revised("facility", mine_kw="410", others_kw="470")
    found = own_part(new, "mine").resettlement
    assert found is not None
    assert [(one.component, one.difference) for one in found.changes] == [
        ("energy", "-10.00"),
        ("penalty", "-5.00"),
    ]
    assert (found.difference, found.by_reason) == ("-15.00", ())


def test_its_own_changes_are_shown_at_level_portfolio() -> None:
    old, new = revised("portfolio", mine_kw="410")
    found = own_part(new, "mine", old).resettlement
    assert found is not None
    assert [(one.component, one.old, one.new) for one in found.changes] == [
        ("energy", "100.00", "90.00"),
        ("penalty", "0.00", "-5.00"),
    ]
    assert found.difference == "-15.00"


def test_a_facility_that_has_no_part_is_named() -> None:
    with pytest.raises(FacilityNotSettled, match="elsewhere"):
        own_part(two_facilities(), "elsewhere")


def test_a_period_holds_its_own_capacity_only() -> None:
    rule = rule_of(capacity={"rate": "2.00", "unit": "kw-month"})
    program = program_of(rule, enrolments={"mine": "100", "other-site": "50"})
    part = own_period(period_document(program, "2026-07", []), "mine")
    assert ([line.unit for line in part.lines], part.total) == (["mine"], "200.00")
    assert own_period(part, "elsewhere").total == "0.00"


def test_its_part_of_a_portfolios_capacity_is_its_line_of_the_period() -> None:
    rule = rule_of(capacity={"rate": "2.00", "unit": "kw-month"}, level="portfolio")
    program = program_of(rule, enrolments={"mine": "100", "other-site": "50"})
    whole = period_document(program, "2026-07", [])
    (line,) = own_period(whole, "mine").lines
    assert (line.amount, line.quantity, line.performance) == ("200.00", None, None)
    records = list(csv.DictReader(io.StringIO(month_csv([], [whole], facility="mine"))))
    assert [(one["record"], one["amount"]) for one in records] == [
        ("line", "200.00"),
        ("facility", "200.00"),
        ("total", "200.00"),
    ]
    assert "150.000" not in month_html("2026-07", [], [whole], facility="mine")


def test_its_revisions_are_read_one_document_at_a_time() -> None:
    read = []

    def stored() -> Iterator[SettlementDocument]:
        for document in revised("facility", mine_kw="410"):
            read.append(document.revision)
            yield document

    told = [(one.revision, one.difference, list(read)) for one in own_revisions(stored(), "mine")]
    assert told == [(0, None, [0]), (1, "-15.00", [0, 1])]
