"""A checkpoint that somebody kept, held against the ledger.

A log that was rolled back or forked no longer extends it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

import msgspec

from application.ledger.checkpoints import (
    Chain,
    CheckpointRefused,
    SignedCheckpoint,
    check_signature,
)
from application.ledger.restores import RecordedRestore, lost_text
from application.ledger.stored_tree import StoredTree
from application.ledger.verification_report import Finding, FindingKind
from application.ports.ledger.store import LedgerStore
from domain.event_sourcing.decoders import json_decoder
from domain.ledger.entries import Checkpoint, LogHead, unhex
from domain.ledger.merkle import ProofRefused, verify_consistency

_REFERENCE = re.compile(r"(\d{1,18}):([0-9a-f]{64})")


class NoCheckpoint(ValueError):
    """The given document is no checkpoint; the text says what is one."""


class WitnessCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint as a witness has it: whole, or its number and digest only, as callbacks carry them."""

    number: int
    digest: str
    """SHA-256 of its signed bytes."""
    signed: SignedCheckpoint | None = None

    @property
    def at(self) -> datetime | None:
        return None if self.signed is None else self.signed.checkpoint.at


class _LedgerDocument(msgspec.Struct):
    """The part of `GET /api/audit/ledger` that is kept."""

    signed_checkpoint: SignedCheckpoint


def witness_from_reference(text: str) -> WitnessCheckpoint | None:
    """From NUMBER:DIGEST; None if it is none."""
    match = _REFERENCE.fullmatch(text.strip())
    return None if match is None else WitnessCheckpoint(number=int(match[1]), digest=match[2])


def witness_from_file(content: bytes) -> WitnessCheckpoint:
    """From a checkpoint as archived, the answer of `GET /api/audit/ledger`, or NUMBER:DIGEST. Its signature must
    be that of the key that it names. Raises NoCheckpoint.
    """
    reference = witness_from_reference(content.decode("ascii", errors="replace"))
    if reference is not None:
        return reference
    signed = _signed_in(content)
    try:
        check_signature(signed, unhex(signed.public_key))
    except (CheckpointRefused, ValueError) as error:
        raise NoCheckpoint(f"the checkpoint that was kept does not hold: {error}") from error
    return witness_of(signed)


def newest_reference(store: LedgerStore) -> str | None:
    """NUMBER:DIGEST of the newest checkpoint, whose signature is not checked; None before the first one. Raises
    LedgerUnavailable.
    """
    number = store.last_checkpoint_number()
    written = store.checkpoint(number)
    return None if written is None else f"{number}:{_signed_in(written).checkpoint.digest()}"


def witness_of(signed: SignedCheckpoint) -> WitnessCheckpoint:
    return WitnessCheckpoint(
        number=signed.checkpoint.number, digest=signed.checkpoint.digest(), signed=signed
    )


def _signed_in(content: bytes) -> SignedCheckpoint:
    try:
        return json_decoder(SignedCheckpoint).decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        return json_decoder(_LedgerDocument).decode(content).signed_checkpoint
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NoCheckpoint(
            "this is no checkpoint: give NUMBER:DIGEST as callbacks carry it, a checkpoint of the archive, or the "
            f"answer of GET /api/audit/ledger ({error})"
        ) from error


def findings_since(
    witness: WitnessCheckpoint,
    chain: Chain,
    store: LedgerStore,
    public_key: bytes,
    restores: Sequence[RecordedRestore] = (),
) -> list[Finding]:
    """Findings that the ledger does not extend the checkpoint that was kept. Raises LedgerUnavailable."""
    if witness.signed is not None and witness.signed.public_key != public_key.hex():
        return [
            _finding(
                "fork",
                f"checkpoint {witness.number} that was kept is signed by another key, {witness.signed.public_key}",
            )
        ]
    newest = chain.checkpoints[-1].checkpoint if chain.checkpoints else None
    if newest is None or newest.number < witness.number:
        return [_finding("rollback", _rolled_back(witness, newest))]
    own = next((one.checkpoint for one in chain.checkpoints if one.checkpoint.number == witness.number), None)
    if own is not None:
        if own.digest() == witness.digest:
            return _restored(own, newest, store, restores)
        return [_finding("fork", _forked(witness, own))]
    if witness.signed is None:
        detail = f"checkpoint {witness.number} is not there any more: its digest can be compared with nothing"
        return [_finding("checkpoint", detail)]
    return _not_extended(witness.signed.checkpoint, newest, store)


