"""Inclusion proofs: a document that proves that domain events are in a log as they were when it was sealed.

To check a proof one needs the document and the trusted public key, but no database and no archive.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from application.ledger.checkpoints import (
    CheckpointRefused,
    SignedCheckpoint,
    check_signature,
    read_checkpoint,
)
from application.ports.ledger.store import LedgerStore
from domain.event_sourcing.json_decoders import json_decoder
from domain.ledger.entries import DEMAND_RESPONSE, LogRow, hashes_of, positions_of, unhex
from domain.ledger.merkle import HashTree, ProofRefused, verify_inclusion


class NotProvable(Exception):
    """No proof can be made. The text says why, and what to do."""


class NothingSealed(NotProvable):
    """There is no checkpoint yet."""


class ProofBroken(ValueError):
    """The document does not prove its claim. The text names the first error."""


class ProvenRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A domain event as stored, and its inclusion path in the tree."""

    position: int
    originator_id: UUID
    originator_version: int
    topic: str
    state: str
    """Its JSON document as stored; one that is not UTF-8 in base64, after `base64:`."""
    leaf_index: int
    path: tuple[str, ...]

    def row(self) -> LogRow:
        """Raises ValueError for an invalid state."""
        state = self.state.encode()
        if self.state.startswith(_BASE64):
            state = base64.b64decode(self.state[len(_BASE64) :], validate=True)
            if _as_text(state) != self.state:
                raise ValueError("a state is in base64 only if it is no UTF-8, and in one way only")
        return LogRow(
            position=self.position,
            originator_id=self.originator_id,
            originator_version=self.originator_version,
            topic=self.topic,
            state=state,
        )


class ProofDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The document of `gridproof audit prove`, in a canonical form."""

    format: Literal["gridproof-audit-proof.v1"] = "gridproof-audit-proof.v1"
    dr_event_id: UUID
    log: Literal["demand-response"] = "demand-response"
    signed_checkpoint: SignedCheckpoint
    domain_events: tuple[ProvenRow, ...]

    def written(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


class VerifiedProof(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a valid proof."""

    dr_event_id: UUID
    domain_events: int
    checkpoint: int
    sealed_at: datetime
    public_key: str
    key_was_given: bool
    """Otherwise the key is from the document: compare it with the one that the operator has published."""


_BASE64 = "base64:"


def prove(
    store: LedgerStore,
    public_key: bytes | Callable[[], bytes],
    dr_event_id: UUID,
    positions: Sequence[int],
) -> ProofDocument:
    """A proof of those domain events at `positions` that the newest checkpoint covers. Raises NotProvable."""
    signed = latest_checkpoint(store, public_key)
    head = signed.checkpoint.head_of(DEMAND_RESPONSE)
    sealed = [position for position in positions if position <= head.last_position]
    if not sealed:
        raise NotProvable(
            f"no domain event of {dr_event_id} is sealed yet; a checkpoint is made every few seconds while "
            "`gridproof worker project` runs"
        )
    entries = store.entries(DEMAND_RESPONSE, 0, head.size)
    tree = HashTree(hashes_of(entries))
    if tree.size != head.size or tree.root().hex() != head.root:
        raise NotProvable("the ledger's table is not what was signed; see `gridproof audit verify`")
    index_of = {int(position): index for index, position in enumerate(positions_of(entries))}
    rows = store.rows(DEMAND_RESPONSE, sealed)
    document = ProofDocument(
        dr_event_id=dr_event_id,
        signed_checkpoint=signed,
        domain_events=tuple(_proven(row, index_of.get(row.position, -1), tree) for row in rows),
    )
    try:
        check_document(document, bytes.fromhex(signed.public_key))  # the key that was passed in
    except ProofBroken as error:
        raise NotProvable(f"the log is not what was signed: {error}; see `gridproof audit verify`") from error
    return document


def latest_checkpoint(store: LedgerStore, public_key: bytes | Callable[[], bytes]) -> SignedCheckpoint:
    """The newest checkpoint. Raises NotProvable; NothingSealed before `public_key` is called."""
    number = store.last_checkpoint_number()
    written = store.checkpoint(number)
    if written is None:
        raise NothingSealed("nothing is sealed yet; does `gridproof worker project` run?")
    try:
        return read_checkpoint(
            written, public_key if isinstance(public_key, bytes) else public_key(), number=number
        )
    except CheckpointRefused as error:
        raise NotProvable(f"checkpoint {number}: {error}; see `gridproof audit verify`") from error


def _proven(row: LogRow, index: int, tree: HashTree) -> ProvenRow:
    if index < 0:
        raise NotProvable(f"position {row.position} was never sealed; see `gridproof audit verify`")
    return ProvenRow(
        position=row.position,
        originator_id=row.originator_id,
        originator_version=row.originator_version,
        topic=row.topic,
        state=_as_text(row.state),
        leaf_index=index,
        path=tuple(sibling.hex() for sibling in tree.inclusion_proof(index)),
    )


def _as_text(state: bytes) -> str:
    try:
        return state.decode()
    except UnicodeDecodeError:
        return _BASE64 + base64.b64encode(state).decode()


def check_proof(written: bytes, public_key: bytes | None = None) -> VerifiedProof:
    """Check a document byte for byte. Raises ProofBroken."""
    try:
        document = json_decoder(ProofDocument).decode(written)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProofBroken(f"this is no proof: {error}") from error
    if document.written() != written:
        raise ProofBroken("this is not in the canonical form of a proof: it was changed")
    return check_document(document, public_key)


def check_document(document: ProofDocument, public_key: bytes | None = None) -> VerifiedProof:
    """Raises ProofBroken."""
    signed = document.signed_checkpoint
    try:
        check_signature(signed, public_key or unhex(signed.public_key))
    except (CheckpointRefused, ValueError) as error:
        raise ProofBroken(f"the checkpoint does not hold: {error}") from error
    head = signed.checkpoint.head_of(DEMAND_RESPONSE)
    for proven in document.domain_events:
        try:
            path = [unhex(sibling) for sibling in proven.path]
            leaf = proven.row().leaf()
            verify_inclusion(leaf, proven.leaf_index, head.size, path, unhex(head.root))
        except (ProofRefused, ValueError, OverflowError) as error:
            raise ProofBroken(
                f"the domain event at position {proven.position} ({proven.topic}) is not what was sealed: {error}"
            ) from error
    _check_whole(document.dr_event_id, document.domain_events)
    return VerifiedProof(
        dr_event_id=document.dr_event_id,
        domain_events=len(document.domain_events),
        checkpoint=signed.checkpoint.number,
        sealed_at=signed.checkpoint.at,
        public_key=signed.public_key,
        key_was_given=public_key is not None,
    )


def _check_whole(dr_event_id: UUID, rows: Iterable[ProvenRow]) -> None:
    """Check that the DR event's own stream is complete from its first version, and that positions rise."""
    versions: defaultdict[UUID, list[int]] = defaultdict(list)
    last: int | None = None
    for row in rows:
        if last is not None and row.position <= last:
            raise ProofBroken(f"the domain event at position {row.position} is out of order")
        last = row.position
        versions[row.originator_id].append(row.originator_version)
    own = versions.get(dr_event_id, [])
    if not own:
        raise ProofBroken(f"no domain event of {dr_event_id} itself is in it")
    if own != list(range(1, len(own) + 1)):
        raise ProofBroken(f"domain events of {dr_event_id} are missing: it has the versions {own}")
