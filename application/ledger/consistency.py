"""Consistency proofs: a document that shows that the newest checkpoint extends an older one (RFC 6962, section 2.1.2).

Whoever kept the older one can tell a log that was rolled back or forked from one that only went on.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec

from application.ledger.checkpoints import (
    CheckpointRefused,
    SignedCheckpoint,
    check_signature,
    wrong_successor,
)
from application.ledger.proof import NotProvable, latest_checkpoint, stored_checkpoint
from application.ledger.proof_document import ProofBroken
from application.ledger.restores import lost_text, recorded_restores
from application.ledger.stored_tree import StoredTree
from application.ledger.witness import WitnessCheckpoint
from application.ports.ledger.store import LedgerStore
from domain.event_sourcing.decoders import json_decoder
from domain.ledger.entries import LogHead, unhex
from domain.ledger.merkle import ProofRefused, verify_consistency


class CheckpointNotFound(LookupError):
    """The ledger has no checkpoint with that number."""


class LogConsistency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The consistency proof of one log."""

    log: str
    path: tuple[str, ...]


class ConsistencyDocument(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="format",
    tag="gridproof-ledger-consistency.v1",
):
    """Two checkpoints, and for each log the proof that the later one extends the earlier one."""

    earlier: SignedCheckpoint
    later: SignedCheckpoint
    logs: tuple[LogConsistency, ...]

    def written(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


class VerifiedConsistency(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a valid consistency proof."""

    earlier: int
    later: int
    earlier_sealed_at: datetime
    later_sealed_at: datetime
    public_key: str
    key_was_given: bool


def prove_consistency(
    store: LedgerStore, public_key: bytes | Callable[[], bytes], since: int
) -> ConsistencyDocument:
    """Between checkpoint `since` and the newest one. Costs O(log n). Raises CheckpointNotFound or NotProvable."""
    with store.snapshot() as now:
        later = latest_checkpoint(now, public_key)
        newest = later.checkpoint.number
        if not 1 <= since <= newest:
            raise CheckpointNotFound(
                f"this ledger has no checkpoint {since}: its checkpoints are 1 to {newest}. If you keep a signed "
                f"checkpoint {since}, the ledger was rolled back"
            )
        earlier = stored_checkpoint(now, since, public_key)
        try:
            logs = tuple(
                LogConsistency(log=head.log, path=_path(now, head, later.checkpoint.head_of(head.log)))
                for head in earlier.checkpoint.heads
            )
            document = ConsistencyDocument(earlier=earlier, later=later, logs=logs)
            check_consistency_document(document, bytes.fromhex(later.public_key))
        except (ProofBroken, ProofRefused) as error:
            if restored := _restored_since(now, since, public_key):
                raise NotProvable(restored) from error
            raise NotProvable(
                f"the log is not what was signed: {error}; see `gridproof audit verify`"
            ) from error
    return document


def _restored_since(store: LedgerStore, since: int, public_key: bytes | Callable[[], bytes]) -> str | None:
    """The record in the ledger of a restore that lost that checkpoint; None where there was none."""
    for written in store.restore_checkpoints():
        signed = json_decoder(SignedCheckpoint).decode(written)
        stored = stored_checkpoint(store, signed.checkpoint.number, public_key)
        for restore in recorded_restores(store, [stored]):
            if restore.lost(since):
                return f"checkpoint {since} was lost: {lost_text(restore.report)}"
    return None


def _path(store: LedgerStore, earlier: LogHead, later: LogHead) -> tuple[str, ...]:
    proof = StoredTree(store, later.log, later.size).consistency_proof(earlier.size)
    return tuple(one.hex() for one in proof)


def read_consistency(written: bytes) -> ConsistencyDocument:
    """Raises ProofBroken unless it is a consistency proof in its canonical form."""
    try:
        document = json_decoder(ConsistencyDocument).decode(written)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProofBroken(f"this is no consistency proof that this release knows: {error}") from error
    if document.written() != written:
        raise ProofBroken("this is not in the canonical form of a consistency proof: it was changed")
    return document


def is_consistency(written: bytes) -> bool:
    """True if the file says that it is a consistency proof."""
    return b'"gridproof-ledger-consistency.v1"' in written[:100]


def check_consistency(
    written: bytes, public_key: bytes | None = None, witness: WitnessCheckpoint | None = None
) -> VerifiedConsistency:
    """Check a document, and with `witness` that it begins with that checkpoint. Raises ProofBroken."""
    return check_consistency_document(read_consistency(written), public_key, witness)


def check_consistency_document(
    document: ConsistencyDocument, public_key: bytes | None = None, witness: WitnessCheckpoint | None = None
) -> VerifiedConsistency:
    """Raises ProofBroken."""
    for signed in (document.earlier, document.later):
        try:
            check_signature(signed, public_key or unhex(document.earlier.public_key))
        except (CheckpointRefused, ValueError) as error:
            raise ProofBroken(f"checkpoint {signed.checkpoint.number} does not hold: {error}") from error
    earlier, later = document.earlier.checkpoint, document.later.checkpoint
    if witness is not None and witness.number != earlier.number:
        raise ProofBroken(
            f"it begins with checkpoint {earlier.number}, and checkpoint {witness.number} was kept: ask for "
            f"?from={witness.number}"
        )
    if witness is not None and witness.digest != earlier.digest():
        raise ProofBroken(
            f"it begins with checkpoint {earlier.number} of digest {earlier.digest()}, and checkpoint "
            f"{witness.number} of digest {witness.digest} was kept: two histories were signed, or "
            "the ledger was rolled back"
        )
    if later.number < earlier.number or (
        later.number == earlier.number and later.digest() != earlier.digest()
    ):
        raise ProofBroken(f"checkpoint {later.number} cannot extend checkpoint {earlier.number}")
    if wrong := wrong_successor(earlier, later):
        raise ProofBroken(f"checkpoint {later.number} does not extend checkpoint {earlier.number}: {wrong}")
    paths = {one.log: one.path for one in document.logs}
    for head in earlier.heads:
        newer = later.head_of(head.log)
        try:
            path = [unhex(one) for one in paths.get(head.log, ())]
            if head.size or path:
                verify_consistency(head.size, unhex(head.root), newer.size, unhex(newer.root), path)
        except (ProofRefused, ValueError) as error:
            raise ProofBroken(
                f"checkpoint {later.number} does not extend checkpoint {earlier.number}: {head.log}: {error}"
            ) from error
    return VerifiedConsistency(
        earlier=earlier.number,
        later=later.number,
        earlier_sealed_at=earlier.at,
        later_sealed_at=later.at,
        public_key=document.earlier.public_key,
        key_was_given=public_key is not None,
    )
