"""Checks of a proof: every domain event in it was sealed as it is, and none of its streams lacks any."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from application.ledger.checkpoints import CheckpointRefused, check_signature
from application.ledger.proof_document import (
    AnyProof,
    ProofBroken,
    ProofDocumentV2,
    ProofDocumentV3,
    ProvenHead,
    ProvenRow,
    read_proof,
)
from application.ledger.proof_measurements import decoded_row
from application.ledger.witness import WitnessCheckpoint
from domain.dr_event import DREvent
from domain.facility import OF_DR_EVENT
from domain.identifiers import dispatch_id, facility_stream_id, program_stream_id
from domain.ledger.entries import DEMAND_RESPONSE, CheckpointV1, CheckpointV2, LogRow, unhex
from domain.ledger.merkle import ProofRefused, verify_inclusion


class VerifiedProof(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a valid proof."""

    dr_event_id: UUID
    domain_events: int
    dispatches: int | None
    """Facilities that its plans name; None where the proof cannot tell."""
    complete: bool
    """Whether nothing of the DR event, its dispatches and its program up to the checkpoint can be missing. A proof of
    version 1 may lack newer domain events and whole buildings."""
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
        """Those of which a proof has every domain event, in its order."""
        return [dr_event_id, *self.programs, *self.dispatches]

    def name_of(self, stream_id: UUID) -> str:
        if stream_id in self.programs:
            return f"program {self.programs[stream_id]}"
        if stream_id in self.dispatches:
            return f"the dispatch of {self.dispatches[stream_id]}"
        return f"DR event {stream_id}"


def named_streams(dr_event_id: UUID, own: Iterable[LogRow]) -> NamedStreams:
    """From the domain events of the DR event's own stream. Raises ProofBroken for one that this release cannot read."""
    programs: set[str] = set()
    planned: set[str] = set()
    named: set[str] = set()
    for row in own:
        match decoded_row(row):
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
        programs={program_stream_id(one): one for one in sorted(programs)},
        dispatches={dispatch_id(dr_event_id, one): one for one in sorted(planned)},
        facilities={facility_stream_id(one): one for one in sorted(named | planned)},
    )


def check_proof(
    written: bytes, public_key: bytes | None = None, witness: WitnessCheckpoint | None = None
) -> VerifiedProof:
    """Check a document byte for byte, and that it is not older than a checkpoint that was kept. Raises ProofBroken."""
    document = read_proof(written)
    if witness is not None:
        _check_witness(document, witness)
    return check_document(document, public_key)


def _check_witness(document: AnyProof, witness: WitnessCheckpoint) -> None:
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
    if witness.signed is not None and witness.signed.public_key != signed.public_key:
        raise ProofBroken("it is signed by another key than the checkpoint that was kept")


def check_document(document: AnyProof, public_key: bytes | None = None) -> VerifiedProof:
    """Raises ProofBroken."""
    signed = document.signed_checkpoint
    try:
        check_signature(signed, public_key or unhex(signed.public_key))
    except (CheckpointRefused, ValueError) as error:
        raise ProofBroken(f"the checkpoint does not hold: {error}") from error
    _check_rows(document.domain_events, signed.checkpoint)
    _check_own(document)
    if isinstance(document, ProofDocumentV3):
        _check_rows(document.seals, signed.checkpoint)
    dispatches: int | None = None
    if isinstance(document, ProofDocumentV2):
        dispatches = _check_complete(document)
    elif isinstance(signed.checkpoint, CheckpointV2):
        raise ProofBroken(
            "its checkpoint seals the map of streams, and the proof says nothing of it: ask for a proof of version 2"
        )
    return VerifiedProof(
        dr_event_id=document.dr_event_id,
        domain_events=len(document.domain_events),
        dispatches=dispatches,
        complete=isinstance(document, ProofDocumentV2),
        checkpoint=signed.checkpoint.number,
        sealed_at=signed.checkpoint.at,
        public_key=signed.public_key,
        key_was_given=public_key is not None,
    )


def _check_rows(rows: Sequence[ProvenRow], checkpoint: CheckpointV1 | CheckpointV2) -> None:
    """Each domain event was sealed as it is, and their positions rise."""
    head = checkpoint.head_of(DEMAND_RESPONSE)
    last: int | None = None
    for proven in rows:
        try:
            path = [unhex(sibling) for sibling in proven.path]
            leaf = proven.row().leaf()
            verify_inclusion(leaf, proven.leaf_index, head.size, path, unhex(head.root))
        except (ProofRefused, ValueError, OverflowError) as error:
            raise ProofBroken(
                f"the domain event at position {proven.position} ({proven.topic}) is not what was sealed: {error}"
            ) from error
        if last is not None and proven.position <= last:
            raise ProofBroken(f"the domain event at position {proven.position} is out of order")
        last = proven.position


def _check_own(document: AnyProof) -> None:
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


def _check_complete(document: ProofDocumentV2) -> int:
    """Every stream that the DR event names is there up to its last version. Returns the number of dispatches."""
    checkpoint = document.signed_checkpoint.checkpoint
    if not isinstance(checkpoint, CheckpointV2):
        raise ProofBroken("its checkpoint seals no map of streams, so nothing says which domain events exist")
    own = [row.row() for row in document.domain_events if row.originator_id == document.dr_event_id]
    heads = {head.stream_id: head for head in document.heads}
    versions = _versions(document.domain_events)
    _check_head(heads, f"DR event {document.dr_event_id}", document.dr_event_id, versions, checkpoint)
    streams = named_streams(document.dr_event_id, own)
    wanted = streams.whole(document.dr_event_id)
    for stream_id in wanted[1:]:
        _check_head(heads, streams.name_of(stream_id), stream_id, versions, checkpoint)
    if [head.stream_id for head in document.heads] != wanted:
        raise ProofBroken("its heads are not those of the streams that the DR event names")
    for row in document.domain_events:
        if row.originator_id not in heads and not _is_of_facility(row.row(), document.dr_event_id, streams):
            raise ProofBroken(f"the domain event at position {row.position} does not belong to the DR event")
    return len(streams.dispatches)


def _check_head(
    heads: dict[UUID, ProvenHead],
    name: str,
    stream_id: UUID,
    versions: defaultdict[UUID, list[int]],
    checkpoint: CheckpointV2,
) -> None:
    head = heads.get(stream_id)
    if head is None:
        raise ProofBroken(f"the last version of {name} is missing")
    try:
        head.check(checkpoint.stream_map.root)
    except (ProofRefused, ValueError, OverflowError) as error:
        raise ProofBroken(f"the last version of {name} is not what was sealed: {error}") from error
    found = versions[stream_id]
    if len(found) != head.version or found != list(range(1, len(found) + 1)):
        raise ProofBroken(
            f"domain events of {name} are missing: {head.version} were sealed, and it has the versions {found}"
        )


def _is_of_facility(row: LogRow, dr_event_id: UUID, streams: NamedStreams) -> bool:
    """Whether it is a facility's domain event that concerns this DR event."""
    if row.originator_id not in streams.facilities:
        return False
    domain_event = decoded_row(row)
    return isinstance(domain_event, OF_DR_EVENT) and domain_event.dr_event_id == dr_event_id
