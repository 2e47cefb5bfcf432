"""The documents of settlements in a proof: one for each revision that the log records with a digest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias
from uuid import UUID

import msgspec

from application.ports.settlement.documents import SettlementDocumentDamaged, SettlementDocuments
from domain.dr_event import DREvent

Settlement: TypeAlias = DREvent.Settled | DREvent.Resettled
NOT_STORED = "it is not stored any more"
DAMAGED = "the stored one is not what was recorded; `gridproof audit verify` names it"
TOO_LARGE = "left out for its size: `gridproof audit prove` writes it"
REASONS = frozenset({NOT_STORED, DAMAGED, TOO_LARGE})


class WantedDocument(NamedTuple):
    """A document that the log names."""

    revision: int
    digest: str


class ProvenSettlement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The document of one revision. It is not sealed by itself: the domain event of the revision has its digest."""

    revision: int
    document: str
    """Its JSON as stored."""
    left_out: str = ""
    """Why there is none."""


DocumentSource = Callable[[Sequence[WantedDocument]], Sequence[ProvenSettlement]]


def no_documents(_wanted: Sequence[WantedDocument]) -> Sequence[ProvenSettlement]:
    return ()


def revision_of(recorded: Settlement) -> int:
    return recorded.revision if isinstance(recorded, DREvent.Resettled) else 0


def wanted_documents(recorded: Iterable[Settlement]) -> list[WantedDocument]:
    """In the order of the revisions; one that was not computed by a rule has none."""
    return [
        WantedDocument(revision_of(one), one.figures.digest)
        for one in recorded
        if one.figures.digest is not None
    ]


def read_documents(
    documents: SettlementDocuments, dr_event_id: UUID, wanted: Sequence[WantedDocument], *, most_bytes: int
) -> list[ProvenSettlement]:
    """In the order of the revisions; the newest ones up to `most_bytes` together, and none is read after that is
    exceeded: there may be dozens. Raises OperationsUnavailable."""
    found: list[ProvenSettlement] = []
    left = most_bytes
    for one in reversed(wanted):
        stored, left_out = _stored(documents, dr_event_id, one) if left > 0 else (b"", TOO_LARGE)
        left -= len(stored)
        if left < 0:
            stored, left_out = b"", TOO_LARGE
        found.append(ProvenSettlement(revision=one.revision, document=stored.decode(), left_out=left_out))
    return found[::-1]


def _stored(documents: SettlementDocuments, dr_event_id: UUID, wanted: WantedDocument) -> tuple[bytes, str]:
    """The document, or why there is none."""
    try:
        stored = documents.find(dr_event_id, wanted.digest)
    except SettlementDocumentDamaged:
        return b"", DAMAGED
    return (b"", NOT_STORED) if stored is None else (stored, "")
