"""The stored document of a revision, and what a settlement waits for while there is none."""

from application.ports.settlement.documents import SettlementDocuments
from application.settlement.document import read_document
from application.settlement.shapes import SettlementDocument
from projections.dr_event.projection import DREventRow, SettlementRow

WITHOUT_RULE = "no_rule"
_NO_DOCUMENT = {
    WITHOUT_RULE: "the program has no settlement rule: agree one with a currency in the portfolio file, import it, and "
    "settle again by the newest version",
    "cancelled_before_start": "it was cancelled before its start, and its program has no settlement rule",
}


class NotSettledYet(LookupError):
    """There is no document (then). The text says what is waited for."""


class RevisionNotFound(LookupError):
    """The settlement has no such revision (then)."""


class DocumentMissing(LookupError):
    """The log names a document that is not stored."""


def revision_in_force(dr_event: DREventRow, revision: int | None = None) -> SettlementRow:
    """The revision of that number; None: the one in force. Raises NotSettledYet or RevisionNotFound."""
    if not dr_event.settlements:
        raise NotSettledYet(f"DR event {dr_event.dr_event_id} is not settled yet: {waits_for(dr_event)}")
    if revision is None:
        return dr_event.settlements[-1]
    for one in dr_event.settlements:
        if one.revision == revision:
            return one
    newest = dr_event.settlements[-1].revision
    raise RevisionNotFound(f"there is no revision {revision} (then); the newest is {newest}, the first is 0")


def stored_document(documents: SettlementDocuments, dr_event: DREventRow, settlement: SettlementRow) -> bytes:
    """Raises NotSettledYet where a revision has no document, DocumentMissing, SettlementDocumentDamaged, or
    OperationsUnavailable."""
    if settlement.digest is None:
        why = " and ".join(_NO_DOCUMENT.get(one, one.replace("_", " ")) for one in settlement.reasons)
        raise NotSettledYet(f"DR event {dr_event.dr_event_id} is not settled: {why}")
    found = documents.find(dr_event.dr_event_id, settlement.digest)
    if found is None:
        raise DocumentMissing(
            f"the document of revision {settlement.revision} of DR event {dr_event.dr_event_id} is not stored; "
            "`gridproof audit verify` computes it again"
        )
    return found


def revision_before(
    documents: SettlementDocuments, dr_event: DREventRow, settlement: SettlementRow
) -> SettlementDocument | None:
    """The document of the revision before, if it has one. Raises as `stored_document`."""
    earlier = [one for one in dr_event.settlements if one.revision < settlement.revision]
    if not earlier or earlier[-1].digest is None:
        return None
    return read_document(stored_document(documents, dr_event, earlier[-1]))


def waits_for(dr_event: DREventRow) -> str:
    """The reason why a DR event has no settlement yet."""
    match dr_event.status:
        case "rejected":
            return "it was rejected, and never will be"
        case "completed" | "cancelled_while_active" if dr_event.measured_at is None:
            return "it waits until each of its facilities is measured, or known to be not measurable"
        case "completed" | "cancelled_while_active":
            return (
                "it is measured, and settled within a moment; if not, a price may be missing (the utility sends it "
                "with a PATCH), or the upgrade is not finished (`gridproof migrate --contract 0.2`)"
            )
        case "cancelled" if dr_event.starts_at is not None:
            return "it was cancelled before its start, which is settled within a moment"
        case "cancelled":
            return "it was cancelled before it was ever accepted, and never will be"
        case "recovering":
            return "it waits for its buildings to be restored, and then for their measurement"
    ends_at = "" if dr_event.ends_at is None else f" at {dr_event.ends_at:%Y-%m-%d %H:%MZ}"
    return f"it is {dr_event.status}; it waits for its end{ends_at}, and then for the measurement of its facilities"
