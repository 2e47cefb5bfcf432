"""Documents of settlements that are lost: they follow from the log, revision by revision, with the same digest."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
from eventsourcing.utils import get_topic

from application.ports.settlement.documents import SettlementDocumentDamaged, SettlementDocuments
from application.settlement.document import canonical_bytes, digest_of, read_document
from application.settlement.log_states import SettlementLog, StatesInLog
from application.settlement.resettled import resettled_document
from application.settlement.shapes import SettlementDocument
from application.settlement.verification import EARLIER_STATES, SettlementFinding, document_at
from domain.dr_event import DREvent, SettlementFigures

TOPICS = (get_topic(DREvent.Settled), get_topic(DREvent.Resettled))


def restore_documents(
    log: SettlementLog, documents: SettlementDocuments, findings: Sequence[SettlementFinding]
) -> int:
    """Store the missing documents among `findings` again; the number of those that follow from the log with the digest
    that the log has. A row that was changed stays: only the owner of the table can remove it."""
    missing = {one.dr_event_id for one in findings if one.kind == "document"}
    return sum(_restored(log, documents, one) for one in sorted(missing))


def _restored(log: SettlementLog, documents: SettlementDocuments, dr_event_id: UUID) -> int:
    states, count = StatesInLog.of(log, dr_event_id), 0
    previous: SettlementDocument | None = None
    for revision, entry in enumerate(log.entries_of([dr_event_id], topics=TOPICS)):
        fact = entry.domain_event
        if not isinstance(fact, DREvent.Settled | DREvent.Resettled) or fact.figures.digest is None:
            previous = None
            continue
        stored = _stored(documents, dr_event_id, fact.figures.digest)
        if stored is None:
            stored = _document(states, entry.position, fact.figures, revision, previous)
            if stored is not None:
                documents.add(dr_event_id, canonical_bytes(stored), revision=revision)
                count += _stored(documents, dr_event_id, fact.figures.digest) is not None
        previous = stored
    return count


def _stored(documents: SettlementDocuments, dr_event_id: UUID, digest: str) -> SettlementDocument | None:
    try:
        written = documents.find(dr_event_id, digest)
    except SettlementDocumentDamaged:
        return None
    return None if written is None else read_document(written)


def _document(
    states: StatesInLog,
    position: int,
    figures: SettlementFigures,
    revision: int,
    previous: SettlementDocument | None,
) -> SettlementDocument | None:
    """The document of that digest; None: this release computes or writes another one."""
    for until in states.moments_before(position, EARLIER_STATES):
        found = document_at(states, until, figures)
        if found is not None and previous is not None:
            found = resettled_document(previous, found)
        elif found is not None:
            found = msgspec.structs.replace(found, revision=revision)
        if found is not None and digest_of(found) == figures.digest:
            return found
    return None
