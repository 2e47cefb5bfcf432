"""H6: a ledger that was rolled back or forked is found by whoever kept a checkpoint of it, and named as such."""

from __future__ import annotations

import json
from datetime import timedelta

import msgspec
import pytest

from application.ledger.checkpoints import (
    CheckpointRefused,
    SignedCheckpoint,
    check_signature,
    checkpoint_name,
    sign,
)
from application.ledger.consistency import (
    CheckpointNotFound,
    check_consistency,
    check_consistency_document,
    prove_consistency,
)
from application.ledger.proof import NothingSealed, NotProvable
from application.ledger.proof_check import check_proof
from application.ledger.proof_document import ProofBroken
from application.ledger.sealing import LedgerContradicted
from application.ledger.verification import verify_ledger
from application.ledger.verification_report import Finding
from application.ledger.witness import (
    NoCheckpoint,
    WitnessCheckpoint,
    witness_from_file,
    witness_from_reference,
    witness_of,
)
from domain.ledger.entries import DEMAND_RESPONSE, ENTRY_BYTES, LOGS, LogRow, MapHead
from domain.ledger.map_pages import MapState
from tests.fakes.ledger.signer import FakeCheckpointSigner
from tests.sample_values import NOW
from tests.sealed_portfolio import SealedPortfolio, completed_dr_event


