"""Later revisions of a settlement's document."""

import json
from datetime import timedelta

import msgspec
import pytest
from msgspec.structs import replace

from application.settlement.document import (
    basis_of,
    canonical_bytes,
    digest_of,
    recomputed,
    settlement_document,
)
from application.settlement.resettled import resettled_document
from application.settlement.shapes import SettlementDocument
from domain.settlement.resettlement import CurrencyChanged, resettlement_of
from domain.settlement.rounding import decimal_text
from tests.settlement_cases import STARTS_AT, ended_event, facility, rule_of, steps_of
from tests.settlement_documents import document_of, program_of, v1_document

RULE = {"energy": {"rate": "1.00"}, "penalty": {"rate": "0.5"}}


def settled(
    energy_rate: str = "1.00", committed_kw: str = "100", metered_kw: tuple[str | None, ...] = ("400", "420")
) -> SettlementDocument:
    rule = RULE | {"energy": {"rate": energy_rate}}
    return document_of(
        rule, ended_event(facility("f1", committed_kw), hours=2), {"f1": steps_of(*metered_kw)}
    )


def revised(old: SettlementDocument, new: SettlementDocument) -> SettlementDocument:
    found = resettled_document(old, new)
    assert found is not None
    return found


def test_v9_the_rule_and_the_event_explain_the_difference() -> None:
    old = settled()
    document = revised(old, settled("1.10", "90"))
    assert (old.total, document.total, document.revision) == ("170.00", "193.00", 1)
    figures = document.resettlement
    assert figures is not None
    assert json.loads(msgspec.json.encode(figures)) == {
        "of_revision": 0,
        "of_digest": digest_of(old),
        "changes": [
            {"unit": "f1", "component": "energy", "old": "180.00", "new": "198.00", "difference": "18.00"},
            {"unit": "f1", "component": "penalty", "old": "-10.00", "new": "-5.00", "difference": "5.00"},
        ],
        "by_reason": [{"why": "rule", "amount": "18.00"}, {"why": "event", "amount": "5.00"}],
        "difference": "23.00",
    }


def test_the_same_figures_make_no_revision() -> None:
    assert resettled_document(settled(), settled()) is None
    again = replace(settled(), program_version=4)
    assert resettled_document(settled(), again) is None


def test_a_corrected_reading_is_the_meters_and_flagged_as_late() -> None:
    old, new = settled(), settled(metered_kw=("400", "410"))
    document = revised(old, new)
    figures = document.resettlement
    assert figures is not None
    assert [(one.why, one.amount) for one in figures.by_reason] == [("meter", "15.00")]
    assert [one.flag for one in new.flags] == []
    assert [one.flag for one in document.flags] == ["late_readings"]


def test_a_reading_that_was_missing_before_is_the_meters() -> None:
    figures = revised(settled(metered_kw=("400", None)), settled()).resettlement
    assert figures is not None
    assert [one.why for one in figures.by_reason] == ["meter"]


def test_a_revision_follows_from_its_two_documents() -> None:
    old = settled()
    document = revised(old, settled("1.10", "90", ("400", "415")))
    assert canonical_bytes(recomputed(document)) == canonical_bytes(document)
    again, figures = resettlement_of(basis_of(old), basis_of(document)), document.resettlement
    assert figures is not None
    assert decimal_text(again.difference, 2) == figures.difference
    assert [decimal_text(one.amount, 2) for one in again.by_reason] == [
        one.amount for one in figures.by_reason
    ]


def test_a_third_revision_stands_beside_the_second() -> None:
    second = revised(settled(), settled("1.10"))
    third = revised(second, settled("1.20"))
    assert third.revision == 2
    assert third.resettlement is not None
    assert third.resettlement.of_digest == digest_of(second)


def test_another_currency_is_no_revision_but_refused() -> None:
    rule = rule_of(currency="EUR", energy={"rate": "1.00"})
    other = settlement_document(replace(basis_of(v1_document()), rule=rule), program_of(rule))
    with pytest.raises(CurrencyChanged):
        resettled_document(v1_document(), other)


def test_an_amended_window_is_the_events() -> None:
    longer = ended_event(facility("f1"), hours=3)
    steps = steps_of("400", "420", "400")
    document = revised(settled(), document_of(RULE, longer, {"f1": steps}))
    assert document.resettlement is not None
    assert [(one.why, one.amount) for one in document.resettlement.by_reason] == [("event", "100.00")]
    assert document.ends_at == STARTS_AT + timedelta(hours=3)
