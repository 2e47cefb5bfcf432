"""Which documents of settlements a proof has."""

from uuid import UUID

from application.ledger.proof_settlements import TOO_LARGE, WantedDocument, read_documents
from tests.fakes.settlement.documents import FakeSettlementDocuments
from tests.sample_values import DR_EVENT_ID


class CountedDocuments(FakeSettlementDocuments):
    """Counts what is read."""

    reads = 0

    def find(self, dr_event_id: UUID, digest: str) -> bytes | None:
        self.reads += 1
        return super().find(dr_event_id, digest)


def test_once_the_newest_documents_are_too_large_together_no_further_one_is_read() -> None:
    documents = CountedDocuments()
    wanted = [
        WantedDocument(number, documents.add(DR_EVENT_ID, b"%03d" % number, revision=number))
        for number in range(50)
    ]
    found = read_documents(documents, DR_EVENT_ID, wanted, most_bytes=7)
    assert [one.revision for one in found] == list(range(50))
    assert [one.document for one in found[-2:]] == ["048", "049"]
    assert {(one.document, one.left_out) for one in found[:-2]} == {("", TOO_LARGE)}
    assert documents.reads == 3
