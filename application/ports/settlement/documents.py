"""The documents of settlements, beside the log that holds their digests."""

from typing import Protocol
from uuid import UUID


class SettlementDocumentDamaged(Exception):
    """A stored document has another digest than the one that it was stored under: it was changed afterwards."""


class SettlementDocuments(Protocol):
    """Documents by DR event and digest (synchronous). None is changed or removed."""

    def add(self, dr_event_id: UUID, document: bytes, *, revision: int) -> str:
        """Store a document under its digest, SHA-256 (hex); one that is stored already is left as it is. It is stored
        before the domain event that names it: after a crash in between, a document remains that nothing names.

        Raises OperationsUnavailable.
        """
        ...

    def find(self, dr_event_id: UUID, digest: str) -> bytes | None:
        """The document of that digest; None: it is not stored. Raises SettlementDocumentDamaged or
        OperationsUnavailable."""
        ...
