"""The projection of DR events, as utilities and the dashboard see them."""

from collections.abc import Iterable, Mapping
from typing import ClassVar
from uuid import UUID

from domain.dr_event import DREvent
from domain.event_sourcing.aggregate import DomainEvent
from projections.dr_event.changes import opened_row, row_after
from projections.dr_event.row import CallbackRow, DREventRow, SettlementRow
from projections.engine.division import StreamDivision
from projections.engine.projection import FilterKind, Rows, existing, id_text, sortable

__all__ = ["CallbackRow", "DREventRow", "DREventsProjection", "SettlementRow", "key_of"]


def key_of(dr_event_id: UUID) -> str:
    """The id of the DR event."""
    return id_text(dr_event_id)


class DREventsProjection(StreamDivision):
    """The projection behind the read model `dr_events`."""

    name: ClassVar[str] = "dr_events"
    version: ClassVar[int] = 5
    row_type: ClassVar[type[DREventRow]] = DREventRow
    newest_first: ClassVar[bool] = True
    concerns: ClassVar[tuple[type[DomainEvent], ...]] = (DREvent.Event,)
    facts: ClassVar[None] = None
    filters: ClassVar[Mapping[str, FilterKind]] = {
        "status": "equals",
        "settlement_status": "equals",
        "outcome": "equals",
        "program_id": "equals",
        "utility_id": "equals",
        "utility_event_id": "equals",
        "facility_ids": "contains",
    }

    def key(self, row: DREventRow) -> str:
        return key_of(row.dr_event_id)

    def sort_key(self, row: DREventRow) -> str:
        return sortable(row.opened_at)

    def tenant(self, row: DREventRow) -> str | None:
        return row.utility_id

    def wanted(self, domain_event: DomainEvent) -> Iterable[str]:
        return [key_of(domain_event.originator_id)] if isinstance(domain_event, DREvent.Event) else []

    def fold(self, position: int, domain_event: DomainEvent, rows: Rows[DREventRow]) -> None:
        if isinstance(domain_event, DREvent.Opened):
            rows.put(opened_row(domain_event))
        elif isinstance(domain_event, DREvent.Event):
            row = existing(rows, key_of(domain_event.originator_id), domain_event)
            rows.put(row_after(domain_event, row))
