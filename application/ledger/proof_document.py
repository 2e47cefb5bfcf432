"""The file of `gridproof audit prove`, in a canonical form.

To check it one needs the file and the trusted public key, but no database and no archive.
"""

from __future__ import annotations

import base64
from typing import Literal
from uuid import UUID

import msgspec

from application.ledger.checkpoints import SignedCheckpoint
from application.ledger.proof_readings import ProvenReadings
from application.ledger.proof_settlements import ProvenSettlement
from domain.event_sourcing.decoders import json_decoder
from domain.ledger.entries import LogRow, unhex
from domain.ledger.map_pages import MapWay
from domain.ledger.stream_map import check_head


class ProofBroken(ValueError):
    """The document does not prove its claim. The text names the first error."""


_BASE64 = "base64:"


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

    @classmethod
    def of(cls, row: LogRow, index: int, path: tuple[bytes, ...]) -> ProvenRow:
        return cls(
            position=row.position,
            originator_id=row.originator_id,
            originator_version=row.originator_version,
            topic=row.topic,
            state=_as_text(row.state),
            leaf_index=index,
            path=tuple(sibling.hex() for sibling in path),
        )

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


def _as_text(state: bytes) -> str:
    try:
        return state.decode()
    except UnicodeDecodeError:
        return _BASE64 + base64.b64encode(state).decode()


class OtherStream(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The stream that the map has where another one would be."""

    stream_id: UUID
    version: int


class ProvenHead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The last version of a stream, and its path in the map of streams (domain/ledger/stream_map.py)."""

    stream_id: UUID
    version: int
    """0: there is no such stream."""
    path: tuple[tuple[int, str], ...]
    """From the leaf up: the depth of the node, and the hash on its other side."""
    other: OtherStream | None
    """With version 0, the leaf at which the path ends."""

    @classmethod
    def of(cls, stream_id: UUID, way: MapWay) -> ProvenHead:
        is_there = way.leaf is not None and way.leaf[0] == stream_id.bytes
        version = way.leaf[1] if way.leaf is not None and is_there else 0
        other = None
        if way.leaf is not None and not is_there:
            other = OtherStream(stream_id=UUID(bytes=way.leaf[0]), version=way.leaf[1])
        path = tuple((depth, sibling.hex()) for depth, sibling in way.path)
        return cls(stream_id=stream_id, version=version, path=path, other=other)

    def check(self, root: str) -> None:
        """Raises ValueError, of which ProofRefused is one, unless the map with that root says so."""
        other = None if self.other is None else (self.other.stream_id.bytes, self.other.version)
        path = [(depth, unhex(sibling)) for depth, sibling in self.path]
        check_head(unhex(root), self.stream_id.bytes, self.version, path, other)


class ProofDocument(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="format",
    tag="gridproof-audit-proof.v4",
):
    """A proof of a DR event: none of the domain events of the streams in `heads`, up to the checkpoint, is missing.

    The domain events of facilities are not claimed to be complete.
    """

    dr_event_id: UUID
    log: Literal["demand-response"] = "demand-response"
    signed_checkpoint: SignedCheckpoint
    domain_events: tuple[ProvenRow, ...]
    heads: tuple[ProvenHead, ...]
    """The last version of each stream that the DR event names: its own first, then its programs and the dispatches of
    its plans."""
    readings: tuple[ProvenReadings, ...]
    """The readings that its measurements used, from which they are computed again: one for each facility that was
    measured, in the order of their ids."""
    seals: tuple[ProvenRow, ...]
    """Domain events that seal days of these readings. They are not claimed to be complete."""
    settlements: tuple[ProvenSettlement, ...]
    """The documents of its settlements, which are computed again: one for each revision that was recorded with a
    digest, in their order."""

    def written(self) -> bytes:
        return msgspec.json.encode(self) + b"\n"  # thousands of values: not one on each line


def read_proof(written: bytes) -> ProofDocument:
    """Raises ProofBroken unless it is a proof in its canonical form."""
    decoder: msgspec.json.Decoder[ProofDocument] = json_decoder(ProofDocument)
    try:
        document = decoder.decode(written)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProofBroken(f"this is no proof that this release knows: {error}") from error
    if document.written() != written:
        raise ProofBroken("this is not in the canonical form of a proof: it was changed")
    return document