def _restored(
    own: Checkpoint, newest: Checkpoint, store: LedgerStore, restores: Sequence[RecordedRestore]
) -> list[Finding]:
    """Findings that a restore lost what a checkpoint of the ledger seals. The trees decide it: what the log says of the
    restore only explains it."""
    restore = next((one for one in restores if one.lost(own.number)), None)
    found = [] if restore is None else _not_extended(own, newest, store)
    if restore is None or not found or any(one.kind != "fork" for one in found):
        return found
    detail = f"checkpoint {own.number} that was kept seals what is lost: {lost_text(restore.report)}"
    first = next((one for one in restore.report.lost if one.lost), None)
    return [
        Finding(
            kind="restored",
            log=None if first is None else first.log,
            position=None if first is None else first.restored_position + 1,
            through=None if first is None else first.archived_position,
            detail=detail,
        )
    ]


def _rolled_back(witness: WitnessCheckpoint, newest: Checkpoint | None) -> str:
    made = "" if witness.at is None else f" of {witness.at.isoformat()}"
    if newest is None:
        return (
            f"checkpoint {witness.number}{made} was signed and kept, and this ledger has no checkpoint at all"
        )
    gone = ""
    if witness.signed is not None:
        missing = {
            head.log: head.size - newest.head_of(head.log).size for head in witness.signed.checkpoint.heads
        }
        gone = "".join(
            f"; {count} domain events of {log} are gone" for log, count in missing.items() if count > 0
        )
    return (
        f"checkpoint {witness.number}{made} was signed and kept, and the newest one of this ledger is {newest.number} "
        f"of {newest.at.isoformat()}: the ledger was rolled back{gone}"
    )


def _forked(witness: WitnessCheckpoint, own: Checkpoint) -> str:
    return (
        f"checkpoint {witness.number} of this ledger is another one than was kept: it has the digest {own.digest()}, "
        f"and the one that was kept {witness.digest}. Two histories were signed, or the ledger was rolled back and "
        "went on"
    )


def _not_extended(earlier: Checkpoint, newest: Checkpoint, store: LedgerStore) -> list[Finding]:
    """The logs of which the newest checkpoint does not extend the kept one, which the ledger has lost."""
    found = []
    for head in earlier.heads:
        later = newest.head_of(head.log)
        try:
            if later.size < head.size:
                raise ProofRefused(f"it has {later.size} domain events")
            if head.size and _root_before(store, later, head.size) != unhex(head.root):
                raise ProofRefused(f"its tree does not begin with that of {head.size} domain events")
        except _TableDamaged as error:
            detail = (
                f"that checkpoint {newest.number} extends checkpoint {earlier.number} cannot be proven from the table: "
                f"{error}"
            )
            found.append(Finding(kind="ledger-table", log=head.log, position=None, detail=detail))
        except ProofRefused as error:
            detail = (
                f"checkpoint {newest.number} does not extend checkpoint {earlier.number} that was kept: "
                f"{head.log}: {error}"
            )
            found.append(_finding("fork", detail))
    return found


class _TableDamaged(Exception):
    """The ledger's table is not what the newest checkpoint seals: it proves nothing about it."""


def _root_before(store: LedgerStore, later: LogHead, size: int) -> bytes:
    """The root over the first domain events of a sealed log, proven under its head. Raises _TableDamaged."""
    tree = StoredTree(store, later.log, later.size)
    try:
        root = tree.root_of_first(size)
        verify_consistency(size, root, later.size, unhex(later.root), tree.consistency_proof(size))
    except ProofRefused as error:
        raise _TableDamaged(str(error)) from error
    return root


def _finding(kind: FindingKind, detail: str) -> Finding:
    return Finding(kind=kind, log=None, position=None, detail=detail)