class Ledger:
    """A portfolio sealed in several checkpoints, and an attacker with all rights in database and archive."""

    def __init__(self) -> None:
        self.portfolio: SealedPortfolio = completed_dr_event()
        self.positions = [row.position for row in self.portfolio.rows()]
        self.portfolio.store.logs[DEMAND_RESPONSE].clear()
        self.signed: list[SignedCheckpoint] = []
        for part in (1, 2, 3):
            self.portfolio.record(self.positions[len(self.positions) * part // 3 - 1])
            self.signed.append(self.portfolio.seal())

    def rolled_back_to(self, number: int) -> None:
        """Remove what came after a checkpoint, everywhere, as the database's owner with deletion in the archive can."""
        store, archive = self.portfolio.store, self.portfolio.archive
        for later in self.signed[number:]:
            del store.checkpoints[later.checkpoint.number]
            del archive.files[checkpoint_name(later.checkpoint.number)]
        head = self.signed[number - 1].checkpoint.head_of(DEMAND_RESPONSE)
        rows = store.logs[DEMAND_RESPONSE]
        for position in [position for position in rows if position > head.last_position]:
            del rows[position]
        store.table[DEMAND_RESPONSE] = store.table[DEMAND_RESPONSE][: head.size * ENTRY_BYTES]
        store.tree.clear()
        store.maps = {log: MapState() for log in LOGS}
        store.pages.clear()

    def findings(self, witness: WitnessCheckpoint | None) -> list[Finding]:
        portfolio = self.portfolio
        report = verify_ledger(
            portfolio.store, portfolio.archive, portfolio.signer.public_key, witness=witness
        )
        assert report.verified is not bool(report.findings)
        return list(report.findings)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def test_an_untouched_ledger_extends_every_checkpoint(ledger: Ledger) -> None:
    for signed in ledger.signed:
        assert ledger.findings(witness_of(signed)) == []
        reference = f"{signed.checkpoint.number}:{signed.checkpoint.digest()}"
        assert ledger.findings(witness_from_reference(reference)) == []


def test_a_rollback_is_reported_to_the_holder_of_a_checkpoint_only(ledger: Ledger) -> None:
    ledger.rolled_back_to(1)
    assert ledger.findings(None) == []
    (found,) = ledger.findings(witness_of(ledger.signed[2]))
    gone = len(ledger.positions) - ledger.signed[0].checkpoint.head_of(DEMAND_RESPONSE).size
    assert found.kind == "rollback"
    assert "the newest one of this ledger is 1 of" in found.detail
    assert f"the ledger was rolled back; {gone} domain events of demand-response are gone" in found.detail
    reference = f"3:{ledger.signed[2].checkpoint.digest()}"
    (by_digest,) = ledger.findings(witness_from_reference(reference))
    assert by_digest.kind == "rollback"
    with pytest.raises(CheckpointNotFound, match="no checkpoint 3: its checkpoints are 1 to 1"):
        prove_consistency(ledger.portfolio.store, ledger.portfolio.signer.public_key, 3)


def test_a_rollback_that_forgets_the_map_of_streams_is_not_sealed_over(ledger: Ledger) -> None:
    reached, pages = dict(ledger.portfolio.store.maps), dict(ledger.portfolio.store.pages)
    ledger.rolled_back_to(1)
    ledger.portfolio.store.maps, ledger.portfolio.store.pages = reached, pages
    ledger.portfolio.record()
    with pytest.raises(LedgerContradicted, match="the map of streams covers"):
        ledger.portfolio.seal()


def test_a_ledger_that_was_rolled_back_and_went_on_is_a_fork(ledger: Ledger) -> None:
    ledger.rolled_back_to(1)
    forged = LogRow(
        position=ledger.positions[-1],
        originator_id=ledger.portfolio.dr_event_id,
        originator_version=2,
        topic="dr-event.cancelled.v1",
        state=b"{}",
    )
    ledger.portfolio.store.record(DEMAND_RESPONSE, forged)
    ledger.portfolio.seal()
    assert ledger.findings(None) == [], "with the key, another history is signed"
    (found,) = ledger.findings(witness_of(ledger.signed[1]))
    assert found.kind == "fork"
    assert "checkpoint 2 of this ledger is another one than was kept" in found.detail
    assert ledger.signed[1].checkpoint.digest() in found.detail
    document = prove_consistency(ledger.portfolio.store, ledger.portfolio.signer.public_key, 2)
    with pytest.raises(ProofBroken, match="two histories were signed, or the ledger was rolled back"):
        check_consistency(document.written(), witness=witness_of(ledger.signed[1]))
    check_consistency(document.written())


def test_a_lost_checkpoint_is_checked_against_the_tree_of_the_newest_one(ledger: Ledger) -> None:
    lost = ledger.signed[1]
    del ledger.portfolio.store.checkpoints[2]
    del ledger.portfolio.archive.files[checkpoint_name(2)]
    assert "fork" not in {found.kind for found in ledger.findings(witness_of(lost))}
    head = lost.checkpoint.heads[0]
    other = msgspec.structs.replace(head, root="0" * 64)
    forged = msgspec.structs.replace(
        lost, checkpoint=msgspec.structs.replace(lost.checkpoint, heads=(other, *lost.checkpoint.heads[1:]))
    )
    found = [one for one in ledger.findings(witness_of(forged)) if one.kind == "fork"]
    assert "checkpoint 3 does not extend checkpoint 2 that was kept" in found[0].detail


def test_a_damaged_table_is_no_accusation_of_a_fork(ledger: Ledger) -> None:
    """Only the table beside the log was changed: what it cannot prove is not proven to be otherwise."""
    lost, whole = ledger.signed[1], ledger.portfolio.store.table[DEMAND_RESPONSE]
    del ledger.portfolio.store.checkpoints[2]
    del ledger.portfolio.archive.files[checkpoint_name(2)]
    changed = bytearray(whole)
    changed[20] ^= 1
    for table in (whole[: 3 * ENTRY_BYTES], b"", bytes(changed)):
        ledger.portfolio.store.table[DEMAND_RESPONSE] = table
        found = ledger.findings(witness_of(lost))
        assert "fork" not in {one.kind for one in found}
        assert any(
            one.kind == "ledger-table"
            and "that checkpoint 3 extends checkpoint 2 cannot be proven from the table" in one.detail
            for one in found
        )
        with pytest.raises(NotProvable, match="audit verify"):
            prove_consistency(ledger.portfolio.store, ledger.portfolio.signer.public_key, 1)
        with pytest.raises(NotProvable, match="audit verify"):
            ledger.portfolio.prove()


def test_a_missing_checkpoint_is_not_taken_for_an_unsealed_ledger(ledger: Ledger) -> None:
    del ledger.portfolio.store.checkpoints[2]
    with pytest.raises(NotProvable, match="checkpoint 2 is missing in the database; see") as refusal:
        prove_consistency(ledger.portfolio.store, ledger.portfolio.signer.public_key, 2)
    assert not isinstance(refusal.value, NothingSealed)


def test_another_key_is_named(ledger: Ledger) -> None:
    other = FakeCheckpointSigner("another")
    signed = msgspec.structs.replace(ledger.signed[2], public_key=other.public_key.hex())
    (found,) = ledger.findings(witness_of(signed))
    assert (found.kind, "signed by another key" in found.detail) == ("fork", True)


def test_a_consistency_proof_holds_offline_and_for_no_other_checkpoints(ledger: Ledger) -> None:
    portfolio = ledger.portfolio
    for number in (1, 2, 3):
        document = prove_consistency(portfolio.store, portfolio.signer.public_key, number)
        proven = check_consistency(
            document.written(), portfolio.signer.public_key, witness_of(ledger.signed[number - 1])
        )
        assert (proven.earlier, proven.later) == (number, 3)
    document = prove_consistency(portfolio.store, portfolio.signer.public_key, 1)
    with pytest.raises(
        ProofBroken, match=r"begins with checkpoint 1, and checkpoint 2 was kept: ask for \?from=2"
    ):
        check_consistency(document.written(), witness=witness_of(ledger.signed[1]))
    later = document.later.checkpoint
    head = msgspec.structs.replace(later.heads[0], root="0" * 64)
    for changed in (
        msgspec.structs.replace(document, logs=()),
        msgspec.structs.replace(document, earlier=document.later, later=document.earlier),
        msgspec.structs.replace(
            document,
            later=msgspec.structs.replace(
                document.later, checkpoint=msgspec.structs.replace(later, heads=(head, *later.heads[1:]))
            ),
        ),
    ):
        with pytest.raises(ProofBroken):
            check_consistency_document(changed, portfolio.signer.public_key)
    with pytest.raises(ProofBroken, match="canonical"):
        check_consistency(document.written() + b"\n")


def test_a_proof_older_than_the_given_checkpoint_is_refused(ledger: Ledger) -> None:
    """An old but genuine proof ends before what it leaves out."""
    whole = ledger.portfolio.prove()
    ledger.rolled_back_to(2)
    older = ledger.portfolio
    older.seal_map_again()
    proof = older.prove().written()
    check_proof(proof, older.signer.public_key, witness_of(ledger.signed[1]))
    check_proof(whole.written(), older.signer.public_key, witness_of(ledger.signed[2]))
    with pytest.raises(ProofBroken, match="as of checkpoint 2, and checkpoint 3 was kept"):
        check_proof(proof, older.signer.public_key, witness_of(ledger.signed[2]))
    forked = WitnessCheckpoint(number=2, digest="0" * 64)
    with pytest.raises(ProofBroken, match="two histories were signed"):
        check_proof(proof, older.signer.public_key, forked)


ANOTHER = "names another checkpoint before it"
FEWER = "fewer leaves of demand-response than checkpoint 2"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"previous": "0" * 64}, ANOTHER),
        ({"at": NOW - timedelta(days=400)}, "sealed before that"),
        ({"number": 4, "stream_map": MapHead(streams=1, root="0" * 64)}, "its map has fewer streams"),
        ({"number": 4, "heads": 0}, FEWER),
    ],
)
def test_a_higher_number_does_not_hide_a_ledger_that_was_rolled_back(
    ledger: Ledger, changes: dict[str, object], why: str
) -> None:
    """The operator signs what a kept checkpoint contradicts (P2 of the review)."""
    if "heads" in changes:
        changes = changes | {"heads": ledger.signed[0].checkpoint.heads}
    proof = ledger.portfolio.prove()
    forged = sign(
        msgspec.structs.replace(proof.signed_checkpoint.checkpoint, **changes), ledger.portfolio.signer
    )
    written = msgspec.structs.replace(proof, signed_checkpoint=forged).written()
    with pytest.raises(ProofBroken, match=why):
        check_proof(written, ledger.portfolio.signer.public_key, witness_of(ledger.signed[1]))
    if why == ANOTHER:
        kept = WitnessCheckpoint(number=2, digest=ledger.signed[1].checkpoint.digest())
        with pytest.raises(ProofBroken, match=why):
            check_proof(written, ledger.portfolio.signer.public_key, kept)


