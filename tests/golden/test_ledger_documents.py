"""Checkpoints and proofs of every version, as a release wrote them: they are read and checked for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from application.ledger.checkpoints import read_checkpoint
from application.ledger.proof_check import check_proof
from application.ledger.proof_document import read_proof
from domain.ledger.entries import CheckpointV1, CheckpointV2
from tests.fakes.ledger.signer import FakeCheckpointSigner

HERE = Path(__file__).parent / "ledger"
KEY = FakeCheckpointSigner().public_key


@pytest.mark.parametrize(("version", "kind"), [("v1", CheckpointV1), ("v2", CheckpointV2)])
def test_a_checkpoint_is_read_and_written_byte_for_byte(version: str, kind: type) -> None:
    written = (HERE / f"checkpoint.{version}.json").read_bytes()
    signed = read_checkpoint(written, KEY, number=1)
    assert type(signed.checkpoint) is kind
    assert signed.written() == written


@pytest.mark.parametrize(("version", "complete", "dispatches"), [("v1", False, None), ("v2", True, 1)])
def test_a_proof_holds_and_is_written_byte_for_byte(
    version: str, complete: bool, dispatches: int | None
) -> None:
    written = (HERE / f"proof.{version}.json").read_bytes()
    proven = check_proof(written, KEY)
    assert (proven.complete, proven.dispatches, proven.checkpoint) == (complete, dispatches, 1)
    assert read_proof(written).written() == written
