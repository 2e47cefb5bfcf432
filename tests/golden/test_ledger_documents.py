"""Checkpoints and proofs of every version, as a release wrote them: they are read and checked for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.forecasting.calendar.public_holidays import RegionalHolidays
from adapters.regression import StatsmodelsFitter
from application.ledger.checkpoints import read_checkpoint
from application.ledger.proof_check import check_proof
from application.ledger.proof_document import ProofDocumentV3, ProofDocumentV4, read_proof
from application.ledger.recomputation.recompute import Installation, recompute
from application.ledger.recomputation.settlement.check import recompute_settlements
from domain.ledger.entries import CheckpointV1, CheckpointV2, CheckpointV3
from tests.fakes.ledger.signer import FakeCheckpointSigner

HERE = Path(__file__).parent / "ledger"
KEY = FakeCheckpointSigner().public_key


@pytest.mark.parametrize(
    ("version", "kind", "number"), [("v1", CheckpointV1, 1), ("v2", CheckpointV2, 1), ("v3", CheckpointV3, 5)]
)
def test_a_checkpoint_is_read_and_written_byte_for_byte(version: str, kind: type, number: int) -> None:
    written = (HERE / f"checkpoint.{version}.json").read_bytes()
    signed = read_checkpoint(written, KEY, number=number)
    assert type(signed.checkpoint) is kind
    assert signed.written() == written


@pytest.mark.parametrize(
    ("version", "complete", "dispatches"),
    [("v1", False, None), ("v2", True, 1), ("v3", True, 1), ("v4", True, 1)],
)
def test_a_proof_holds_and_is_written_byte_for_byte(
    version: str, complete: bool, dispatches: int | None
) -> None:
    written = (HERE / f"proof.{version}.json").read_bytes()
    proven = check_proof(written, KEY)
    assert (proven.complete, proven.dispatches, proven.checkpoint) == (complete, dispatches, 1)
    assert read_proof(written).written() == written


@pytest.mark.parametrize("version", ["v3", "v4"])
def test_the_measurements_of_a_proof_are_computed_again_as_a_release_recorded_them(version: str) -> None:
    document = read_proof((HERE / f"proof.{version}.json").read_bytes())
    assert isinstance(document, ProofDocumentV3)
    found = recompute(document, Installation(RegionalHolidays(), StatsmodelsFitter()))
    assert found.line == "recomputed 1 measurement of 1 facility: all equal"
    assert [one.sealed_days for one in found.facilities] == [1]


def test_the_settlements_of_a_proof_are_computed_again_as_a_release_recorded_them() -> None:
    document = read_proof((HERE / "proof.v4.json").read_bytes())
    assert isinstance(document, ProofDocumentV4)
    found = recompute_settlements(
        document, recompute(document, Installation(RegionalHolidays(), StatsmodelsFitter()))
    )
    assert found is not None
    assert found.line == "recomputed 2 settlements: all equal; revision 1: 86.89 USD"
    assert [one.document for one in found.revisions] == ["equal", "equal"]