def test_a_later_checkpoint_sealed_earlier_extends_nothing(ledger: Ledger) -> None:
    document = prove_consistency(ledger.portfolio.store, ledger.portfolio.signer.public_key, 1)
    backdated = msgspec.structs.replace(document.later.checkpoint, at=NOW - timedelta(days=400))
    forged = msgspec.structs.replace(document, later=sign(backdated, ledger.portfolio.signer))
    with pytest.raises(ProofBroken, match="sealed before that"):
        check_consistency_document(forged)


def test_a_consistency_proof_with_a_key_that_is_none_does_not_hold(ledger: Ledger) -> None:
    document = prove_consistency(ledger.portfolio.store, ledger.portfolio.signer.public_key, 1)
    keyless = msgspec.structs.replace(document.earlier, public_key="zz")
    with pytest.raises(ProofBroken, match="does not hold"):
        check_consistency_document(msgspec.structs.replace(document, earlier=keyless))


def test_no_checkpoint_comes_before_the_first(ledger: Ledger) -> None:
    zeroth = sign(msgspec.structs.replace(ledger.signed[0].checkpoint, number=0), ledger.portfolio.signer)
    with pytest.raises(CheckpointRefused, match="has the number 1"):
        check_signature(zeroth, ledger.portfolio.signer.public_key)


