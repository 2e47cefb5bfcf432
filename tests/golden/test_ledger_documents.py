"""Checkpoints and proofs as they were written once: they are read and checked for ever."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from adapters.forecasting.calendar.public_holidays import RegionalHolidays
from adapters.regression import StatsmodelsFitter
from application.event_store.event_mapper import decode_domain_event
from application.ledger import proof_check, proof_measurements
from application.ledger.checked_file import check_file
from application.ledger.checkpoints import read_checkpoint
from application.ledger.proof_check import check_proof
from application.ledger.proof_document import ProofDocument, read_proof
from application.ledger.recomputation.recompute import Installation, recompute
from application.ledger.recomputation.settlement.check import recompute_settlements
from domain.event_sourcing.aggregate import DomainEvent
from domain.ledger.entries import Checkpoint, CheckpointAfterRestore
from tests.fakes.ledger.signer import FakeCheckpointSigner

HERE = Path(__file__).parent / "ledger"
KEY = FakeCheckpointSigner().public_key


@pytest.mark.parametrize(
    ("version", "kind", "number"), [("v2", Checkpoint, 1), ("v3", CheckpointAfterRestore, 5)]
)
def test_a_checkpoint_is_read_and_written_byte_for_byte(version: str, kind: type, number: int) -> None:
    written = (HERE / f"checkpoint.{version}.json").read_bytes()
    signed = read_checkpoint(written, KEY, number=number)
    assert type(signed.checkpoint) is kind
    assert signed.written() == written


def written_proof() -> bytes:
    return (HERE / "proof.v4.json").read_bytes()


def test_a_proof_holds_and_is_written_byte_for_byte() -> None:
    proven = check_proof(written_proof(), KEY).verified
    assert (proven.dispatches, proven.checkpoint) == (1, 1)
    assert read_proof(written_proof()).written() == written_proof()


def test_the_measurements_of_a_proof_are_computed_again_as_they_were_recorded() -> None:
    proof = check_proof(written_proof(), KEY)
    found = recompute(proof, Installation(RegionalHolidays(), StatsmodelsFitter()))
    assert found.line == "recomputed 1 measurement of 1 facility: all equal"
    assert [one.sealed_days for one in found.facilities] == [1]


def test_the_settlements_of_a_proof_are_computed_again_as_they_were_recorded() -> None:
    proof = check_proof(written_proof(), KEY)
    found = recompute_settlements(
        proof, recompute(proof, Installation(RegionalHolidays(), StatsmodelsFitter()))
    )
    assert found is not None
    assert found.line == "recomputed 2 settlements: all equal; revision 1: 86.89 USD"
    assert [one.document for one in found.revisions] == ["equal", "equal"]


def test_the_check_of_a_file_parses_it_once_and_decodes_each_domain_event_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoded, parsed = list[tuple[UUID, int]](), list[bytes]()

    def decode(topic: str, stream_id: UUID, version: int, state: bytes) -> DomainEvent:
        decoded.append((stream_id, version))
        return decode_domain_event(topic, stream_id, version, state)

    def parse(written: bytes) -> ProofDocument:
        parsed.append(written)
        return read_proof(written)

    monkeypatch.setattr(proof_measurements, "decode_domain_event", decode)
    monkeypatch.setattr(proof_check, "read_proof", parse)
    written = written_proof()
    checked = check_file(written, KEY, Installation(RegionalHolidays(), StatsmodelsFitter()))
    assert not checked.differs
    assert checked.settlements is not None
    assert parsed == [written]
    assert len(decoded) == len(set(decoded)) > 20
