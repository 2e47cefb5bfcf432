"""The settlements in a proof are computed again from the file alone, to the cent: whatever was changed is found and
named, be it in the file, or by an operator who signs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from application.ledger.checked_file import CheckedFile, check_file
from application.ledger.proof_check import check_proof
from application.ledger.proof_document import ProofBroken, ProofDocument
from application.ledger.proof_settlements import DAMAGED, NOT_STORED, TOO_LARGE
from application.ledger.recomputation.recompute import Installation
from application.ledger.recomputation.settlement.check import recompute_settlements
from application.ledger.recomputation.settlement.results import RecomputedRevision
from application.settlement.document import basis_of as basis_of_document
from application.settlement.document import canonical_bytes, read_document, settlement_document
from application.settlement.settled_event import digest_of_rule
from application.settlement.shapes import SettlementDocument
from domain.dr_event import DREvent
from domain.program.settlement_rule import Energy
from tests.measured_portfolio import FITTER, MeasuredPortfolio, measured_portfolio, quarter_at
from tests.security.test_recomputed_measurements import FORGED, Calendar, with_value
from tests.settled_portfolio import (
    CORRECTED_DAY,
    RULE,
    WalkStreams,
    agree_rule,
    correct,
    correct_facility,
    decided,
    record_instead,
    resettled_portfolio,
    settle,
    settled_portfolio,
)

OTHER_RATE = replace(RULE, energy=Energy(rate="1.60"))
Documents = Callable[[SettlementDocument], SettlementDocument]


def proof_of(portfolio: MeasuredPortfolio) -> ProofDocument:
    portfolio.seal()
    return portfolio.prove_measured()


def checked(document: ProofDocument, portfolio: MeasuredPortfolio) -> CheckedFile:
    """As an auditor does it: from the bytes of the file, with the published key."""
    return check_file(document.written(), portfolio.signer.public_key, Installation(Calendar(), FITTER))


def revisions(document: ProofDocument, portfolio: MeasuredPortfolio) -> tuple[RecomputedRevision, ...]:
    """The same, but for the readings."""
    proof = check_proof(document.written(), portfolio.signer.public_key)
    settlements = recompute_settlements(proof, None)
    assert settlements is not None
    return settlements.revisions


def settled(portfolio: MeasuredPortfolio) -> RecomputedRevision:
    """The only revision."""
    (revision,) = revisions(proof_of(portfolio), portfolio)
    return revision


def named(revision: RecomputedRevision) -> list[str]:
    return [difference.sentence for difference in revision.differences]


def with_document(proof: ProofDocument, revision: int, change: Documents) -> ProofDocument:
    """The file with another document of a revision."""
    return replace(
        proof,
        settlements=tuple(
            replace(one, document=canonical_bytes(change(read_document(one.document.encode()))).decode())
            if one.revision == revision
            else one
            for one in proof.settlements
        ),
    )


def with_amount(document: SettlementDocument, amount: str) -> SettlementDocument:
    """Another amount of the second line, the energy of the first facility."""
    first, second, *rest = document.lines
    return replace(document, lines=(first, replace(second, amount=amount), *rest))


def by_another_rate(document: SettlementDocument) -> SettlementDocument:
    """All that follows from the other rate."""
    program = replace(document.inputs.program, settlement=OTHER_RATE)
    found = settlement_document(replace(basis_of_document(document), rule=OTHER_RATE), program)
    return replace(found, facilities=document.facilities, revision=document.revision)


@pytest.fixture(scope="module")
def portfolio() -> MeasuredPortfolio:
    return resettled_portfolio()


@pytest.fixture(scope="module")
def proof(portfolio: MeasuredPortfolio) -> ProofDocument:
    return proof_of(portfolio)


def test_every_revision_is_computed_again_to_the_cent_and_from_the_readings(
    portfolio: MeasuredPortfolio, proof: ProofDocument
) -> None:
    found = checked(proof, portfolio)
    assert found.settlements is not None
    assert not found.differs
    assert found.settlements.is_newest
    assert found.settlements.line == "recomputed 2 settlements: all equal; revision 1: 424.36 USD"
    first, newest = found.settlements.revisions
    assert [(one.total, one.recomputed_total, one.document) for one in (first, newest)] == [
        ("250.77", "250.77", "equal"),
        ("424.36", "424.36", "equal"),
    ]
    assert (newest.difference, [(one.why, one.amount) for one in newest.by_reason]) == (
        "173.59",
        [("meter", "173.59")],
    )
    assert newest.lines[3].formula == "1.50 x 144.495 kWh"
    assert all(line.is_equal for line in newest.lines)
    again = newest.from_readings
    assert again is not None
    assert (again.facilities, again.measured, again.total) == (3, 3, "424.36")


def test_a_changed_rate_of_the_terms_is_named_with_its_domain_event(
    portfolio: MeasuredPortfolio, proof: ProofDocument
) -> None:
    changed = tuple(replace(one, state=one.state.replace('"1.50"', '"1.60"')) for one in proof.domain_events)
    with pytest.raises(ProofBroken, match=r"position \d+ \(program.terms-agreed.v2\) is not what was sealed"):
        checked(replace(proof, domain_events=changed), portfolio)


def test_a_rate_of_the_document_that_was_changed_in_the_file_is_named(
    portfolio: MeasuredPortfolio, proof: ProofDocument
) -> None:
    _, newest = revisions(with_document(proof, 1, by_another_rate), portfolio)
    said = named(newest)
    assert said[0].startswith("digest of the document: recorded ")
    assert "rule.energy.rate: recorded 1.60, recomputed 1.50" in said
    assert "lines[fac-002 energy].amount: recorded 231.19, recomputed 216.74" in said
    assert "total: recorded 444.57, recomputed 424.36" in said


def test_a_rate_that_the_operator_settled_by_and_signed_is_named() -> None:
    lying = measured_portfolio(settlement=RULE)
    record_instead(lying, by_another_rate, rule_digest=digest_of_rule(OTHER_RATE))
    revision = settled(lying)
    assert revision.document == "equal"
    assert "rule.energy.rate: recorded 1.60, recomputed 1.50" in named(revision)
    assert "total: recorded 259.41, recomputed 250.77" in named(revision)


def test_a_changed_reading_of_the_file_changes_the_total_from_the_readings(
    portfolio: MeasuredPortfolio, proof: ProofDocument
) -> None:
    found = checked(with_value(proof, quarter_at(CORRECTED_DAY, 12), 300.0), portfolio)
    assert found.measurements is not None
    assert found.settlements is not None
    assert found.measurements.count("differs") == 1
    first, newest = found.settlements.revisions
    assert not first.differs
    assert named(newest) == ["total from the readings in the file: recorded 424.36, recomputed 461.86"]
    assert newest.recomputed_total == "424.36"


def test_a_measurement_that_the_operator_forged_shows_in_the_total_from_the_readings() -> None:
    def raised(facility_id: str, figures: Any) -> Any:
        lowered = tuple(replace(one, metered_kw=one.metered_kw - 10.0) for one in figures.intervals)
        return replace(figures, intervals=lowered) if facility_id == FORGED else figures

    lying = settled_portfolio(forge=raised)
    settlements = checked(proof_of(lying), lying).settlements
    assert settlements is not None
    assert named(settlements.newest) == [
        "total from the readings in the file: recorded 262.02, recomputed 250.77"
    ]


def test_a_changed_line_of_the_file_is_named_and_does_not_follow_from_its_own_inputs(
    portfolio: MeasuredPortfolio, proof: ProofDocument
) -> None:
    changed = with_document(proof, 1, lambda document: with_amount(document, "99.00"))
    first, newest = revisions(changed, portfolio)
    assert not first.differs
    assert newest.document == "differs"
    assert named(newest)[1:] == [
        "lines[fac-001 energy].amount: recorded 99.00, recomputed 43.59",
        "by the document's own inputs, lines[fac-001 energy].amount: recorded 99.00, recomputed 43.59",
    ]
    assert [(one.recorded, one.recomputed) for one in newest.lines if not one.is_equal] == [
        ("99.00", "43.59")
    ]


def test_a_line_that_the_operator_signed_is_named() -> None:
    lying = measured_portfolio(settlement=RULE)
    record_instead(lying, lambda document: replace(with_amount(document, "143.59"), total="350.77"))
    said = named(settled(lying))
    assert "total: recorded 350.77, recomputed 250.77" in said
    assert "lines[fac-001 energy].amount: recorded 143.59, recomputed 43.59" in said
    assert "by the document's own inputs, total: recorded 350.77, recomputed 250.77" in said


def test_another_total_than_the_document_has_is_named() -> None:
    lying = measured_portfolio(settlement=RULE)
    record_instead(lying, total="250.76")
    assert named(settled(lying)) == ["total: recorded 250.76, recomputed 250.77"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"currency": "EUR"}, "currency: recorded EUR, recomputed USD"),
        ({"rule_digest": "0" * 64}, f"rule digest: recorded {'0' * 64}, recomputed "),
        ({"inputs_digest": "0" * 64}, f"digest of the inputs: recorded {'0' * 64}, recomputed "),
        ({"final_at": None}, "final at: recorded none, recomputed 2026-09-12"),
        ({"status": "not_settled", "total": None}, "status: recorded not_settled, recomputed settled"),
        ({"digest": None}, "digest of the document: recorded none, recomputed "),
        ({"program_version": 7}, "recomputed program summer-peak has no version 7 before it"),
    ],
    ids=str,
)
def test_each_figure_that_was_signed_is_compared(changed: dict[str, Any], said: str) -> None:
    lying = measured_portfolio(settlement=RULE, facilities=1)
    record_instead(lying, **changed)
    assert any(said in sentence for sentence in named(settled(lying)))


def test_a_wrong_first_revision_is_named_although_the_newest_is_right() -> None:
    lying = measured_portfolio(settlement=RULE)
    record_instead(lying, total="999.99")
    correct(lying)
    settle(lying, "readings were corrected")
    first, newest = revisions(proof_of(lying), lying)
    assert named(first) == ["total: recorded 999.99, recomputed 250.77"]
    assert newest.recomputed_total == "424.36"
    assert named(newest) == []  # its difference is to what was recorded


def test_a_difference_or_a_number_of_a_revision_that_is_not_due_is_named() -> None:
    lying = resettled_portfolio()
    last = lying.walk.entries[-1]
    assert isinstance(last.domain_event, DREvent.Resettled)
    forged = replace(last.domain_event, difference="1.00", previous_total="423.36", revision=2)
    lying.walk.entries[-1] = replace(last, domain_event=forged)
    lying.record()
    _, newest = revisions(proof_of(lying), lying)
    assert named(newest)[:3] == [
        "number of the revision: recorded 2, recomputed 1",
        "total before: recorded 423.36, recomputed 250.77",
        "difference to the total before: recorded 1.00, recomputed 173.59",
    ]


def test_a_revision_in_which_nothing_changed_is_named() -> None:
    lying = settled_portfolio(facilities=1)
    record_instead(lying, inputs_digest="0" * 64)
    _, newest = revisions(proof_of(lying), lying)
    assert (
        "revision: recorded a new one, recomputed none: its figures are those of the revision before"
        in named(newest)
    )


def test_the_document_of_another_dr_event_or_revision_is_named(
    portfolio: MeasuredPortfolio, proof: ProofDocument
) -> None:
    other = with_document(proof, 1, lambda document: replace(document, dr_event_id="another"))
    _, newest = revisions(other, portfolio)
    assert newest.document == "differs"
    assert f"dr_event_id: recorded another text, recomputed {portfolio.dr_event_id}" in named(newest)

    first, second = proof.settlements
    swapped = (replace(first, document=second.document), replace(second, document=first.document))
    found = revisions(replace(proof, settlements=swapped), portfolio)
    assert [one.document for one in found] == ["differs", "differs"]
    assert "total: recorded 424.36, recomputed 250.77" in named(found[0])
    assert "total: recorded 250.77, recomputed 424.36" in named(found[1])


def test_a_document_that_is_missing_without_a_reason_is_refused(
    portfolio: MeasuredPortfolio, proof: ProofDocument
) -> None:
    first, second = proof.settlements
    for given, said in (
        ((first,), "the document of revision 1 of the settlement is missing"),
        ((), "the document of revision 0 of the settlement is missing"),
        ((second, first), "are not those of the revisions"),
        ((first, second, replace(second, revision=2)), "are not those of the revisions"),
        ((first, replace(second, left_out=NOT_STORED)), "of revision 1 is of another form"),
        ((first, replace(second, document="")), "of revision 1 is of another form"),
        (
            (first, replace(second, document="", left_out="all equal\x1b[8m")),
            "of revision 1 is of another form",
        ),
    ):
        with pytest.raises(ProofBroken, match=said):
            revisions(replace(proof, settlements=given), portfolio)


@pytest.mark.parametrize("why", [NOT_STORED, DAMAGED, TOO_LARGE])
def test_without_its_documents_every_total_is_computed_again_all_the_same(
    portfolio: MeasuredPortfolio, proof: ProofDocument, why: str
) -> None:
    left_out = tuple(replace(one, document="", left_out=why) for one in proof.settlements)
    found = revisions(replace(proof, settlements=left_out), portfolio)
    assert [one.recomputed_total for one in found] == ["250.77", "424.36"]
    assert [one.differs for one in found] == [False, False]
    assert [one.notes for one in found] == [
        (f"its document: {why}", "the document that the log gives has the recorded digest")
    ] * 2


def test_a_stored_document_that_is_gone_changed_or_too_large_is_left_out_with_the_reason() -> None:
    own = settled_portfolio(facilities=1)
    own.seal()
    key, stored = next(iter(own.documents.stored.items()))
    for documents, most_bytes, why in (
        ({}, 10_000, NOT_STORED),
        ({key: stored.replace(b"1.50", b"1.60")}, 10_000_000, DAMAGED),
        ({key: stored}, len(stored) - 1, TOO_LARGE),
        ({key: stored}, len(stored), ""),
    ):
        own.documents.stored, own.most_bytes = documents, most_bytes
        document = own.prove_measured()
        assert [one.left_out for one in document.settlements] == [why]


def test_a_revision_whose_domain_event_is_left_out_is_refused(
    portfolio: MeasuredPortfolio, proof: ProofDocument
) -> None:
    rows = tuple(one for one in proof.domain_events if one.topic != "dr-event.resettled.v1")
    with pytest.raises(ProofBroken, match=r"domain events of DR event .* are missing"):
        checked(replace(proof, domain_events=rows), portfolio)


def test_no_word_of_a_document_that_was_not_signed_is_repeated(
    portfolio: MeasuredPortfolio, proof: ProofDocument
) -> None:
    text = "\nrecomputed 2 settlements: all equal\x1b[8m"

    def lying(document: SettlementDocument) -> SettlementDocument:
        first, *rest = document.lines
        line = replace(first, unit=text, amount=text, formula=text)
        facility = replace(document.facilities[0], facility_id=text, result=text)
        return replace(
            document,
            program_id=text,
            kind=text,
            lines=(line, replace(first, amount=text, formula=text), *rest),
            facilities=(facility, *document.facilities[1:]),
            origins={text: text},
        )

    result = checked(with_document(proof, 1, lying), portfolio)
    assert result.settlements is not None
    newest = result.settlements.newest
    assert newest.document == "differs"
    assert "recomputed 2 settlements: all equal" not in msgspec.json.encode(result.settlements).decode()
    assert "lines[fac-001 capacity].amount: recorded another text, recomputed 40.40" in named(newest)


@pytest.mark.parametrize("written", ["{}", "no JSON", "[" * 100_000, '{"schema":"settlement/2"}', "\ud800"])
def test_a_text_that_is_no_document_is_named(
    portfolio: MeasuredPortfolio, proof: ProofDocument, written: str
) -> None:
    first, second = proof.settlements
    if written == "\ud800":
        with pytest.raises(UnicodeEncodeError):
            replace(proof, settlements=(first, replace(second, document=written))).written()
        return
    _, newest = revisions(replace(proof, settlements=(first, replace(second, document=written))), portfolio)
    assert "document: recorded no document `settlement/1`, recomputed nothing" in named(newest)


def endless(document: SettlementDocument) -> SettlementDocument:
    ends_at = datetime.max.replace(tzinfo=document.ends_at.tzinfo)
    dr_event = replace(document.inputs.dr_event, ends_at=ends_at)
    return replace(document, inputs=replace(document.inputs, dr_event=dr_event))


def test_a_document_that_names_a_thousand_years_is_not_computed(
    portfolio: MeasuredPortfolio, proof: ProofDocument
) -> None:
    _, newest = revisions(with_document(proof, 1, endless), portfolio)
    assert any(one.startswith("event.ends_at: recorded 9999-12-31") for one in named(newest))


def test_a_signed_document_that_names_a_thousand_years_is_not_computed_either() -> None:
    lying = measured_portfolio(settlement=RULE)
    record_instead(lying, endless)
    correct(lying)
    honest = resettled_portfolio().walk.entries[-1].domain_event
    assert isinstance(honest, DREvent.Resettled)
    dr_event = WalkStreams(lying.walk).load(DREvent, lying.dr_event_id)
    figures = replace(honest.figures, digest="0" * 64)
    dr_event.settle(lying.walk.provenance(), figures=figures, why="readings were corrected")
    lying.walk.save(dr_event)
    lying.record()
    first, newest = revisions(proof_of(lying), lying)
    assert any(one.startswith("event.ends_at: recorded 9999-12-31") for one in named(first))
    assert (newest.total, newest.recomputed_total) == ("424.36", "424.36")


@pytest.mark.parametrize(
    ("old", "new"), [(b'"formula":"4.00', b'"formula":"USD 4.00'), (b'"schema"', b'"later":[1],"schema"')]
)
def test_words_or_members_of_another_release_are_a_note(old: bytes, new: bytes) -> None:
    older = measured_portfolio(settlement=RULE, facilities=1)
    record_instead(older, written=lambda content: content.replace(old, new))
    revision = settled(older)
    assert not revision.differs
    assert revision.document == "equal"
    assert revision.notes == (
        "its document has other words, or other members, than one of this release; no figure differs by that",
    )


def test_readings_that_are_gone_leave_the_settlement_to_be_checked_from_the_measurements() -> None:
    own = settled_portfolio()
    own.seal()
    before = quarter_at(date(2026, 7, 7), 0).timestamp()
    own.walk.telemetry.imported = {
        key: values
        for key, values in own.walk.telemetry.imported.items()
        if key[0] != FORGED or key[1] >= before
    }
    found = checked(own.prove_measured(), own)
    assert not found.differs
    assert found.measurements is not None
    assert found.measurements.count("not_recomputed") == 1
    assert found.settlements is not None
    again = found.settlements.newest.from_readings
    assert again is not None
    assert (again.facilities, again.measured, again.total) == (2, 3, "250.77")


def test_a_facility_that_was_not_measured_is_left_out_and_its_time_zone_is_as_recorded() -> None:
    own = settled_portfolio(unmeasured=frozenset({FORGED}))
    document = proof_of(own)
    (revision,) = revisions(document, own)
    assert named(revision) == []
    assert revision.notes == ()
    assert {line.unit for line in revision.lines} == {"fac-001", "fac-003"}

    left_out = tuple(replace(one, document="", left_out=NOT_STORED) for one in document.settlements)
    (revision,) = revisions(replace(document, settlements=left_out), own)
    assert named(revision) == []
    assert revision.recomputed_total == revision.total == "167.22"


def test_a_rule_that_was_agreed_later_is_in_the_proof_and_named() -> None:
    own = settled_portfolio()
    agree_rule(own, OTHER_RATE)
    settle(own, "a new rule", by_newest_rule=True)
    _, newest = revisions(proof_of(own), own)
    assert not newest.differs
    assert (newest.program_version, newest.total) == (2, "259.41")
    assert [(one.why, one.amount) for one in newest.by_reason] == [("rule", "8.64")]
    assert newest.notes == ("settled by version 2 of the program; accepted under version 1",)


def test_a_dr_event_without_a_rule_is_not_settled_and_that_is_checked() -> None:
    revision = settled(settled_portfolio(rule=None))
    assert not revision.differs
    assert (revision.outcome, revision.document, revision.lines) == ("not settled (no_rule)", "none", ())

    lying = measured_portfolio(settlement=RULE, facilities=1)
    record_instead(lying, status="not_settled", reasons=("no_rule",), total=None, digest=None)
    assert "reasons: recorded no_rule, recomputed none" in named(settled(lying))


def test_a_dr_event_that_was_not_settled_has_a_proof_without_settlements() -> None:
    own = measured_portfolio(settlement=RULE, facilities=1)
    own.seal()
    document = own.prove_measured()
    assert document.settlements == ()
    assert checked(document, own).settlements is None


def test_measurements_after_the_newest_revision_are_reported() -> None:
    own = settled_portfolio()
    correct(own)
    found = checked(proof_of(own), own)
    assert found.settlements is not None
    assert not found.settlements.differs
    assert not found.settlements.is_newest


def test_a_measurement_that_was_recorded_while_it_was_settled_is_not_part_of_it() -> None:
    own = measured_portfolio(settlement=RULE)
    decision = decided(own, "every facility is measured")
    correct_facility(own)
    (dr_event,) = decision.aggregates
    own.walk.log.save(dr_event)
    own.record()
    revision = settled(own)
    assert named(revision) == []
    assert (revision.total, revision.recomputed_total) == ("250.77", "250.77")
