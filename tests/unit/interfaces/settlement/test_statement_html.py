"""Printable statements: origins of numbers, privacy of facilities, and no script, whatever the ids are."""

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from application.settlement.document import settlement_document
from application.settlement.own_part import FacilityNotSettled
from application.settlement.period import period_document
from application.settlement.resettled import resettled_document
from application.settlement.shapes import BaselineSummary, EventFacilityInputs, SettlementDocument
from domain.settlement.inputs import EndedEvent, MeteringStep
from domain.settlement.resettlement import Basis
from interfaces.settlement.statement.event_page import statement_html
from interfaces.settlement.statement.month_page import month_html
from interfaces.web.api.settlement.forms import PAGE_POLICY
from tests.settlement_cases import PROPORTIONAL, STEP_S, ended_event, facility, prices_of, rule_of, steps_of
from tests.settlement_documents import document_of, program_of, settlement_cases, v1_document

Case = tuple[dict[str, Any], EndedEvent, dict[str, list[MeteringStep]]]
HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'&"
VOID = {"meta", "br", "img", "link", "hr"}


class ParsedPage(HTMLParser):
    """The elements of a page: names, attributes, text of the elements with numbers."""

    def __init__(self, written: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.origins: list[str] = []
        self.attributes: set[str] = set()
        self.without_origin: list[str] = []
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(written)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.attributes |= set(found)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [value for name, value in attrs if name == "href" and value]
        self.origins += [value for name, value in attrs if name == "data-origin" and value]
        if tag not in VOID:
            self.open.append((tag, found))

    def handle_endtag(self, tag: str) -> None:
        name, _ = self.open.pop()
        assert name == tag

    def handle_data(self, data: str) -> None:
        inside = [tag for tag, _ in self.open]
        if "style" in inside:
            return
        self.text += data
        in_number = any("n" in (found.get("class") or "").split() for tag, found in self.open if tag == "td")
        has_origin = any("data-origin" in found for _, found in self.open)
        if in_number and re.search(r"\d", data) and not has_origin:
            self.without_origin.append(data)


def parsed(written: str) -> ParsedPage:
    page = ParsedPage(written)
    assert len(page.ids) == len(set(page.ids))
    local = [link[1:] for link in page.links if link.startswith("#")]
    assert set(local) <= set(page.ids), set(local) - set(page.ids)
    assert page.without_origin == []
    assert not {"script", "iframe", "object", "img", "link"} & set(page.tags)
    assert "style" not in page.attributes
    assert not any(name.startswith("on") for name in page.attributes)
    return page


def two_facilities(level: str, mine_kw: str = "400") -> SettlementDocument:
    rule = rule_of(level=level, energy={"rate": "1.00"}, penalty={"rate": "0.5"})
    dr_event = ended_event(
        facility("mine"), facility("other-site", "77"), hours=2, prices=prices_of("0.1", "0.2")
    )
    basis = Basis(
        rule=rule,
        dr_event=dr_event,
        steps={"mine": steps_of(mine_kw, None), "other-site": steps_of("460", "430")},
        step_s=STEP_S,
    )
    baselines = {
        name: BaselineSummary(method="caiso-10-in-10", domain_event_id=f"measured-of-{name}")
        for name in ("mine", "other-site")
    }
    origins = {"program": "agreed", "event": "accepted"}
    return replace(settlement_document(basis, program_of(rule), baselines=baselines), origins=origins)


def test_the_first_vector_shows_its_formula_and_total() -> None:
    page = parsed(statement_html(v1_document()))
    for shown in (
        "4.00 × 100.000 kW × 0.90",
        "360.00",
        "1.50 × 180.000 kWh",
        "630.00 USD",
        "summer-peak, version 3",
    ):
        assert shown in page.text
    assert {"rule/capacity.rate", "unit/fac-001/performance", "line/fac-001/capacity/formula"} <= set(
        page.origins
    )
    assert {"rule/capacity.rate", "line/fac-001/capacity", "step/fac-001/2026-07-14T18:00:00Z"} <= set(
        page.ids
    )
    assert page.tags.count("svg") == 1


@settings(max_examples=40)
@given(case=settlement_cases())
def test_every_number_of_any_settlement_has_its_origin(case: Case) -> None:
    document = document_of(*case)
    page = parsed(statement_html(document))
    assert document.total in page.text
    for one in document.facilities:
        parsed(statement_html(document, facility=one.facility_id))


def test_numbers_lead_to_the_domain_event_that_recorded_them() -> None:
    page = parsed(statement_html(two_facilities("facility")))
    assert {"domain-event/measured-of-mine", "domain-event/accepted"} <= set(page.origins)
    assert {"domain-event/measured-of-mine", "domain-event/accepted", "domain-event/agreed"} <= set(page.ids)


@pytest.mark.parametrize("level", ["facility", "portfolio"])
def test_a_facilitys_page_has_nothing_of_another(level: str) -> None:
    old = two_facilities(level)
    new = resettled_document(old, two_facilities(level, "410"))
    assert new is not None
    page = parsed(statement_html(new, facility="mine", previous=old))
    for of_another in ("other-site", "77 kW", "460.000"):
        assert of_another not in page.text
    assert not any("other-site" in one for one in (*page.origins, *page.ids))
    with pytest.raises(FacilityNotSettled):
        statement_html(new, facility="elsewhere")


def test_old_and_new_lines_stand_side_by_side_with_reasons() -> None:
    old = two_facilities("facility")
    new = resettled_document(old, two_facilities("facility", "410"))
    assert new is not None
    text = parsed(statement_html(new)).text
    assert "What changed, and why" in text
    assert "late or corrected readings: -15.00 USD" in text
    assert "revision 1" in text


def test_what_was_left_out_is_said_with_its_reason() -> None:
    rule = {"energy": {"rate": "1"}}
    text = parsed(statement_html(document_of(rule, ended_event(hours=1), {}))).text
    assert "not settled" in text
    assert "f1: it has no baseline" in text
    cancelled = document_of(rule, ended_event(hours=1, status="cancelled"), {})
    assert "the DR event was cancelled before its start" in parsed(statement_html(cancelled)).text


def test_flags_say_what_to_do() -> None:
    document = document_of({"energy": {"rate": "1"}}, ended_event(hours=1), {"f1": steps_of("400")})
    text = parsed(statement_html(document)).text
    assert "meter flat, f1: 400.000 kW in 4 steps" in text
    assert "Ask for the meter's own readings" in text


@pytest.mark.parametrize("level", ["facility", "portfolio"])
def test_hostile_ids_are_text(level: str) -> None:
    rule = rule_of(level=level, energy={"rate": "1.00"})
    one = EventFacilityInputs(facility_id=HOSTILE, committed_kw="100", tz="No/Where")
    dr_event = replace(ended_event(one, hours=1), dr_event_id=HOSTILE, program_id=HOSTILE)
    basis = Basis(rule=rule, dr_event=dr_event, steps={HOSTILE: steps_of("400", None)}, step_s=STEP_S)
    program = replace(program_of(rule, enrolments={HOSTILE: "1"}), program_id=HOSTILE)
    summary = BaselineSummary(method=HOSTILE, impossible=HOSTILE, domain_event_id=HOSTILE)
    document = replace(
        settlement_document(basis, program, baselines={HOSTILE: summary}),
        origins={"program": HOSTILE + "1", "event": HOSTILE + "2"},
    )
    for written in (
        statement_html(document),
        statement_html(document, facility=HOSTILE),
        month_html(HOSTILE, [document], [], settlement_path="/api/dr-events/{}/settlement"),
    ):
        assert "<script" not in written
        assert "<img" not in written
        parsed(written)


def test_a_month_has_a_row_for_each_event_then_its_capacity_and_total() -> None:
    rule = rule_of(
        capacity={"rate": "8.00", "unit": "kw-month", "tiers": PROPORTIONAL}, energy={"rate": "1.50"}
    )
    documents = [
        document_of(
            {"energy": {"rate": "1.50"}, "capacity": {"rate": "8.00", "unit": "kw-month"}}, dr_event, steps
        )
        for dr_event, steps in [
            (ended_event(facility("f1"), facility("f2"), hours=1), {"f1": steps_of("400")})
        ]
    ]
    program = program_of(rule, enrolments={"f1": "100", "f2": "50"})
    capacity = period_document(program, "2026-07", documents)
    written = month_html("2026-07", documents, [capacity], settlement_path="/api/dr-events/{}/settlement")
    page = parsed(written)
    assert "/api/dr-events/event-2026-07-14/settlement" in page.links
    for shown in ("event-2026-07-14", "8.00 × 100.000 kW × 1.0000 × 1 month", "1350.00 USD"):
        assert shown in page.text
    own = parsed(month_html("2026-07", documents, [capacity], facility="f2"))
    assert "f1" not in own.text
    assert "400.00 USD" in own.text


def test_a_month_without_anything_is_a_page_too() -> None:
    assert "There was no DR event." in parsed(month_html("2026-07", [], [])).text


def test_the_policy_of_a_page_allows_its_style_and_nothing_else() -> None:
    style = statement_html(v1_document()).partition("<style>")[2].partition("</style>")[0]
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}';" in PAGE_POLICY
    assert PAGE_POLICY.startswith("default-src 'none';")


def test_it_prints_on_a4_and_letter() -> None:
    written = statement_html(v1_document())
    assert "@page { margin:" in written
    assert "size:" not in re.sub(r"font-size:", "", written.split("@page")[1][:60])
    assert "@media print" in written
    assert "prefers-color-scheme: dark" in written
