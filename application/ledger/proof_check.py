"""Checks of a proof: every domain event in it was sealed as it is, and none of its streams lacks any."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cached_property
from uuid import UUID

import msgspec

from application.ledger.checkpoints import (
    CheckpointRefused,
    another_before,
    check_signature,
    wrong_successor,
)
from application.ledger.proof_document import (
    ProofBroken,
    ProofDocument,
    ProvenHead,
    ProvenRow,
    read_proof,
)
from application.ledger.proof_measurements import DecodedRow
from application.ledger.witness import WitnessCheckpoint
from domain.dr_event import DREvent
from domain.facility import OF_DR_EVENT
from domain.identifiers import dispatch_id, dr_event_id, facility_stream_id, program_stream_id
from domain.ledger.entries import DEMAND_RESPONSE, Checkpoint, unhex
from domain.ledger.merkle import ProofRefused, verify_inclusion


class VerifiedProof(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a valid proof."""

    dr_event_id: UUID
    domain_events: int
    dispatches: int
    """Facilities that its plans name."""
    checkpoint: int
    sealed_at: datetime
    public_key: str
    key_was_given: bool
    """Otherwise the key is from the document: compare it with the one that the operator has published."""


class NamedStreams(msgspec.Struct, frozen=True):
    """The streams that the domain events of a DR event name."""

    programs: dict[UUID, str]
    """Stream -> program, of every notice that was accepted."""
    dispatches: dict[UUID, str]
    """Stream -> facility, of every facility that a plan names."""
    facilities: dict[UUID, str]
    """Stream -> facility, of every facility that a notice or a plan names."""

    def whole(self, dr_event_id: UUID) -> list[UUID]:
        """The streams of which a proof has every domain event, in its order."""
        return [dr_event_id, *self.programs, *self.dispatches]

    def name_of(self, stream_id: UUID) -> str:
        if stream_id in self.programs:
            return f"program {self.programs[stream_id]}"
        if stream_id in self.dispatches:
            return f"the dispatch of {self.dispatches[stream_id]}"
        return f"DR event {stream_id}"


def named_streams(dr_event_id: UUID, own: Iterable[DecodedRow]) -> NamedStreams:
    """The streams by the domain events of the DR event's own one. Raises ProofBroken for one that this release cannot
    read."""
    programs: set[str] = set()
    planned: set[str] = set()
    named: set[str] = set()
    for row in own:
        match row.domain_event:
            case DREvent.Accepted() | DREvent.Modified() as e:
                programs.add(e.notice.program_id)
                named.update(e.notice.facility_ids)
            case (
                DREvent.Rejected() | DREvent.ModificationRefused() as e
            ):  # may name another utility's program
                named.update(e.notice.facility_ids)
            case DREvent.Scheduled() | DREvent.Replanned() as e:
                planned.update(target.facility_id for target in e.targets)
            case _:
                pass
    return NamedStreams(
        programs={program_stream_id(program_id): program_id for program_id in sorted(programs)},
        dispatches={dispatch_id(dr_event_id, facility_id): facility_id for facility_id in sorted(planned)},
        facilities={facility_stream_id(facility_id): facility_id for facility_id in sorted(named | planned)},
    )


