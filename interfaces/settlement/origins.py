"""The domain events that recorded what a settlement follows from, for its statement."""

from datetime import datetime
from uuid import UUID

from eventsourcing.utils import get_topic
from msgspec.structs import replace

from application.settlement.shapes import SettlementDocument
from domain.dr_event import DREvent
from domain.identifiers import program_stream_id
from domain.program import Program
from projections.audit.stream_log import StreamLog

MEASUREMENT_PATH = "/api/dr-events/{}/measurements/{{}}"


def measurement_path(dr_event_id: UUID) -> str:
    """Address of how a facility was measured, with `{}` for its id."""
    return MEASUREMENT_PATH.format(dr_event_id)


def with_origins(log: StreamLog, document: SettlementDocument, settled_at: datetime) -> SettlementDocument:
    """The document with the domain events that agreed on the program's version, and on window, kind and prices as they
    were when it was settled; its digest is another then, so this is for statements only."""
    origins = dict(document.origins)
    terms = log.entries_of([program_stream_id(document.program_id)], topics=[get_topic(Program.TermsAgreed)])
    for entry in terms:
        agreed = entry.domain_event
        if isinstance(agreed, Program.TermsAgreed) and agreed.version == document.program_version:
            origins.setdefault("program", str(agreed.domain_event_id))
    judged = [get_topic(one) for one in (DREvent.Accepted, DREvent.Modified)]
    notices = [entry.domain_event for entry in log.entries_of([UUID(document.dr_event_id)], topics=judged)]
    before = [one for one in notices if one.recorded_at <= settled_at]
    if before:
        origins.setdefault("event", str(before[-1].domain_event_id))
    return replace(document, origins=origins)
