"""Documents of settlements in memory."""

from hashlib import sha256
from uuid import UUID

from application.ports.settlement.documents import SettlementDocumentDamaged


class FakeSettlementDocuments:
    def __init__(self) -> None:
        self.stored: dict[tuple[UUID, str], bytes] = {}

    def add(self, dr_event_id: UUID, document: bytes, *, revision: int) -> str:
        digest = sha256(document).hexdigest()
        self.stored.setdefault((dr_event_id, digest), document)
        return digest

    def find(self, dr_event_id: UUID, digest: str) -> bytes | None:
        document = self.stored.get((dr_event_id, digest))
        if document is not None and sha256(document).hexdigest() != digest:
            raise SettlementDocumentDamaged(f"the document {digest} was changed after it was stored")
        return document