@pytest.mark.parametrize("key", ["01" + "00" * 31, "00" * 32, "01" + "00" * 30 + "80", "ee" + "ff" * 31])
def test_a_key_by_which_anybody_signs_is_refused(ledger: Ledger, key: str) -> None:
    signed = msgspec.structs.replace(ledger.signed[0], public_key=key, signature="01" + "00" * 63)
    with pytest.raises(CheckpointRefused, match="proves nothing"):
        check_signature(signed, bytes.fromhex(key))


@pytest.mark.parametrize("key", ["", "00", "ab" * 33])
def test_a_key_of_another_length_is_named(ledger: Ledger, key: str) -> None:
    signed = msgspec.structs.replace(ledger.signed[0], public_key=key)
    with pytest.raises(CheckpointRefused, match="its signature does not hold"):
        check_signature(signed, bytes.fromhex(key))


def test_a_checkpoint_is_read_from_what_auditors_and_utilities_have(ledger: Ledger) -> None:
    signed = ledger.signed[2]
    digest = signed.checkpoint.digest()
    status = {"logs": [], "signed_checkpoint": msgspec.to_builtins(signed)}
    for content in (
        signed.written(),
        msgspec.json.encode(signed),
        json.dumps(status).encode(),
        f"3:{digest}\n".encode(),
    ):
        witness = witness_from_file(content)
        assert (witness.number, witness.digest) == (3, digest)
    with pytest.raises(NoCheckpoint, match="give NUMBER:DIGEST"):
        witness_from_file(b'{"signed_checkpoint": null}')
    changed = signed.written().replace(b'"number": 3', b'"number": 4')
    with pytest.raises(NoCheckpoint, match="does not hold"):
        witness_from_file(changed)