class CheckedProof(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A proof that holds. Whoever looks at its domain events takes them from here: each is decoded once."""

    document: ProofDocument
    rows: tuple[DecodedRow, ...]
    seals: tuple[DecodedRow, ...]
    key_was_given: bool

    @property
    def dr_event_id(self) -> UUID:
        return self.document.dr_event_id

    @cached_property
    def own(self) -> tuple[DecodedRow, ...]:
        """The rows of the DR event's own stream."""
        return tuple(row for row in self.rows if row.originator_id == self.dr_event_id)

    @cached_property
    def named(self) -> NamedStreams:
        """The streams that the DR event names. Raises ProofBroken for a domain event that cannot be read."""
        return named_streams(self.dr_event_id, self.own)

    @property
    def verified(self) -> VerifiedProof:
        signed = self.document.signed_checkpoint
        return VerifiedProof(
            dr_event_id=self.dr_event_id,
            domain_events=len(self.rows),
            dispatches=len(self.named.dispatches),
            checkpoint=signed.checkpoint.number,
            sealed_at=signed.checkpoint.at,
            public_key=signed.public_key,
            key_was_given=self.key_was_given,
        )


def check_proof(
    written: bytes, public_key: bytes | None = None, witness: WitnessCheckpoint | None = None
) -> CheckedProof:
    """Check a document byte for byte, and that it is not older than a checkpoint that was kept. Raises ProofBroken."""
    document = read_proof(written)
    if witness is not None:
        _check_witness(document, witness)
    return check_document(document, public_key)


def _check_witness(document: ProofDocument, witness: WitnessCheckpoint) -> None:
    signed = document.signed_checkpoint
    own = signed.checkpoint
    if own.number < witness.number:
        raise ProofBroken(
            f"it is as of checkpoint {own.number}, and checkpoint {witness.number} was kept: it says nothing of what "
            "was sealed between them; ask for a new proof"
        )
    if own.number == witness.number and own.digest() != witness.digest:
        raise ProofBroken(
            f"its checkpoint {own.number} has the digest {own.digest()}, and the one that was kept {witness.digest}: "
            "two histories were signed, or the ledger was rolled back"
        )
    kept = witness.signed
    if kept is not None and kept.public_key != signed.public_key:
        raise ProofBroken("it is signed by another key than the checkpoint that was kept")
    wrong = (
        another_before(own, witness.number, witness.digest)
        if kept is None
        else wrong_successor(kept.checkpoint, own)
    )
    if wrong:
        raise ProofBroken(
            f"its checkpoint {own.number} cannot extend checkpoint {witness.number} that was kept: {wrong}; two "
            "histories were signed, or the ledger was rolled back or restored from a backup"
        )


def check_document(document: ProofDocument, public_key: bytes | None = None) -> CheckedProof:
    """Raises ProofBroken."""
    signed = document.signed_checkpoint
    try:
        check_signature(signed, public_key or unhex(signed.public_key))
    except (CheckpointRefused, ValueError) as error:
        raise ProofBroken(f"the checkpoint does not hold: {error}") from error
    rows = _checked_rows(document.domain_events, signed.checkpoint)
    _check_own(document)
    proof = CheckedProof(
        document=document,
        rows=rows,
        seals=_checked_rows(document.seals, signed.checkpoint),
        key_was_given=public_key is not None,
    )
    _check_complete(proof)
    return proof


def _checked_rows(rows: Sequence[ProvenRow], checkpoint: Checkpoint) -> tuple[DecodedRow, ...]:
    """The rows of the log. Raises ProofBroken unless each was sealed as it is, and their positions rise."""
    head = checkpoint.head_of(DEMAND_RESPONSE)
    last: int | None = None
    checked: list[DecodedRow] = []
    for proven in rows:
        try:
            path = [unhex(sibling) for sibling in proven.path]
            row = proven.row()
            verify_inclusion(row.leaf(), proven.leaf_index, head.size, path, unhex(head.root))
        except (ProofRefused, ValueError, OverflowError) as error:
            raise ProofBroken(
                f"the domain event at position {proven.position} ({proven.topic}) is not what was sealed: {error}"
            ) from error
        if last is not None and proven.position <= last:
            raise ProofBroken(f"the domain event at position {proven.position} is out of order")
        last = proven.position
        checked.append(DecodedRow(row))
    return tuple(checked)


def _check_own(document: ProofDocument) -> None:
    """The domain events of the DR event itself have no gap."""
    own = _versions(document.domain_events)[document.dr_event_id]
    if not own:
        raise ProofBroken(f"no domain event of {document.dr_event_id} itself is in it")
    if own != list(range(1, len(own) + 1)):
        raise ProofBroken(f"domain events of {document.dr_event_id} are missing: it has the versions {own}")


def _versions(rows: Iterable[ProvenRow]) -> defaultdict[UUID, list[int]]:
    versions: defaultdict[UUID, list[int]] = defaultdict(list)
    for row in rows:
        versions[row.originator_id].append(row.originator_version)
    return versions


def _check_complete(proof: CheckedProof) -> None:
    """Every stream that the DR event names is there up to its last version. Raises ProofBroken."""
    document = proof.document
    checkpoint = document.signed_checkpoint.checkpoint
    _check_id(proof)
    heads = {head.stream_id: head for head in document.heads}
    versions = _versions(document.domain_events)
    _check_head(heads, f"DR event {document.dr_event_id}", document.dr_event_id, versions, checkpoint)
    streams = proof.named
    wanted = streams.whole(document.dr_event_id)
    for stream_id in wanted[1:]:
        _check_head(heads, streams.name_of(stream_id), stream_id, versions, checkpoint)
    if [head.stream_id for head in document.heads] != wanted:
        raise ProofBroken("its heads are not those of the streams that the DR event names")
    for row in proof.rows:
        if row.originator_id not in heads and not _is_of_facility(row, document.dr_event_id, streams):
            raise ProofBroken(f"the domain event at position {row.position} does not belong to the DR event")


def _check_id(proof: CheckedProof) -> None:
    """The id follows from the utility and its id for the DR event, so that one has only one story."""
    opened = proof.own[0].domain_event
    if not isinstance(opened, DREvent.Opened) or proof.dr_event_id != dr_event_id(
        opened.utility_id, opened.utility_event_id
    ):
        raise ProofBroken(
            f"{proof.dr_event_id} is not the id of the DR event that its first domain event opens: another stream may "
            "tell the story of that DR event otherwise"
        )


def _check_head(
    heads: dict[UUID, ProvenHead],
    name: str,
    stream_id: UUID,
    versions: defaultdict[UUID, list[int]],
    checkpoint: Checkpoint,
) -> None:
    head = heads.get(stream_id)
    if head is None:
        raise ProofBroken(f"the last version of {name} is missing")
    try:
        head.check(checkpoint.stream_map.root)
    except (ProofRefused, ValueError, OverflowError) as error:
        raise ProofBroken(f"the last version of {name} is not what was sealed: {error}") from error
    own = versions[stream_id]
    if len(own) != head.version or own != list(range(1, len(own) + 1)):
        raise ProofBroken(
            f"domain events of {name} are missing: {head.version} were sealed, and it has the versions {own}"
        )


def _is_of_facility(row: DecodedRow, dr_event_id: UUID, streams: NamedStreams) -> bool:
    """True if it is a facility's domain event that concerns this DR event."""
    if row.originator_id not in streams.facilities:
        return False
    domain_event = row.domain_event
    return isinstance(domain_event, OF_DR_EVENT) and domain_event.dr_event_id == dr_event_id
