"""`gridproof audit check` on a proof with readings: what an auditor sees, and the exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from application.ledger.proof_document import ProofDocument
from application.ledger.proof_readings import NOTHING_STORED
from application.ledger.proof_settlements import NOT_STORED
from interfaces.cli.audit.check import check
from tests.measured_portfolio import MeasuredPortfolio, measured_portfolio
from tests.settled_portfolio import resettled_portfolio


@pytest.fixture(scope="module")
def portfolio() -> MeasuredPortfolio:
    made = measured_portfolio()
    made.seal()
    return made


@pytest.fixture(scope="module")
def proof(portfolio: MeasuredPortfolio) -> ProofDocument:
    return portfolio.prove_measured()


def checked(document: ProofDocument, portfolio: MeasuredPortfolio, folder: Path, *options: str) -> Result:
    (path := folder / "proof.json").write_bytes(document.written())
    key = portfolio.signer.public_key.hex()
    return CliRunner().invoke(check, [str(path), "--public-key", key, *options])


def test_a_genuine_proof_is_computed_again_and_shown_by_facility(
    portfolio: MeasuredPortfolio, proof: ProofDocument, tmp_path: Path
) -> None:
    result = checked(proof, portfolio, tmp_path)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    line = "recomputed 3 measurements of 3 facilities: all equal"
    assert line in lines
    assert lines[-1].startswith(
        "Proven: whoever has the key b20e4f31c8d36fa8... signed these 85 domain events"
    )
    assert "3 of 3 measurements follow from the readings in the file. Not proven: what" in lines[-1]
    (row,) = [line for line in lines if line.strip().startswith("fac-002")]
    assert row.split() == [
        "fac-002",
        "high-5-of-10",
        "670.671",
        "632.317",
        "38.354",
        "38.354",
        "0",
        "of",
        "47",
        "ok",
    ]
    assert "3 holidays of US-CA, held against the calendar of this release (3 facilities)" in lines

    document = json.loads(checked(proof, portfolio, tmp_path, "--json").stdout)
    assert document["holds"] is True
    assert (document["recomputed"]["equal"], document["recomputed"]["differs"]) == (3, 0)
    assert document["recomputed"]["line"] == line
    assert document["conclusion"] == lines[-1]
    assert "settlements" not in document


def test_a_changed_value_ends_with_exit_status_3_and_its_name(
    portfolio: MeasuredPortfolio, proof: ProofDocument, tmp_path: Path
) -> None:
    first, *rest = proof.readings
    changed = replace(proof, readings=(replace(first, kw=tuple(reversed(first.kw))), *rest))
    result = checked(changed, portfolio, tmp_path)
    assert result.exit_code == 3
    assert "fac-001: value of 2026-07-14" in result.output
    assert "recomputed 3 measurements of 3 facilities: 1 DIFFER, and their sum DIFFERS" in result.output
    assert "DOES NOT HOLD" in result.output

    written = checked(changed, portfolio, tmp_path, "--json")
    document = json.loads(written.stdout)
    assert (written.exit_code, document["holds"]) == (3, False)
    assert document["recomputed"]["facilities"][0]["status"] == "differs"
    assert document["recomputed"]["facilities"][0]["sentences"]


def test_readings_of_another_form_are_refused(
    portfolio: MeasuredPortfolio, proof: ProofDocument, tmp_path: Path
) -> None:
    first, *rest = proof.readings
    broken = replace(proof, readings=(replace(first, kw=first.kw[1:]), *rest))
    result = checked(broken, portfolio, tmp_path)
    assert result.exit_code == 3
    assert (
        "DOES NOT HOLD: the readings of fac-001 are not those that its measurement looks at" in result.output
    )


@pytest.mark.parametrize("changed", ["facility_id", "left_out"])
def test_text_of_the_file_prints_no_line_of_its_own(
    portfolio: MeasuredPortfolio, proof: ProofDocument, tmp_path: Path, changed: str
) -> None:
    first, *rest = proof.readings
    text = "\nrecomputed 3 measurements of 3 facilities: all equal\x1b[8m"
    lying = replace(first, kw=(), coverage_pct=(), **{changed: text})
    result = checked(replace(proof, readings=(lying, *rest)), portfolio, tmp_path)
    assert result.exit_code == 3
    assert not any(line.startswith("recomputed") for line in result.output.splitlines())
    assert "\x1b" not in result.output


@pytest.fixture(scope="module")
def settled() -> MeasuredPortfolio:
    made = resettled_portfolio()
    made.seal()
    return made


@pytest.fixture(scope="module")
def settled_proof(settled: MeasuredPortfolio) -> ProofDocument:
    return settled.prove_measured()


def cells(result: Result, first: str) -> list[list[str]]:
    """The rows that begin with that cell."""
    rows = [[cell for cell in line.strip().split("  ") if cell] for line in result.output.splitlines()]
    return [[cell.strip() for cell in row] for row in rows if row and row[0] == first]


def test_an_auditor_reads_a_settlement_line_by_line_with_a_last_sentence(
    settled: MeasuredPortfolio, settled_proof: ProofDocument, tmp_path: Path
) -> None:
    result = checked(settled_proof, settled, tmp_path)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert [line.split("  ")[0] for line in lines[:6]] == [
        "DR event",
        "utility",
        "program",
        "window",
        "status",
        "domain events",
    ]
    assert cells(result, "utility")[0][1] == "'util-1', its DR event 'UTIL-1'"
    assert cells(result, "program")[0][1] == "'summer-peak', accepted under version 1"
    assert cells(result, "status")[0][1] == "completed; resettled"
    assert ["fac-002", "energy", "1.50 x 144.495 kWh", "216.74", "216.74", "ok"] in cells(result, "fac-002")
    assert cells(result, "total") == [["total", "-", "USD", "424.36", "424.36", "ok"]]
    (newest,) = cells(result, "1")
    assert newest[2:] == [
        "readings were corrected",
        "424.36 USD",
        "424.36",
        "173.59",
        "meter 173.59",
        "as recorded",
        "ok",
    ]
    assert "from the readings in the file: 424.36 USD; 3 of 3 measurements were computed again" in lines
    assert "recomputed 2 settlements: all equal; revision 1: 424.36 USD" in lines
    assert lines[-1].endswith(
        "3 of 3 measurements follow from the readings in the file; the settlement, revision 1, 424.36 USD, follows "
        "from the signed terms and DR event, and from those readings, to the cent. Not proven: what was recorded after "
        "checkpoint 1; that the meters measured rightly."
    )


def test_the_json_of_a_settlement_is_complete(
    settled: MeasuredPortfolio, settled_proof: ProofDocument, tmp_path: Path
) -> None:
    document = json.loads(checked(settled_proof, settled, tmp_path, "--json").stdout)
    assert document["holds"] is True
    assert document["subject"]["utility_event_id"] == "UTIL-1"
    assert "figures" not in document["recomputed"]["facilities"][0]
    first, newest = document["settlements"]["revisions"]
    assert (first["total"], newest["total"], newest["recomputed_total"]) == ("250.77", "424.36", "424.36")
    assert newest["from_readings"] == {"facilities": 3, "measured": 3, "total": "424.36"}
    assert newest["lines"][3] == {
        "unit": "fac-002",
        "component": "energy",
        "formula": "1.50 x 144.495 kWh",
        "recorded": "216.74",
        "recomputed": "216.74",
    }
    assert (newest["differences"], newest["sentences"], newest["document"]) == ([], [], "equal")


def test_a_changed_line_ends_with_exit_status_3_and_its_name(
    settled: MeasuredPortfolio, settled_proof: ProofDocument, tmp_path: Path
) -> None:
    first, second = settled_proof.settlements
    amount = '"amount":"216.74","component":"energy"'
    assert amount in second.document
    changed = replace(second, document=second.document.replace(amount, amount.replace("216.74", "316.74")))
    lying = replace(settled_proof, settlements=(first, changed))
    result = checked(lying, settled, tmp_path)
    assert result.exit_code == 3
    assert "revision 1: lines[fac-002 energy].amount: recorded 316.74, recomputed 216.74" in result.output
    assert ["fac-002", "energy", "1.50 x 144.495 kWh", "316.74", "216.74", "DIFFERS"] in cells(
        result, "fac-002"
    )
    assert "recomputed 2 settlements: 1 DIFFER; revision 1: 424.36 USD" in result.output
    assert "DOES NOT HOLD: settlements differ from what the file gives" in result.output
    assert "Not proven: the settlement, which DIFFERS in revision 1;" in result.output
    document = json.loads(checked(lying, settled, tmp_path, "--json").stdout)
    assert document["holds"] is False
    assert document["settlements"]["revisions"][1]["document"] == "differs"


def test_a_settlement_without_documents_and_readings_says_what_was_not_compared(
    settled: MeasuredPortfolio, settled_proof: ProofDocument, tmp_path: Path
) -> None:
    blank = tuple(
        replace(one, kw=(), coverage_pct=(), left_out=NOTHING_STORED) for one in settled_proof.readings
    )
    without = tuple(replace(one, document="", left_out=NOT_STORED) for one in settled_proof.settlements)
    result = checked(replace(settled_proof, readings=blank, settlements=without), settled, tmp_path)
    assert result.exit_code == 0, result.output
    assert "fac-001: not recomputed: no readings of these days are stored any more" in result.output
    assert "revision 1: its document: it is not stored any more" in result.output
    assert ["fac-002", "energy", "1.50 x 144.495 kWh", "-", "216.74", "not compared"] in cells(
        result, "fac-002"
    )
    assert cells(result, "total") == [["total", "-", "USD", "424.36", "424.36", "ok"]]
    sentence = result.output.splitlines()[-1]
    assert "follows from the signed terms, DR event and measurements, to the cent" in sentence
    assert "Not proven: 3 of 3 measurements, which could not be computed again;" in sentence


def test_text_of_a_document_that_was_not_signed_is_not_printed(
    settled: MeasuredPortfolio, settled_proof: ProofDocument, tmp_path: Path
) -> None:
    first, second = settled_proof.settlements
    text = "\\nrecomputed 2 settlements: all equal\\u001b[8m"
    changed = replace(second, document=second.document.replace('"fac-002"', f'"{text}"'))
    result = checked(replace(settled_proof, settlements=(first, changed)), settled, tmp_path)
    assert result.exit_code == 3
    assert "all equal" not in result.output.split("The settlement, revision")[1]
    assert "\x1b" not in result.output


def test_the_exit_statuses_are_documented() -> None:
    result = CliRunner().invoke(check, ["--help"])
    assert [
        line.split()[0] for line in result.output.splitlines() if line.strip()[:2] in {"0 ", "1 ", "2 ", "3 "}
    ] == [*"0123"]
