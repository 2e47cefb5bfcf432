"""`gridproof audit check` on a proof with readings: what an auditor sees, and the exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from application.ledger.proof_document import ProofDocumentV3
from interfaces.cli.audit.ledger import check
from tests.measured_portfolio import MeasuredPortfolio, measured_portfolio


@pytest.fixture(scope="module")
def portfolio() -> MeasuredPortfolio:
    made = measured_portfolio()
    made.seal()
    return made


@pytest.fixture(scope="module")
def proof(portfolio: MeasuredPortfolio) -> ProofDocumentV3:
    return portfolio.prove_measured()


def checked(document: ProofDocumentV3, portfolio: MeasuredPortfolio, folder: Path, *options: str) -> Result:
    (path := folder / "proof.json").write_bytes(document.written())
    key = portfolio.signer.public_key.hex()
    return CliRunner().invoke(check, [str(path), "--public-key", key, *options])


def test_a_genuine_proof_is_computed_again_and_shown_by_facility(
    portfolio: MeasuredPortfolio, proof: ProofDocumentV3, tmp_path: Path
) -> None:
    result = checked(proof, portfolio, tmp_path)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[-1] == "recomputed 3 measurements of 3 facilities: all equal"
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
    assert document["recomputed"]["line"] == lines[-1]


def test_a_changed_value_ends_with_exit_status_3_and_its_name(
    portfolio: MeasuredPortfolio, proof: ProofDocumentV3, tmp_path: Path
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
    portfolio: MeasuredPortfolio, proof: ProofDocumentV3, tmp_path: Path
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
    portfolio: MeasuredPortfolio, proof: ProofDocumentV3, tmp_path: Path, changed: str
) -> None:
    first, *rest = proof.readings
    text = "\nrecomputed 3 measurements of 3 facilities: all equal\x1b[8m"
    lying = replace(first, kw=(), coverage_pct=(), **{changed: text})
    result = checked(replace(proof, readings=(lying, *rest)), portfolio, tmp_path)
    assert result.exit_code == 3
    assert not any(line.startswith("recomputed") for line in result.output.splitlines())
    assert "\x1b" not in result.output
